/** The same work through other libraries on the same adapter: TensorFlow.js and jax-js. Loaded only when asked for. */
import { InputError } from "../errors.ts";
import { CheckError } from "./check.ts";
import type { PeerWork } from "./kernel_case.ts";
import type { BenchResult } from "./result.ts";
import { type Effort, measure } from "./timing.ts";

/** Some work made ready in a library. */
export interface PeerRun {
  /** Does the work `repeats` times and reads the last result back, which waits for all of it. */
  readonly run: (repeats: number) => Promise<ArrayLike<number>>;
  /** Frees what the library holds for it. */
  readonly dispose: () => void;
}

/** A library; `prepare` yields every layout of the work that it may be fast in, none where it has no such kernel. */
export interface Peer {
  /** Of the library. */
  readonly name: string;
  /** Ways in which the library does this work; none where it cannot. */
  readonly prepare: (work: PeerWork) => readonly PeerRun[];
}

const tolerance = 1e-4;

/** Milliseconds per library, each checked against our `output` first, and their ratios to our `ms`. */
export async function timePeers(
  what: string,
  peers: readonly Peer[],
  work: PeerWork,
  output: Float32Array,
  effort: Effort,
  ms: number,
): Promise<Pick<BenchResult, "peers" | "ratios">> {
  const times: Record<string, number> = {};
  for (const peer of peers) {
    for (const run of peer.prepare(work)) {
      try {
        compare(what, peer.name, await run.run(1), output);
        const timing = await measure(effort, run.run);
        times[peer.name] = Math.min(times[peer.name] ?? Infinity, timing.ms);
      } finally {
        run.dispose();
      }
    }
  }
  if (Object.keys(times).length === 0) return {};
  return {
    peers: times,
    ratios: Object.fromEntries(Object.entries(times).map(([name, peerMs]) => [name, peerMs / ms])),
  };
}

function compare(what: string, name: string, theirs: ArrayLike<number>, ours: Float32Array) {
  const size = ours.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const bad = theirs.length === ours.length
    ? ours.findIndex((value, i) => !(Math.abs(value - theirs[i]!) <= tolerance * size))
    : 0;
  if (bad < 0) return;
  throw new CheckError(
    `${what}: ${name} differs: element ${bad} is ${theirs[bad]} there and ${ours[bad]} here.`,
  );
}

/** What is used of a jax-js array. Functions consume their arguments; `ref` keeps one for later. */
interface JaxArray {
  readonly ref: JaxArray;
  readonly add: (other: JaxArray | number) => JaxArray;
  readonly sub: (other: JaxArray | number) => JaxArray;
  readonly mul: (other: JaxArray | number) => JaxArray;
  readonly div: (other: JaxArray | number) => JaxArray;
  readonly data: () => Promise<ArrayLike<number>>;
  /** Submits what the array depends on; consumes it. */
  readonly gpuBuffer: () => Promise<unknown>;
  readonly dispose: () => void;
}

type JaxFunction = (...args: JaxArray[]) => JaxArray | JaxArray[];

interface Jax {
  readonly init: (device: string) => Promise<string[]>;
  readonly defaultDevice: (device: string) => void;
  readonly jit: (f: JaxFunction) => JaxFunction;
  readonly numpy: {
    readonly array: (data: Float32Array, options: { shape: number[] }) => JaxArray;
    readonly matmul: (a: JaxArray, b: JaxArray) => JaxArray;
    readonly matrixTranspose: (a: JaxArray) => JaxArray;
    readonly sqrt: (a: JaxArray) => JaxArray;
  };
  readonly nn: {
    readonly dotProductAttention: (
      query: JaxArray,
      key: JaxArray,
      value: JaxArray,
      options: { isCausal: boolean; scale: number },
    ) => JaxArray;
  };
}

interface TfTensor {
  readonly data: () => Promise<ArrayLike<number>>;
  readonly dispose: () => void;
}

interface TensorFlow {
  readonly setBackend: (name: string) => Promise<boolean>;
  readonly ready: () => Promise<void>;
  readonly tensor2d: (data: Float32Array, shape: [number, number]) => TfTensor;
  readonly matMul: (a: TfTensor, b: TfTensor, transposeA: boolean, transposeB: boolean) => TfTensor;
}

/**
 * Loads both libraries and checks that they found the GPU.
 *
 * @example Other libraries to compare with
 * ```ts
 * import { loadPeers } from "../../engine/benchmark/mod.ts";
 *
 * console.log(typeof loadPeers); // await loadPeers() downloads TensorFlow.js and jax-js
 * ```
 */
export async function loadPeers(): Promise<Peer[]> {
  return [await loadTensorFlow(), await loadJax()];
}

/**
 * Pinned here rather than in deno.json, whose packages every command downloads and locks; for the same reason the
 * import below is not a literal.
 */
const versions = {
  "@tensorflow/tfjs-core": "4.22.0",
  "@tensorflow/tfjs-backend-webgpu": "4.22.0",
  "@jax-js/jax": "0.1.25",
} as const;

async function load(name: keyof typeof versions): Promise<unknown> {
  try {
    return await import(`npm:${name}@${versions[name]}`);
  } catch (error) {
    throw new InputError(
      `${name} cannot be loaded (${
        (error as Error).message.split("\n")[0]
      }); connect to the npm registry once, or leave peers out.`,
      "peers",
    );
  }
}

async function loadTensorFlow(): Promise<Peer> {
  const tf = await load("@tensorflow/tfjs-core") as TensorFlow;
  await load("@tensorflow/tfjs-backend-webgpu");
  if (!await tf.setBackend("webgpu")) {
    throw new InputError("TensorFlow.js found no WebGPU; leave peers out.", "peers");
  }
  await tf.ready();
  return {
    name: "tfjs",
    prepare(work) {
      if (work.kind !== "matmul") return [];
      return layouts(work).map(({ b, transposed }) => {
        const tensors = [tf.tensor2d(work.a, [work.m, work.k]), tf.tensor2d(b.data, b.shape)] as const;
        const once = () => tf.matMul(...tensors, false, transposed);
        return {
          async run(repeats) {
            for (let i = 1; i < repeats; i++) once().dispose();
            const result = once();
            const data = await result.data();
            result.dispose();
            return data;
          },
          dispose: () => tensors.forEach((tensor) => tensor.dispose()),
        };
      });
    },
  };
}

async function loadJax(): Promise<Peer> {
  const jax = await load("@jax-js/jax") as Jax;
  if (!(await jax.init("webgpu")).includes("webgpu")) {
    throw new InputError("jax-js found no WebGPU; leave peers out.", "peers");
  }
  jax.defaultDevice("webgpu");
  const { numpy: np } = jax;
  /** A compiled function of fixed inputs; the first of its results is the one compared. */
  const compiled = (f: JaxFunction, inputs: JaxArray[]): PeerRun => {
    const jitted = jax.jit(f);
    const once = () => [jitted(...inputs.map(({ ref }) => ref))].flat();
    return {
      async run(repeats) {
        // Lazy: what nobody asks for is never computed, so each result's buffer is asked for.
        for (let i = 1; i < repeats; i++) for (const result of once()) await result.gpuBuffer();
        const [first, ...others] = once();
        for (const result of others) await result.gpuBuffer();
        return await first!.data();
      },
      dispose: () => inputs.forEach((input) => input.dispose()),
    };
  };
  return {
    name: "jax-js",
    prepare(work) {
      switch (work.kind) {
        case "matmul":
          return layouts(work).map(({ b, transposed }) =>
            compiled(
              transposed ? (x, y) => np.matmul(x!, np.matrixTranspose(y!)) : (x, y) => np.matmul(x!, y!),
              [np.array(work.a, { shape: [work.m, work.k] }), np.array(b.data, { shape: b.shape })],
            )
          );
        case "attention": {
          const { tokens: T, queryHeads: H, keyValueHeads: K, headWidth: C, scale } = work;
          return [compiled(
            (q, k, v) => jax.nn.dotProductAttention(q!, k!, v!, { isCausal: true, scale }),
            [
              np.array(work.q, { shape: [T, H, C] }),
              np.array(work.keys, { shape: [T, K, C] }),
              np.array(work.values, { shape: [T, K, C] }),
            ],
          )];
        }
        case "adamw": {
          const { t, rate, weightDecay, betas, epsilon } = work.step;
          const shape = [work.values.length];
          return [compiled((w, g, m, v) => {
            const first = m!.mul(betas[0]).add(g!.ref.mul(1 - betas[0]));
            const second = v!.mul(betas[1]).add(g!.ref.mul(g!).mul(1 - betas[1]));
            const scale = np.sqrt(second.ref.mul(1 / (1 - betas[1] ** t))).add(epsilon);
            const change = first.ref.mul(rate / (1 - betas[0] ** t)).div(scale);
            return [w!.mul(1 - rate * weightDecay).sub(change), first, second];
          }, [work.values, work.gradient, work.first, work.second].map((data) => np.array(data, { shape })))];
        }
      }
    },
  };
}

/** The right factor as [n, k] to be transposed and as [k, n]: libraries differ in which they are fast in. */
function layouts({ b, n, k, plain }: PeerWork & { kind: "matmul" }) {
  const [rows, columns] = plain ? [k, n] : [n, k];
  const other = new Float32Array(b.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) other[c * rows + r] = b[r * columns + c]!;
  return [
    { b: { data: b, shape: [rows, columns] as [number, number] }, transposed: !plain },
    { b: { data: other, shape: [columns, rows] as [number, number] }, transposed: plain },
  ];
}
