/** A model's parameters by the names of its checkpoint. */
import { assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { Model } from "../../engine/model/model.ts";
import { parameterShapes } from "../../engine/model/parameter_shapes.ts";
import { readParameters } from "../../engine/model/parameters.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { embeddedModel } from "./model_fixture.ts";
import { randomModel, smallSizes } from "./random_model.ts";

const cases: Record<string, Record<string, unknown>> = {
  "biases and an untied head": { model_type: "llama", attention_bias: true },
  "biases on q, k and v alone": { model_type: "qwen2", tie_word_embeddings: true },
  "norms on whole projections": { model_type: "olmo2" },
  "norms on every head": { model_type: "qwen3" },
  "four norms a layer": { model_type: "gemma2", sliding_window: 5, query_pre_attn_scalar: 9 },
};

for (const [what, config] of Object.entries(cases)) {
  gpuTest(`parameters are read back as the checkpoint has them, with ${what}`, async ({ gpu }) => {
    await using random = await randomModel({ ...smallSizes, ...config });
    using model = await Model.load(gpu, random.path, { storage: "f32" });
    const read = await readParameters(model);
    const shapes = parameterShapes(model.config);
    assertEquals([...read.keys()], shapes.map(({ name }) => name));
    assertEquals([...read.keys()].sort(), [...random.reference.weights.keys()].sort());
    for (const { name, shape } of shapes) {
      assertEquals(read.get(name)!.length, shape.reduce((a, b) => a * b, 1), name);
      assertEquals([...read.get(name)!], [...random.reference.weights.get(name)!], name);
    }
  });
}

gpuTest("parameters in 16 bits are refused", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel, { storage: "checkpoint" });
  await assertRejects(() => readParameters(model), InputError, "stored as f16");
});
