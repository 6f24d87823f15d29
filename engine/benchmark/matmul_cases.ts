/** Products in the three layouts training needs. N tokens, I inputs, O outputs; shapes are rows x columns x inner. */
import { linear, linearBackward, weightGradient } from "../ops/matmul.ts";
import { bytesOf, type Storage } from "../ops/weight.ts";
import { forwardTolerance, gradientTolerance, type KernelCase } from "./kernel_case.ts";
import { dot } from "../reference/elements.ts";

type Sizes = readonly [m: number, n: number, k: number];

const variants = ["parallel", "serial", "broadcast"] as const;

function caseOf(name: string, [m, n, k]: Sizes, storage: Storage) {
  return {
    name,
    shape: `${m}x${n}x${k}`,
    detail: storage,
    variants,
    flops: 2 * m * n * k,
    bytes: 4 * m * (k + n) + n * k * bytesOf(storage),
  };
}

/** y[m, n] = x[m, k] · weight[n, k]ᵀ: a linear layer. */
function forward(sizes: Sizes, storage: Storage, options: Partial<KernelCase> = {}): KernelCase {
  const [m, n, k] = sizes;
  return {
    ...caseOf("matmul", sizes, storage),
    ...options,
    prepare(bench) {
      const a = bench.randoms(m * k);
      const { weight, values: b } = bench.weight(n, k, storage);
      const x = bench.upload(a, m, k);
      const y = bench.output(m, n);
      return {
        record: (plan) => linear(plan, x, weight, y),
        expectations: [{
          output: y,
          tolerance: forwardTolerance,
          expected: (at) => dot(a, b, k, [Math.floor(at / n) * k, 1], [at % n * k, 1]),
        }],
        ...(storage === "f32" && { peer: { kind: "matmul", plain: false, a, b, m, n, k } }),
      };
    },
  };
}

/** dx[m, n] = dy[m, k] · weight[k, n]: a linear layer's input gradient. */
function inputGradient(sizes: Sizes, storage: Storage, options: Partial<KernelCase> = {}): KernelCase {
  const [m, n, k] = sizes;
  return {
    ...caseOf("matmul-nn", sizes, storage),
    ...options,
    prepare(bench) {
      const a = bench.randoms(m * k);
      const { weight, values: b } = bench.weight(k, n, storage);
      const dy = bench.upload(a, m, k);
      const dx = bench.output(m, n);
      return {
        record: (plan) => linearBackward(plan, dy, weight, dx),
        expectations: [{
          output: dx,
          tolerance: forwardTolerance,
          expected: (at) => dot(a, b, k, [Math.floor(at / n) * k, 1], [at % n, n]),
        }],
        ...(storage === "f32" && { peer: { kind: "matmul", plain: true, a, b, m, n, k } }),
      };
    },
  };
}

/** gradient[m, n] = dy[k, m]ᵀ · x[k, n]: a linear layer's weight gradient over k tokens. */
function weightGradients(sizes: Sizes, options: Partial<KernelCase> = {}): KernelCase {
  const [m, n, k] = sizes;
  return {
    ...caseOf("matmul-tn", sizes, "f32"),
    ...options,
    prepare(bench) {
      const [a, b] = [bench.randoms(k * m), bench.randoms(k * n)];
      const dy = bench.upload(a, k, m);
      const x = bench.upload(b, k, n);
      const gradient = bench.output(m, n);
      return {
        record: (plan) => weightGradient(plan, dy, x, gradient, false),
        expectations: [{
          output: gradient,
          tolerance: gradientTolerance,
          expected: (at) => dot(a, b, k, [Math.floor(at / n), m], [at % n, n]),
        }],
      };
    },
  };
}

/** All products; the large ones only on a GPU. */
export function matmulCases(software: boolean): KernelCase[] {
  const cube = (size: number): Sizes => [size, size, size];
  const large = software ? [] : [2048, 4096];
  return [
    forward(cube(256), "f32", { quick: true }),
    forward(cube(512), "f32", { compare: true }),
    forward(cube(1024), "f32"),
    ...large.map((size) => forward(cube(size), "f32")),
    forward([64, 768, 128], "f32", { compare: true, quick: true }),
    forward([256, 768, 128], "f32"),
    forward([8, 768, 128], "f32"),
    forward([1, 768, 128], "f32"),
    forward([8, 2304, 2304], "f32"),
    forward(cube(512), "bf16"),
    forward(cube(512), "f16"),
    ...large.map((size) => forward(cube(size), "bf16")),
    forward([8, 2304, 2304], "bf16"),
    forward([8, 2304, 2304], "f16"),
    inputGradient(cube(512), "f32", { compare: true }),
    inputGradient([64, 128, 768], "f32", { quick: true }),
    inputGradient([256, 128, 768], "f32"),
    inputGradient([8, 2304, 2304], "f32"),
    inputGradient(cube(512), "bf16"),
    inputGradient([8, 2304, 2304], "bf16"),
    ...large.map((size) => inputGradient(cube(size), "f32")),
    weightGradients(cube(512), { compare: true }),
    weightGradients([768, 128, 64], { quick: true }),
    weightGradients([768, 128, 1024]),
    weightGradients([32, 128, 1024]),
    ...large.map((size) => weightGradients(cube(size))),
  ];
}
