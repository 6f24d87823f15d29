/** Pivotal tokens (method section 1): where a right and a wrong trace of one problem part. */
import { stopTokens } from "../evaluation/prompt.ts";
import { computedAlike, positionOf, stopsAt, withThinking } from "../evaluation/tasks.ts";
import { decode, decodingCapacity } from "../model/generate.ts";
import type { Model } from "../model/model.ts";
import { commonLength, fillPrefixCache, layOutPrefixes } from "../model/prefix_cache.ts";
import { cacheRows } from "../model/capacity.ts";
import type { LocalizationExample } from "./localization.ts";
import {
  type ProblemTraces,
  scoringOf,
  toTrace,
  type Trace,
  type TraceOptions,
  type TraceProgress,
} from "./traces.ts";

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
  const walks = traces.flatMap((entry, i) =>
    entry.contrast ? [new Walk(model, entry, entry.contrast, positionOf(i, options), options)] : []
  );
  for (const walk of walks) await walk.resume();
  const room = decodingCapacity(model, options.maxNewTokens);
  const sharedPrefix = options.sharedPrefix?.ids ?? [];
  const ahead = walks.filter((walk) => !walk.isDone);
  let done = walks.length - ahead.length;
  const report = (more = 0) => onProgress?.("branches", done + more, walks.length);
  report();
  while (ahead.length > 0) {
    let count = 0;
    for (let rows = sharedPrefix.length; count < ahead.length; count++) {
      const { entry: { promptIds }, contrast } = ahead[count]!;
      rows += promptIds.length - commonLength(promptIds, sharedPrefix) + contrast.ids.length;
      if (rows > room.rows && count > 0) break;
    }
    await walkTogether(ahead.splice(0, count));
    done = walks.length - ahead.length;
    report();
  }
  const examples = walks.flatMap((walk) => walk.example ?? []);
  return {
    examples,
    forwardTokens: model.prefillTokens + model.decodedTokens - before,
    forwardTokensPerPosition: walks.reduce((sum, { tokensPerPosition }) => sum + tokensPerPosition, 0),
  };

  /** Finds and completes the branch points of some traces over one cache. */
  async function walkTogether(part: readonly Walk[]) {
    await model.gpu.fence(); // what the walk before held is free for this one
    const layout = layOutPrefixes(part.map(({ walked }) => walked), options.sharedPrefix);
    const left = Math.floor((cacheRows(model) - layout.rows - 1) / options.maxNewTokens);
    const slots = Math.max(1, Math.min(room.slots, left));
    using cache = fillPrefixCache(model, layout, slots * options.maxNewTokens, {
      withNext: true,
      batchInvariant: true,
    });
    const next = await model.gpu.readU32(cache.next!);
    part.forEach((walk, p) =>
      walk.takeGreedy(
        walk.contrast.ids.map((_, at) =>
          next[layout.table[layout.offsets[p]! + walk.entry.promptIds.length - 1 + at]!]!
        ),
      )
    );
    // Walking stops at the flip and decoding all places at once would not, so they decode in waves, the first places first.
    for (let wave = firstWave;; wave *= 2) {
      const branches = part.flatMap((walk, p) => walk.open.slice(0, wave).map((k) => ({ walk, p, k })));
      if (branches.length === 0) return;
      const generated = await decode(
        model,
        cache,
        branches.map(({ walk, k }) => ({ ids: walk.before(k), key: walk.key(k) })),
        branches.map(({ p }) => layout.offsets[p]!),
        {
          maxNewTokens: options.maxNewTokens,
          stopTokens: stopTokens(model, options),
          ...stopsAt(model, scoringOf(options), options),
          ...computedAlike(options),
        },
      );
      for (const [b, { walk, k }] of branches.entries()) await walk.complete(k, generated[b]!);
      report(part.filter(({ isDone }) => isDone).length);
    }
  }
}

/** Places of a trace that are completed in the first wave; later waves are each twice as long. */
const firstWave = 2;

/** A sampled trace that is walked, and what is known of it. Place k is that after its first k tokens. */
class Walk {
  /** The greedy token at each of its places. */
  private greedy: readonly number[] | undefined;
  /** By place: the whole trace that greedy completion makes of its beginning, and whether that flips the outcome. */
  private readonly completed = new Map<number, { length: number; flips: boolean }>();

  constructor(
    private readonly model: Model,
    readonly entry: ProblemTraces,
    readonly contrast: Trace,
    private readonly position: number,
    private readonly options: TraceOptions,
  ) {
    this.greedy = options.journal?.get(`along ${position}`);
  }

  /** Takes what a journal has of it. */
  async resume() {
    for (const k of this.departures) {
      const ids = this.options.journal?.get(this.key(k));
      if (ids) await this.complete(k, ids);
      if (this.completed.get(k)?.flips) break; // nobody asks what is behind
    }
  }

  /** All of it but its last token, which nothing follows. */
  get walked(): number[] {
    return [...this.entry.promptIds, ...this.contrast.ids.slice(0, -1)];
  }

  /** Prompt and first k tokens. */
  before(k: number): number[] {
    return [...this.entry.promptIds, ...this.contrast.ids.slice(0, k)];
  }

  /** Under what a journal keeps the completion after place k. */
  key(k: number): string {
    return `branch ${this.position} ${k}`;
  }

  takeGreedy(greedy: readonly number[]) {
    if (this.greedy) return;
    this.greedy = greedy;
    this.options.journal?.put(`along ${this.position}`, greedy);
  }

  async complete(k: number, ids: readonly number[]) {
    const whole = [...this.contrast.ids.slice(0, k), ...ids];
    const { correct } = await toTrace(this.model, whole, this.entry.problem, this.options);
    this.completed.set(k, { length: whole.length, flips: correct !== this.entry.greedy.correct });
  }

  /** Places that are still to be completed: those that depart from greedy decoding, up to the first flip that is known. */
  get open(): number[] {
    const open: number[] = [];
    for (const k of this.departures) {
      const known = this.completed.get(k);
      if (!known) open.push(k);
      else if (known.flips) break;
    }
    return open;
  }

  /** Whether its pivot is known, or that it has none. */
  get isDone(): boolean {
    return this.greedy !== undefined && this.open.length === 0;
  }

  /** The example of its pivot. The whole sampled trace needs no completion: its outcome is the opposite one. */
  get example(): LocalizationExample | undefined {
    const { ids } = this.contrast;
    const k = this.pivot;
    if (k === undefined) return undefined;
    return toExample(this.model, this.entry, ids.slice(0, k - 1), this.greedy![k - 1]!, ids[k - 1]!);
  }

  /** Forward tokens of one generation per place up to the pivot. */
  get tokensPerPosition(): number {
    const { promptIds, greedy } = this.entry;
    let length = greedy.ids.length;
    let sum = promptIds.length + length;
    for (let k = 1; k <= (this.pivot ?? this.contrast.ids.length); k++) {
      if (this.departs(k)) length = this.completed.get(k)?.length ?? this.contrast.ids.length;
      sum += promptIds.length + length;
    }
    return sum;
  }

  private get pivot(): number | undefined {
    const { length } = this.contrast.ids;
    const flip = this.departures.find((k) => this.completed.get(k)?.flips);
    return flip ?? (this.departs(length) ? length : undefined);
  }

  private departs(k: number): boolean {
    return this.greedy !== undefined && this.contrast.ids[k - 1] !== this.greedy[k - 1];
  }

  /** Places that depart from greedy decoding, but for the last one. */
  private get departures(): number[] {
    const places = Array.from({ length: this.contrast.ids.length - 1 }, (_, at) => at + 1);
    return places.filter((k) => this.departs(k));
  }
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
