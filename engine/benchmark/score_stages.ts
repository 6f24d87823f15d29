/** Scoring of multiple choice as MMLU has it: four one-token continuations of each context, against one pass a continuation. */
import { Model } from "../model/model.ts";
import { score, type ScoreRequest } from "../model/score.ts";
import { CheckError } from "./check.ts";
import { randomIds, type Stage, type StageContext, stepResult } from "./stage.ts";
import { measure } from "./timing.ts";

const [questions, choices, length] = [8, 4, 500];
const shape = `${questions}x${choices}x${length}`;

/** The embedded model with room for the context, and what is scored. */
async function prepare(context: StageContext): Promise<{ model: Model; requests: ScoreRequest[] }> {
  const model = await Model.load(context.gpu, context.model.directory, { contextLength: length + 1 });
  const contexts = randomIds(context, Array(questions).fill(length));
  const requests = contexts.flatMap((ids) =>
    Array.from({ length: choices }, (_, i) => ({ context: ids, continuation: [i + 3] }))
  );
  return { model, requests };
}

/** Log-probability of a continuation of one token by one pass over all of its context. */
async function byRun(model: Model, { context, continuation }: ScoreRequest): Promise<number> {
  const { logits } = await model.run(context, { positions: [context.length - 1] });
  const top = logits.reduce((a, b) => Math.max(a, b));
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0);
  return logits[continuation[0]!]! - top - Math.log(total);
}

/** One pass a continuation. */
export const scoreByRunStage: Stage = {
  name: "score/by-run",
  shape,
  quick: false,
  async run(context) {
    const { model, requests } = await prepare(context);
    using _ = model;
    const timing = await measure(context.effort, async (repeats) => {
      for (let i = 0; i < repeats; i++) for (const request of requests) await byRun(model, request);
    });
    return stepResult(context, this, timing, { tokens: questions * length });
  },
};

/** All at once; checked against one pass a continuation. */
export const scoreStage: Stage = {
  name: "score",
  shape,
  quick: false,
  slower: "score/by-run",
  async run(context) {
    const { model, requests } = await prepare(context);
    using _ = model;
    const scores = await score(model, requests);
    let error = 0;
    for (let r = 0; r < requests.length; r += choices + 1) {
      error = Math.max(error, Math.abs(scores[r]!.logProbability - await byRun(model, requests[r]!)));
    }
    if (!(error < 1e-3)) throw new CheckError(`score: log-probabilities differ by ${error}`);
    const timing = await measure(context.effort, async (repeats) => {
      for (let i = 0; i < repeats; i++) await score(model, requests);
    });
    return stepResult(context, this, timing, { tokens: questions * length, error });
  },
};
