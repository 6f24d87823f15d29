/** deno task amplify: identify → amplify → evaluate on a model and a task, the embedded ones by default. */
import { Gpu } from "../engine/gpu/gpu.ts";
import { runAmplify } from "../engine/run/amplify_run.ts";
import { describeSeeds, parseSeeds, runSeeds } from "../engine/run/seeds.ts";
import { describeSummary } from "../engine/run/summary.ts";
import { runCommand, types } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import {
  dataFlags,
  identifyFlags,
  modelFlags,
  outFlags,
  outFolder,
  promptFlags,
  toSettings,
  updateFlags,
} from "./run_flags.ts";

await runCommand({
  name: "amplify",
  summary: "Finds the circuit that decides a task, strengthens only it, and measures what changed.",
  flags: [
    ...modelFlags,
    ...dataFlags,
    {
      name: "seeds",
      value: "RANGE",
      help: "repeat for several seeds, e.g. 0-4 or 1,3, and report means",
      type: types.text,
    },
    ...promptFlags,
    ...identifyFlags,
    ...updateFlags,
    ...outFlags,
  ],
  async run(values) {
    const settings = await toSettings(values);
    const out = outFolder(values, values.seeds ? "seeds" : "amplify", settings);
    const display = new ProgressDisplay(values.quiet === true);
    using gpu = await Gpu.open();
    if (values.seeds) {
      const seeds = parseSeeds(values.seeds as string);
      const options = {
        out,
        fresh: values.fresh === true,
        tune: !values["no-tune"],
        offline: values.offline === true,
        progress: display.report,
      };
      const result = await runSeeds(gpu, settings, seeds, options);
      display.finish();
      console.log(describeSeeds(result));
      console.log(`run folders    ${out}/seed-N`);
      if (values.json) console.log(JSON.stringify(result));
      return;
    }
    const summary = await runAmplify(gpu, settings, {
      out,
      fresh: values.fresh === true,
      offline: values.offline === true,
      progress: display.report,
    });
    display.finish();
    if (!values.quiet) console.error("");
    console.log(describeSummary(summary));
    console.log(`run folder     ${out} (${summary.seconds.total} s on ${summary.adapter})`);
    if (values.json) console.log(JSON.stringify(summary));
  },
});
