/** Stages that are whole algorithms: branching, and the run from traces to evaluation. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { branchingPivots, type Pivots } from "../circuit/pivots.ts";
import { addContrast, greedyTraces, traceDefaults } from "../circuit/traces.ts";
import { loadProblems } from "../evaluation/data.ts";
import { runAmplify } from "../run/amplify_run.ts";
import { promptSettings } from "../run/prompt_settings.ts";
import { runSettings } from "../run/settings/run.ts";
import type { Progress } from "../progress.ts";
import { type Stage, stepResult } from "./stage.ts";
import { measure } from "./timing.ts";

const problems = 32;
/** The tasks of the embedded model. */
const tasks = fileURLToPath(new URL("../../fixtures/tasks", import.meta.url));

/** Branching pivots of 32 problems spread over the embedded task, traces made beforehand. */
export const branchingStage: Stage = {
  name: "branching",
  shape: `${problems}`,
  quick: false,
  async run(context) {
    const { model, effort } = context;
    const all = await loadProblems(join(tasks, "math.jsonl"));
    const stride = Math.floor(all.length / problems);
    const chosen = all.filter((_, i) => i % stride === 0).slice(0, problems);
    const prompt = await promptSettings(model.directory);
    const options = { ...prompt, seed: 0, ...traceDefaults };
    const traces = await addContrast(model, await greedyTraces(model, chosen, options), options);
    let pivots: Pivots | undefined;
    let points = 0;
    const timing = await measure(effort, async (repeats) => {
      for (let i = 0; i < repeats; i++) {
        pivots = await branchingPivots(model, traces, options, (_, _done, total) => points = total);
      }
    });
    return stepResult(context, this, timing, {
      token_ratio: pivots!.forwardTokensPerPosition / pivots!.forwardTokens,
      branch_points: points,
      branch_points_per_second: 1000 * points / timing.ms,
    });
  },
};

/** The default run of the embedded model, once, in a run folder of its own. */
export function amplifyStage(out: string, progress: Progress): Stage {
  return {
    name: "amplify",
    shape: "embedded model",
    quick: false,
    async run(context) {
      const { gpu, model } = context;
      const file = join(tasks, "math.jsonl");
      const settings = await runSettings({ model: { source: model.directory }, data: { file } });
      const start = performance.now();
      await runAmplify(gpu, settings, { out, fresh: true, progress });
      return stepResult(context, this, { ms: performance.now() - start, repeats: 1, samples: 1 }, {});
    },
  };
}
