/** The full training pass of every golden architecture against its float64 twin. N tokens. */
import { assertEquals } from "@std/assert";
import { Plan } from "../../engine/gpu/plan.ts";
import type { Tensor } from "../../engine/gpu/tensor.ts";
import { TokenBatch } from "../../engine/model/batch.ts";
import { recordLanguagePass } from "../../engine/model/language_pass.ts";
import { allParameters, partsOf } from "../../engine/model/weights.ts";
import { fill } from "../../engine/ops/elementwise.ts";
import { prepareScatter } from "../../engine/ops/embedding.ts";
import type { Norm } from "../../engine/ops/norm.ts";
import type { Weight } from "../../engine/ops/weight.ts";
import { assertClose, gpuTestOfVariants, gradientTolerance, type Trial } from "../ops/gpu_fixture.ts";
import { languageLoss } from "../reference/training.ts";
import { goldenArchitectures, loadTwins, type Twins } from "./model_fixture.ts";

const promptWeight: number = 0.25;
/** Longer than the window of the Gemma-2, shorter, and a sequence of one token, which has no target. */
const batch = [
  { ids: [1, 7, 9, 30, 30, 7, 12, 40, 41, 5, 6, 2], promptLength: 4 },
  { ids: [1, 60, 7, 2], promptLength: 1 },
  { ids: [1], promptLength: 1 },
  { ids: [1, 8, 8, 8, 2], promptLength: 5 },
];

/** Loss and gradients by parameter name, row-major, of one recorded pass. */
async function gradientsOf(trial: Trial, { model }: Twins) {
  const { gpu, config } = model;
  const ids = batch.map(({ ids }) => ids);
  const weights = batch.flatMap(({ ids, promptLength }) =>
    ids.map((_, t) => t + 1 === ids.length ? 0 : t + 1 < promptLength ? promptWeight : 1)
  );
  const total = weights.reduce((a, b) => a + b, 0);
  const targets = ids.flatMap((ids) => ids.map((_, t) => ids[t + 1] ?? 0));
  const { matrices, norms } = allParameters(model.weights);
  using tokens = TokenBatch.wholeSequences(gpu, ids);
  using scatter = prepareScatter(gpu, ids.flat());
  using plan = new Plan(gpu, "language pass");
  const sink = (elements: number) => {
    const gradient = trial.unwritten(elements);
    fill(plan, gradient, 0);
    return gradient;
  };
  const sinks = {
    weights: new Map<Weight, Tensor>(matrices.map((weight) => [weight, sink(weight.rows * weight.columns)])),
    norms: new Map<Norm, Tensor>(norms.map((norm) => [norm, sink(norm.weight.elements)])),
  };
  const losses = recordLanguagePass(plan, model, {
    batch: tokens,
    cacheRows: tokens.count,
    targets: trial.upload(Uint32Array.from(targets)),
    targetWeights: trial.upload(Float32Array.from(weights, (weight) => weight / total)),
    scatter,
    sinks,
  });
  plan.run();
  plan.run(); // sinks are cleared by the plan itself, so a second run must change nothing
  const gradients = new Map<string, Float32Array>();
  for (const [{ name }, gradient] of sinks.weights) gradients.set(name, await gpu.read(gradient));
  for (const [norm, gradient] of sinks.norms) gradients.set(norm.weight.label, await gpu.read(gradient));
  model.weights.layers.forEach((layer, l) => {
    for (const matrix of ["qkv", "output", "gateUp", "down"] as const) {
      const { name: first, columns } = layer[matrix];
      const fused = gradients.get(first)!;
      for (const { name, firstRow, rows } of partsOf(config, l, matrix)) {
        gradients.set(name, fused.slice(firstRow * columns, (firstRow + rows) * columns));
      }
    }
  });
  return { loss: (await gpu.read(losses)).reduce((a, b) => a + b, 0), gradients };
}

for (const name of goldenArchitectures) {
  gpuTestOfVariants(
    `loss and gradient of every parameter of ${name} equal those of its twin`,
    async (trial) => {
      using twins = await loadTwins(trial.gpu, name);
      const expected = languageLoss(twins.reference, batch, promptWeight);
      const { loss, gradients } = await gradientsOf(trial, twins);
      assertClose("loss", [loss], [expected.loss], 1e-5);
      assertEquals([...gradients.keys()].sort(), [...expected.gradients.keys()].sort());
      for (const [parameter, gradient] of expected.gradients) {
        assertClose(parameter, gradients.get(parameter)!, gradient, gradientTolerance);
      }
    },
  );
}
