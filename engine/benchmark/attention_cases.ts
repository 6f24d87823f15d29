/** Attention forward, backward and decoding. T tokens, S slots, H query heads, K key/value heads, C head width. */
import { Plan } from "../gpu/plan.ts";
import { TokenBatch } from "../model/batch.ts";
import { attention, attentionBackward } from "../ops/attention.ts";
import { forwardTolerance, gradientTolerance, type KernelCase, type Workbench } from "./kernel_case.ts";
import { AttentionTwin } from "../reference/elements.ts";

const variants = ["parallel", "serial"] as const;

interface Heads {
  readonly queryHeads: number;
  readonly keyValueHeads: number;
  readonly headWidth: number;
}

const described = ({ queryHeads, keyValueHeads, headWidth }: Heads) =>
  `${queryHeads}/${keyValueHeads}x${headWidth}`;

const constants = (heads: Heads) => ({
  ...heads,
  window: 0,
  softCap: 0,
  scale: 1 / Math.sqrt(heads.headWidth),
});

/** Random queries [N, H, C], a random cache [rows, 2, K, C], and where the results go. */
function tensors(bench: Workbench, heads: Heads, tokens: number, rows: number) {
  const { queryHeads: H, keyValueHeads: K, headWidth: C } = heads;
  const q = bench.randoms(tokens * H * C, 2);
  const cache = bench.randoms(rows * 2 * K * C, 2);
  return {
    values: { q, cache },
    forward: {
      q: bench.upload(q, tokens, H * C),
      cache: bench.upload(cache, rows, 2 * K * C),
      y: bench.output(tokens, H * C),
      stats: bench.output(tokens, H, 2),
    },
  };
}

const range = (count: number) => Array.from({ length: count }, (_, i) => i);

/** One whole sequence of T tokens. */
function wholeSequence(bench: Workbench, heads: Heads, tokens: number) {
  const layout = bench.own(TokenBatch.wholeSequences(bench.gpu, [range(tokens).map(() => 1)]));
  const { values, forward } = tensors(bench, heads, tokens, tokens);
  const seen = range(tokens).map((n) => range(n + 1));
  const shape = constants(heads);
  return {
    layout,
    values,
    forward,
    shape,
    twin: new AttentionTwin(values.q, values.cache, shape, (n) => seen[n]!),
  };
}

function prefillCase(heads: Heads, tokens: number, options: Partial<KernelCase> = {}): KernelCase {
  const { queryHeads: H, keyValueHeads: K, headWidth: C } = heads;
  return {
    name: "attention",
    shape: `${tokens}x${described(heads)}`,
    variants,
    flops: 4 * C * H * tokens * (tokens + 1) / 2,
    bytes: 8 * tokens * (H + K) * C,
    ...options,
    prepare(bench) {
      const { layout, values, forward, shape, twin } = wholeSequence(bench, heads, tokens);
      const { q, cache, y, stats } = forward;
      const part = (offset: 0 | 1) => {
        const out = new Float32Array(tokens * K * C);
        for (let t = 0; t < tokens; t++) {
          const start = (2 * t + offset) * K * C;
          out.set(values.cache.subarray(start, start + K * C), t * K * C);
        }
        return out;
      };
      return {
        record: (plan) => attention(plan, layout, shape, q, cache, y, stats),
        expectations: [{ output: y, tolerance: forwardTolerance, expected: (at) => twin.forward(at) }],
        peer: {
          kind: "attention",
          q: values.q,
          keys: part(0),
          values: part(1),
          tokens,
          scale: shape.scale,
          ...heads,
        },
      };
    },
  };
}

function backwardCase(heads: Heads, tokens: number, options: Partial<KernelCase> = {}): KernelCase {
  const { queryHeads: H, keyValueHeads: K, headWidth: C } = heads;
  return {
    name: "attention-backward",
    shape: `${tokens}x${described(heads)}`,
    variants: [...variants, "broadcast"],
    flops: 10 * C * H * tokens * (tokens + 1) / 2, // five products of the size of q·k; what is recomputed counts once
    bytes: 16 * tokens * (H + K) * C,
    ...options,
    prepare(bench) {
      const { layout, forward, shape, twin } = wholeSequence(bench, heads, tokens);
      const dyValues = bench.randoms(tokens * H * C);
      const dy = bench.upload(dyValues, tokens, H * C);
      const dq = bench.output(tokens, H * C);
      const dkv = bench.output(tokens, 2 * K * C);
      using plan = new Plan(bench.gpu, "attention before its backward");
      attention(plan, layout, shape, forward.q, forward.cache, forward.y, forward.stats);
      plan.run();
      return {
        record: (plan) => attentionBackward(plan, layout, shape, forward, dy, dq, dkv),
        expectations: [
          { output: dq, tolerance: gradientTolerance, expected: (at) => twin.queryGradient(dyValues, at) },
          {
            output: dkv,
            tolerance: gradientTolerance,
            expected: (at) => twin.keyValueGradient(dyValues, tokens, at),
          },
        ],
      };
    },
  };
}

/** One new token in each of S slots, over cached rows of its own that are found through the table. */
function decodeCase(
  heads: Heads,
  slots: number,
  cached: number,
  options: Partial<KernelCase> = {},
): KernelCase {
  const { queryHeads: H, keyValueHeads: K, headWidth: C } = heads;
  const length = cached + 1;
  return {
    name: "attention",
    shape: `${slots}+${cached}x${described(heads)}`,
    detail: "decode",
    variants,
    flops: 4 * C * H * slots * length,
    bytes: 8 * slots * (H + K * length) * C,
    ...options,
    prepare(bench) {
      const rows = slots * length;
      const rowsOf = range(slots).map((s) =>
        range(length).map((p) => p < cached ? s * cached + p : slots * cached + s)
      );
      const table = bench.upload(Uint32Array.from(range(slots * cached)));
      const layout = bench.own(TokenBatch.of(
        bench.gpu,
        range(slots).map((s) => ({
          ids: [1],
          firstPosition: cached,
          table: s * cached,
          base: slots * cached + s,
        })),
        table,
      ));
      const { values, forward: { q, cache, y, stats } } = tensors(bench, heads, slots, rows);
      const shape = constants(heads);
      const twin = new AttentionTwin(values.q, values.cache, shape, (n) => rowsOf[n]!);
      return {
        record: (plan) => attention(plan, layout, shape, q, cache, y, stats),
        expectations: [{ output: y, tolerance: forwardTolerance, expected: (at) => twin.forward(at) }],
      };
    },
  };
}

/** All attention cases; the model-sized one only on a GPU. */
export function attentionCases(software: boolean): KernelCase[] {
  const small = { queryHeads: 4, keyValueHeads: 2, headWidth: 32 };
  const wide = { ...small, headWidth: 64 };
  const model = { queryHeads: 8, keyValueHeads: 4, headWidth: 256 };
  return [
    prefillCase(small, 512, { compare: true, quick: true }),
    prefillCase(wide, 512),
    ...(software ? [] : [prefillCase(model, 2048)]),
    decodeCase(small, 64, 256, { compare: true, quick: true }),
    decodeCase(wide, 64, 256),
    ...(software ? [] : [decodeCase(model, 64, 1024)]),
    backwardCase(small, 512, { compare: true }),
    backwardCase(wide, 512),
    ...(software ? [] : [backwardCase(model, 2048)]),
  ];
}
