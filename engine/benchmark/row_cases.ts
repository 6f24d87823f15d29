/** Operators over rows and elements. R rows, D width, F MLP width, V vocabulary, S slots. */
import { gatedMlp, softCap } from "../ops/elementwise.ts";
import { embed } from "../ops/embedding.ts";
import { crossEntropy } from "../ops/loss.ts";
import { linear } from "../ops/matmul.ts";
import { rmsNorm } from "../ops/norm.ts";
import { adamDefaults, adamW, writeAdamStep } from "../ops/optimizer.ts";
import { sample } from "../ops/sampling.ts";
import { bytesOf, type Storage } from "../ops/weight.ts";
import { forwardTolerance, type KernelCase } from "./kernel_case.ts";
import { isDrawn, type SlotSampling } from "../reference/sampling.ts";
import * as twin from "../reference/elements.ts";

function rmsNormCase(rows: number, width: number, options: Partial<KernelCase> = {}): KernelCase {
  const epsilon = 1e-6;
  return {
    name: "rmsnorm",
    shape: `${rows}x${width}`,
    variants: ["parallel", "serial"],
    flops: 4 * rows * width,
    bytes: 8 * rows * width + 4 * width,
    ...options,
    prepare(bench) {
      const [input, gain] = [bench.randoms(rows * width, 3), bench.randoms(width)];
      const x = bench.upload(input, rows, width);
      const norm = { weight: bench.upload(gain), offset: 0, epsilon } as const;
      const y = bench.output(rows, width);
      return {
        record: (plan) => rmsNorm(plan, x, norm, y, { rows }),
        expectations: [{
          output: y,
          tolerance: forwardTolerance,
          expected: (at) => twin.rmsNorm(input, gain, epsilon, at),
        }],
      };
    },
  };
}

function gatedMlpCase(rows: number, width: number, options: Partial<KernelCase> = {}): KernelCase {
  return {
    name: "gated-mlp",
    shape: `${rows}x${width}`,
    variants: [],
    flops: 12 * rows * width,
    bytes: 12 * rows * width,
    ...options,
    prepare(bench) {
      const input = bench.randoms(rows * 2 * width, 3);
      const gateUp = bench.upload(input, rows, 2 * width);
      const y = bench.output(rows, width);
      return {
        record: (plan) => gatedMlp(plan, gateUp, y, "gelu_tanh"),
        expectations: [{
          output: y,
          tolerance: forwardTolerance,
          expected: (at) => twin.gatedMlp(input, width, at),
        }],
      };
    },
  };
}

/** The unembedding with its soft cap. */
function logitsCase(rows: number, width: number, vocabulary: number, storage: Storage): KernelCase {
  const cap = 30;
  return {
    name: "logits",
    shape: `${rows}x${vocabulary}x${width}`,
    detail: storage,
    variants: ["parallel", "serial", "broadcast"],
    flops: 2 * rows * width * vocabulary,
    bytes: 4 * rows * (width + vocabulary) + vocabulary * width * bytesOf(storage),
    prepare(bench) {
      const input = bench.randoms(rows * width);
      const { weight, values } = bench.weight(vocabulary, width, storage);
      const x = bench.upload(input, rows, width);
      const y = bench.output(rows, vocabulary);
      return {
        record(plan) {
          linear(plan, x, weight, y);
          softCap(plan, y, cap);
        },
        expectations: [{
          output: y,
          tolerance: forwardTolerance,
          expected(at) {
            const [row, id] = [Math.floor(at / vocabulary), at % vocabulary];
            return twin.softCap(twin.dot(input, values, width, [row * width, 1], [id * width, 1]), cap);
          },
        }],
      };
    },
  };
}

function crossEntropyCase(rows: number, vocabulary: number): KernelCase {
  return {
    name: "cross-entropy",
    shape: `${rows}x${vocabulary}`,
    variants: [],
    flops: 8 * rows * vocabulary,
    bytes: 8 * rows * vocabulary,
    prepare(bench) {
      const input = bench.randoms(rows * vocabulary, 5);
      const goals = bench.integers(rows, vocabulary);
      const logits = bench.upload(input, rows, vocabulary);
      const targets = bench.upload(goals);
      const weights = bench.upload(new Float32Array(rows).fill(1));
      const losses = bench.output(rows);
      const totals = Array.from({ length: rows }, (_, row) => {
        return twin.logSumExp(input.subarray(row * vocabulary, (row + 1) * vocabulary));
      });
      return {
        record: (plan) => crossEntropy(plan, logits, targets, weights, losses),
        expectations: [
          {
            output: losses,
            tolerance: forwardTolerance,
            expected: (row) => totals[row]! - input[row * vocabulary + goals[row]!]!,
          },
          {
            output: logits, // become their gradient
            tolerance: forwardTolerance,
            expected(at) {
              const row = Math.floor(at / vocabulary);
              return Math.exp(input[at]! - totals[row]!) - (goals[row] === at % vocabulary ? 1 : 0);
            },
          },
        ],
      };
    },
  };
}

function adamWCase(count: number): KernelCase {
  const step = { t: 3, rate: 1e-3, weightDecay: 0.1, ...adamDefaults };
  return {
    name: "adamw",
    shape: `${count}`,
    variants: [],
    flops: 16 * count,
    bytes: 28 * count,
    prepare(bench) {
      const [values, gradient, first] = [bench.randoms(count), bench.randoms(count), bench.randoms(count)];
      const second = bench.randoms(count).map(Math.abs);
      const moments = new Float32Array(2 * count);
      for (let i = 0; i < count; i++) moments.set([first[i]!, second[i]!], 2 * i);
      const output = bench.upload(values);
      const tensors = [bench.output(4), bench.upload(gradient), bench.upload(moments, count, 2)] as const;
      writeAdamStep(bench.gpu, tensors[0], step.t, step.rate, step.weightDecay);
      return {
        record: (plan) => adamW(plan, ...tensors, output),
        expectations: [{
          output,
          tolerance: forwardTolerance,
          expected: (i) => twin.adamW(values[i]!, gradient[i]!, [first[i]!, second[i]!], step),
        }],
        peer: { kind: "adamw", values, gradient, first, second, step },
      };
    },
  };
}

function sampleCase(
  slots: number,
  vocabulary: number,
  detail: string,
  setting: Omit<SlotSampling, "stream">,
): KernelCase {
  const seed = 7;
  return {
    name: "sample",
    shape: `${slots}x${vocabulary}`,
    detail,
    variants: ["parallel", "serial"],
    flops: 0,
    bytes: 4 * slots * vocabulary,
    prepare(bench) {
      const values = bench.randoms(slots * vocabulary, 4);
      const settings = new DataView(new ArrayBuffer(slots * 32));
      for (let s = 0; s < slots; s++) {
        settings.setFloat32(s * 32, setting.temperature, true);
        settings.setUint32(s * 32 + 4, setting.topK, true);
        settings.setFloat32(s * 32 + 8, setting.topP, true);
        settings.setUint32(s * 32 + 16, s, true);
      }
      const logits = bench.upload(values, slots, vocabulary);
      const sampling = bench.upload(new Uint32Array(settings.buffer), slots, 8);
      const next = bench.output(slots);
      return {
        record: (plan) => sample(plan, logits, sampling, next, seed),
        expectations: [{
          output: next,
          accepts(slot, id) {
            const row = values.subarray(slot * vocabulary, (slot + 1) * vocabulary);
            return isDrawn(row, { ...setting, stream: slot }, seed, id);
          },
        }],
      };
    },
  };
}

function embeddingCase(tokens: number, vocabulary: number, width: number, storage: Storage): KernelCase {
  return {
    name: "embedding",
    shape: `${tokens}x${width} of ${vocabulary}`,
    detail: storage,
    variants: [],
    flops: tokens * width,
    bytes: tokens * width * (bytesOf(storage) + 4),
    prepare(bench) {
      const ids = bench.integers(tokens, vocabulary);
      const { weight, values } = bench.weight(vocabulary, width, storage);
      const entries = new Uint32Array(tokens * 4);
      ids.forEach((id, n) => entries[n * 4] = id);
      const batch = bench.upload(entries, tokens, 4);
      const y = bench.output(tokens, width);
      return {
        record: (plan) => embed(plan, batch, weight, y, 2),
        expectations: [{
          output: y,
          tolerance: forwardTolerance,
          expected: (at) => 2 * values[ids[Math.floor(at / width)]! * width + at % width]!,
        }],
      };
    },
  };
}

/** All of them; sizes of large models only on a GPU. */
export function rowCases(software: boolean): KernelCase[] {
  const everything = { topK: 0, topP: 1 };
  return [
    rmsNormCase(1024, 128, { compare: true, quick: true }),
    rmsNormCase(software ? 256 : 4096, 2304),
    gatedMlpCase(1024, 384, { quick: true }),
    gatedMlpCase(software ? 64 : 2048, 9216),
    logitsCase(64, 128, 4096, "f32"),
    logitsCase(8, software ? 256 : 2304, 32768, "bf16"),
    crossEntropyCase(64, 32768),
    adamWCase(2 ** 20),
    ...(software ? [] : [adamWCase(2 ** 24)]),
    sampleCase(64, 32768, "greedy", { temperature: 0, ...everything }),
    sampleCase(64, 32768, "temperature", { temperature: 1.2, ...everything }),
    sampleCase(64, 32768, "top-k, top-p", { temperature: 1.2, topK: 50, topP: 0.95 }),
    embeddingCase(1024, 32768, software ? 256 : 2304, "bf16"),
  ];
}
