/** NaN and infinity in what a model computes: found where it generates or scores, and named by layer and site. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { learnMask } from "../../engine/circuit/mask_training.ts";
import { overlayRows } from "../../engine/circuit/overlay.ts";
import { NonFiniteError } from "../../engine/errors.ts";
import { firstNonFinite } from "../../engine/model/finite.ts";
import { generate } from "../../engine/model/generate.ts";
import { Model } from "../../engine/model/model.ts";
import { score } from "../../engine/model/score.ts";
import { softCap } from "../../engine/ops/elementwise.ts";
import { pairLoss } from "../../engine/ops/loss.ts";
import { noToken, sample } from "../../engine/ops/sampling.ts";
import { gpuTest, gpuTestOfVariants } from "../ops/gpu_fixture.ts";
import { embeddedModel } from "./model_fixture.ts";

gpuTest(
  "activations that overflow end a generation or a scoring, and their layer and site are named",
  async ({ gpu }) => {
    using model = await Model.load(gpu, embeddedModel, { tune: false });
    const ids = model.tokenizer.encode("Q: What is 3 + 4?\nA:");
    assertEquals(await firstNonFinite(model, ids), undefined);
    const { gateUp } = model.weights.layers[1]!;
    const { mlpWidth } = model.config;
    const refused = async (work: () => Promise<unknown>, site: string) => {
      const { message } = await assertRejects(work, NonFiniteError, site);
      assert(/^The activations at layers[^\n]*\.$/.test(message), message);
    };
    for (const temperature of [0, 0.8]) {
      overlayRows(model, gateUp, Uint32Array.of(mlpWidth), new Float32Array(gateUp.columns).fill(Infinity));
      await refused(
        () => generate(model, [{ ids, temperature }], { maxNewTokens: 4 }),
        "layers.1.mlp_neurons",
      );
      model.revert();
    }
    overlayRows(
      model,
      model.weights.layers[2]!.output,
      Uint32Array.of(0),
      new Float32Array(model.weights.layers[2]!.output.columns).fill(NaN),
    );
    await refused(
      () => score(model, [{ context: ids, continuation: ids.slice(-2) }]),
      "layers.2.mlp_neurons",
    );
    const examples = [{ prefix_ids: ids, desired_token: 5, undesired_token: 6 }];
    await refused(() => learnMask(model, examples, { epochs: 1 }), "layers.2.mlp_neurons");
    model.revert();
    await assertRejects(
      () => learnMask(model, examples, { epochs: 1, strength: 3e38 }),
      NonFiniteError,
      "the loss of step 1 is",
    );
    assertEquals((await generate(model, [{ ids }], { maxNewTokens: 4 }))[0]!.length > 0, true);
  },
);

gpuTestOfVariants(
  "no token is drawn where a logit is NaN or infinite, but infinitely small ones are no bar",
  async (trial) => {
    const width = 300;
    const rows = [
      new Float32Array(width).fill(NaN),
      new Float32Array(width).fill(-Infinity),
      new Float32Array(width).map((_, i) => i === 7 ? Infinity : i),
      new Float32Array(width).map((_, i) => i === 7 ? NaN : i),
      new Float32Array(width).map((_, i) => i === 7 ? -Infinity : i),
    ];
    const logits = trial.upload(Float32Array.from(rows.flatMap((row) => [...row])), rows.length, width);
    for (const temperature of [0, 0.5]) {
      const setting = new Uint32Array(8);
      new Float32Array(setting.buffer).set([temperature, 0, 1]);
      setting[1] = 0;
      const sampling = trial.upload(Uint32Array.from(rows.flatMap(() => [...setting])), rows.length, 8);
      const next = trial.unwritten(rows.length);
      trial.run((plan) => sample(plan, logits, sampling, next, 0));
      const drawn = await trial.gpu.readU32(next);
      assertEquals([...drawn.subarray(0, 4)], [noToken, noToken, noToken, noToken]);
      assert(drawn[4]! > 7 && drawn[4]! < width, String(drawn[4]));
    }
  },
);

gpuTest("soft caps bound infinity and let NaN through, as losses do", async (trial) => {
  const values = Float32Array.of(NaN, Infinity, -Infinity, 0.5);
  const logits = trial.upload(values, 1, 4);
  trial.run((plan) => softCap(plan, logits, 30));
  const capped = await trial.gpu.read(logits);
  assertEquals([...capped.subarray(0, 3)], [NaN, 30, -30]);
  const pairs = trial.upload(Float32Array.of(NaN, 1, 2, 1), 2, 2);
  const [weights, gradient, results] = [
    trial.upload(Float32Array.of(1, 1), 2),
    trial.unwritten(2, 2),
    trial.unwritten(2, 2),
  ];
  for (const objective of ["preference", "logit-difference"] as const) {
    trial.run((plan) => pairLoss(plan, objective, pairs, weights, 30, gradient, results));
    const [loss, , other] = await trial.gpu.read(results);
    assert(Number.isNaN(loss) && Number.isFinite(other!), `${loss} ${other}`);
  }
});
