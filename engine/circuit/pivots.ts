/** Pivotal tokens (method section 1): where a right and a wrong trace of one problem part. */
import { stopTokens } from "../evaluation/prompt.ts";
import { endOfAnswer, withThinking } from "../evaluation/tasks.ts";
import { decode, decodingCapacity } from "../model/generate.ts";
import type { Model } from "../model/model.ts";
import { commonLength, fillPrefixCache, layOutPrefixes } from "../model/prefix_cache.ts";
import { cacheRows } from "../model/capacity.ts";
import type { LocalizationExample } from "./localization.ts";
import { type ProblemTraces, toTrace, type TraceOptions, type TraceProgress } from "./traces.ts";

/** `prefix`: first differing token. `branching`: the sampled token after which greedy completion changes its outcome. */
export type PivotMethod = "prefix" | "branching";

/** Examples, and how many tokens the search took beside what one generation per position would have taken. */
export interface Pivots {
  /** One for each problem where a pivot was found. */
  readonly examples: LocalizationExample[];
  /** Tokens that the model processed for it. */
  readonly forwardTokens: number;
  /** Of the algorithm that runs one generation per position; for `branching` only. */
  readonly forwardTokensPerPosition: number;
}

/**
 * First positions where the two traces of each problem differ. Costs no forward pass.
 *
 * @example Pivots of eight problems
 * ```ts
 * import { addContrast, Gpu, greedyTraces, loadProblems, Model, plainTemplate, prefixPivots, traceDefaults } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const problems = (await loadProblems("fixtures/tasks/math.jsonl")).slice(0, 8);
 * const options = { ...traceDefaults, template: plainTemplate, maxNewTokens: 48, seed: 0 };
 * const traces = await addContrast(model, await greedyTraces(model, problems, options), options);
 * console.log(prefixPivots(model, traces).examples.length);
 * ```
 */
export function prefixPivots(model: Model, traces: readonly ProblemTraces[]): Pivots {
  const examples = traces.flatMap((entry) => {
    const { greedy, contrast } = entry;
    if (!contrast) return [];
    let at = 0;
    while (at < greedy.ids.length && greedy.ids[at] === contrast.ids[at]) at++;
    // One trace cut off by the token limit may be the beginning of the other: then there is no token to compare.
    if (at >= greedy.ids.length || at >= contrast.ids.length) return [];
    return [toExample(model, entry, greedy.ids.slice(0, at), greedy.ids[at]!, contrast.ids[at]!)];
  });
  return { examples, forwardTokens: 0, forwardTokensPerPosition: 0 };
}

/**
 * Walks each sampled trace: for k = 0, 1, … completes greedily after its first k tokens; the first k at which the
 * outcome flips marks sampled token k - 1 as pivotal. Where that token is the greedy one, completing after it gives the
 * same text as before it, so only the sampled tokens that depart from greedy decoding are branch points; one pass along
 * the traces finds them, and all of them decode as one batch over shared prefixes (method section 6.2).
 *
 * @example Pivots of eight problems, by branching
 * ```ts
 * import { addContrast, branchingPivots, Gpu, greedyTraces, loadProblems, Model, plainTemplate, traceDefaults } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * const problems = (await loadProblems("fixtures/tasks/math.jsonl")).slice(0, 8);
 * const options = { ...traceDefaults, template: plainTemplate, maxNewTokens: 48, seed: 0 };
 * const traces = await addContrast(model, await greedyTraces(model, problems, options), options);
 * const { examples } = await branchingPivots(model, traces, options);
 * console.log(examples.length);
 * ```
 */
export async function branchingPivots(
  model: Model,
  traces: readonly ProblemTraces[],
  given: TraceOptions,
  onProgress?: TraceProgress,
): Promise<Pivots> {
  const options = withThinking(model, given);
  const before = model.prefillTokens + model.decodedTokens;
  const walked = traces.flatMap((entry) => entry.contrast ? [{ entry, contrast: entry.contrast }] : []);
  const along: number[][] = [];
  const completions = new Map<string, readonly number[]>();
  const room = decodingCapacity(model, options.maxNewTokens);
  const sharedPrefix = options.sharedPrefix?.ids ?? [];
  for (let first = 0; first < walked.length;) {
    let last = first;
    for (let rows = sharedPrefix.length; last < walked.length; last++) {
      const { entry: { promptIds }, contrast } = walked[last]!;
      rows += promptIds.length - commonLength(promptIds, sharedPrefix) + contrast.ids.length;
      if (rows > room.rows && last > first) break;
    }
    await walk(first, last);
    first = last;
    onProgress?.("branches", first, walked.length);
  }
  let perPosition = 0;
  const examples = walked.flatMap(({ entry, contrast }, i) => {
    const { promptIds, greedy } = entry;
    let whole: readonly number[] = greedy.ids;
    perPosition += promptIds.length + whole.length;
    for (let k = 1; k <= contrast.ids.length; k++) {
      const before = whole;
      if (contrast.ids[k - 1] !== along[i]![k - 1]) {
        whole = [...contrast.ids.slice(0, k), ...completions.get(`${i} ${k}`) ?? []];
      }
      perPosition += promptIds.length + whole.length;
      if (whole === before || toTrace(model, whole, entry.problem, options).correct === greedy.correct) {
        continue;
      }
      return [toExample(model, entry, contrast.ids.slice(0, k - 1), along[i]![k - 1]!, contrast.ids[k - 1]!)];
    }
    return [];
  });
  return {
    examples,
    forwardTokens: model.prefillTokens + model.decodedTokens - before,
    forwardTokensPerPosition: perPosition,
  };

  /** Finds and completes the branch points of the traces first … last - 1 over one cache. */
  async function walk(first: number, last: number) {
    await model.gpu.fence(); // what the walk before held is free for this one
    const part = walked.slice(first, last);
    const layout = layOutPrefixes(
      part.map(({ entry, contrast }) => [...entry.promptIds, ...contrast.ids.slice(0, -1)]),
      options.sharedPrefix,
    );
    const left = Math.floor((cacheRows(model) - layout.rows - 1) / options.maxNewTokens);
    const slots = Math.max(1, Math.min(room.slots, left));
    using cache = fillPrefixCache(model, layout, slots * options.maxNewTokens, { withNext: true });
    const next = await model.gpu.readU32(cache.next!);
    // Per trace the places where it departs from greedy decoding, until its pivot is found.
    const searched = part.map(({ entry, contrast }, p): Searched => {
      const row = (position: number) => layout.table[layout.offsets[p]! + position]!;
      const greedy = contrast.ids.map((_, at) => next[row(entry.promptIds.length - 1 + at)]!);
      along.push(greedy);
      // The whole sampled trace needs no completion: its outcome is known.
      const last = contrast.ids.length - 1;
      return { p, left: contrast.ids.flatMap((id, at) => id !== greedy[at] && at < last ? [at + 1] : []) };
    });
    // Walking stops at the flip and decoding all places at once would not, so they decode in waves, the first places first.
    for (let wave = firstWave; searched.some(({ left }) => left.length > 0); wave *= 2) {
      const branches = searched.flatMap(({ p, left }) => left.splice(0, wave).map((k) => ({ p, k })));
      const generated = await decode(
        model,
        cache,
        branches.map(({ p, k }) => ({
          ids: [...part[p]!.entry.promptIds, ...part[p]!.contrast.ids.slice(0, k)],
        })),
        branches.map(({ p }) => layout.offsets[p]!),
        {
          maxNewTokens: options.maxNewTokens,
          stopTokens: stopTokens(model, options),
          stopAt: endOfAnswer(model, options),
        },
      );
      branches.forEach(({ p, k }, b) => {
        const { entry: { problem, greedy }, contrast } = part[p]!;
        completions.set(`${first + p} ${k}`, generated[b]!);
        const whole = [...contrast.ids.slice(0, k), ...generated[b]!];
        if (toTrace(model, whole, problem, options).correct !== greedy.correct) searched[p]!.left.length = 0;
      });
    }
  }
}

/** A trace of a walk, and the numbers of its tokens after which it is still to be completed. */
interface Searched {
  readonly p: number;
  readonly left: number[];
}

/** Places of a trace that are completed in the first wave; later waves are each twice as long. */
const firstWave = 2;

function toExample(
  model: Model,
  { problem, promptIds, greedy }: ProblemTraces,
  begun: readonly number[],
  greedyToken: number,
  contrastToken: number,
): LocalizationExample {
  const prefix_ids = [...promptIds, ...begun];
  return {
    prefix: model.tokenizer.decode(prefix_ids, { skipSpecialTokens: true }),
    prefix_ids,
    desired_token: greedy.correct ? greedyToken : contrastToken,
    undesired_token: greedy.correct ? contrastToken : greedyToken,
    template_id: problem.templateId,
    instance_id: problem.instanceId,
    greedy_correct: greedy.correct,
  };
}
