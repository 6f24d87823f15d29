/** Pivotal tokens (method section 1): where a right and a wrong trace of one problem part. */
import { endOfAnswer } from "../evaluation/tasks.ts";
import { generate } from "../model/generate.ts";
import type { Model } from "../model/model.ts";
import type { LocalizationExample } from "./localization.ts";
import { type ProblemTraces, toTrace, type TraceOptions, type TraceProgress } from "./traces.ts";

/** `prefix`: first differing token. `branching`: the sampled token after which greedy completion changes its outcome. */
export type PivotMethod = "prefix" | "branching";

/** Examples, and how many tokens the search took beside what one generation per position would have taken. */
export interface Pivots {
  readonly examples: LocalizationExample[];
  readonly forwardTokens: number;
  /** Of the algorithm that runs one generation per position; for `branching` only. */
  readonly forwardTokensPerPosition: number;
}

/** First positions where the two traces of each problem differ. Costs no forward pass. */
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
 * outcome flips marks sampled token k - 1 as pivotal. All branch points of all traces decode as one batch over shared
 * prefixes (method section 6.2).
 */
export async function branchingPivots(
  model: Model,
  traces: readonly ProblemTraces[],
  options: TraceOptions,
  onProgress?: TraceProgress,
): Promise<Pivots> {
  const before = model.prefillTokens + model.decodedTokens;
  // k = 0 is the greedy trace itself, and the whole sampled trace needs no completion: its outcome is known.
  const branches = traces.flatMap((entry, i) =>
    entry.contrast ? Array.from({ length: entry.contrast.ids.length - 1 }, (_, k) => ({ i, k: k + 1 })) : []
  );
  const generated = await generate(
    model,
    branches.map(({ i, k }) => ({ ids: [...traces[i]!.promptIds, ...traces[i]!.contrast!.ids.slice(0, k)] })),
    {
      maxNewTokens: options.maxNewTokens,
      stopAt: endOfAnswer(model, options),
      onProgress: (done, total) => onProgress?.("branches", done, total),
    },
  );
  let perPosition = 0;
  const completions = new Map<string, readonly number[]>();
  branches.forEach(({ i, k }, b) => {
    completions.set(`${i} ${k}`, generated[b]!);
    perPosition += traces[i]!.promptIds.length + k + generated[b]!.length;
  });
  const examples = traces.flatMap((entry, i) => {
    const { greedy, contrast } = entry;
    if (!contrast) return [];
    let continuation: readonly number[] = greedy.ids;
    for (let k = 1; k <= contrast.ids.length; k++) {
      const completion = completions.get(`${i} ${k}`) ?? [];
      const whole = [...contrast.ids.slice(0, k), ...completion];
      if (toTrace(model, whole, entry.problem, options).correct !== greedy.correct) {
        const [ours, theirs] = [continuation[0], contrast.ids[k - 1]!];
        // Where greedy decoding had reached its token limit there is no greedy token to set against the sampled one.
        if (ours === undefined || ours === theirs) return [];
        return [toExample(model, entry, contrast.ids.slice(0, k - 1), ours, theirs)];
      }
      continuation = completion;
    }
    return [];
  });
  return {
    examples,
    forwardTokens: model.prefillTokens + model.decodedTokens - before,
    forwardTokensPerPosition: perPosition,
  };
}

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
