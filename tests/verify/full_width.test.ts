/** The full-width check in miniature: it passes on every published shape, and fails when a kernel is wrong. */
import { join } from "node:path";
import { assert, assertEquals, assertLess, assertMatch, assertNotEquals } from "@std/assert";
import { Gpu } from "../../engine/gpu/gpu.ts";
import { modelConfig } from "../../engine/model/config.ts";
import { publishedShapes } from "../../engine/model/published_shapes.ts";
import { Checkpoint } from "../../engine/checkpoint/checkpoint.ts";
import { writeRandomCheckpoint } from "../../engine/verify/random_checkpoint.ts";
import { matmulNN } from "../../engine/reference/ops.ts";
import { StreamedMatrices } from "../../engine/reference/streamed_matrices.ts";
import { ReferenceModel } from "../../engine/reference/transformer.ts";
import { type Check, limits } from "../../engine/verify/golden.ts";
import { verifyShape } from "../../engine/verify/full_width.ts";
import { golden, temporaryFolder } from "../model/model_fixture.ts";

/** Bytes of the largest binding. Every matrix but o_proj is larger, and nothing else is. */
const bindingBytes = 240 * 1024;

/** A published shape with its kinds of layers, heads to a group and constants, but small widths and two layers. */
function miniature(name: string): Record<string, unknown> {
  const shape = publishedShapes[name]!;
  const group = Number(shape.num_attention_heads) / Number(shape.num_key_value_heads);
  return {
    ...shape,
    hidden_size: 320,
    num_hidden_layers: 2,
    num_attention_heads: 20,
    num_key_value_heads: 20 / group,
    ...("head_dim" in shape && { head_dim: 16 }),
    intermediate_size: 480,
    vocab_size: 2000,
    max_position_embeddings: 64,
  };
}

/** A device that allows no binding above `bindingBytes`. */
async function narrowGpu(): Promise<Gpu> {
  const gpu = await Gpu.open();
  const narrow: Record<PropertyKey, unknown> = {
    maxStorageBufferBindingSize: bindingBytes,
    maxBufferSize: bindingBytes,
  };
  const get = (whole: GPUSupportedLimits, key: PropertyKey) => narrow[key] ?? Reflect.get(whole, key, whole);
  Object.defineProperty(gpu.device, "limits", { value: new Proxy(gpu.device.limits, { get }) });
  return gpu;
}

/** The checks of a miniature on a narrow device, after `prepare` has had it. */
async function checksOf(name: string, prepare: (gpu: Gpu) => void = () => {}): Promise<Check[]> {
  using gpu = await narrowGpu();
  prepare(gpu);
  await using folder = await temporaryFolder();
  const checks: Check[] = [];
  const run = await verifyShape(gpu, miniature(name), folder.path, (check) => checks.push(check));
  assertLess(run.seconds.write + run.seconds.load, run.seconds.total);
  assertLess(run.checkpoint.bytes, run.peakGpuBytes);
  assertEquals(gpu.memory.liveBuffers, 0);
  return checks;
}

for (const name of Object.keys(publishedShapes)) {
  Deno.test(`${name} passes in miniature, with matrices in several bindings`, async () => {
    const bindings = new Map<string, number>();
    const checks = await checksOf(name, (gpu) => {
      const tensor = gpu.tensor.bind(gpu);
      gpu.tensor = (shape, label, ...more) => {
        bindings.set(label, (bindings.get(label) ?? 0) + 1);
        return tensor(shape, label, ...more);
      };
    });
    assertEquals(checks.filter(({ passed }) => !passed), []);
    assertEquals(checks.length, 9);
    for (const { name, error, limit } of checks) {
      assert(limit === limits.forward || limit === limits.gradient, name);
      assertLess(error, limit / 20, `${name} is further off than float32 explains`);
    }
    assertEquals(bindings.get("model.embed_tokens.weight"), 6);
    assert(bindings.get("model.layers.0.self_attn.q_proj.weight")! > 1);
    assertEquals(bindings.get("model.layers.0.mlp.gate_proj.weight"), 3);
    assertEquals(bindings.get("model.layers.1.mlp.down_proj.weight"), 2);
  });
}

/** A line of a kernel made wrong, and the check of a miniature that must notice. */
interface Sabotage {
  readonly what: string;
  readonly kernel: RegExp;
  readonly line: RegExp;
  readonly wrong: string;
  readonly shape: string;
  readonly noticed: RegExp;
}

const sabotages: readonly Sabotage[] = [
  {
    what: "a rotation the wrong way round",
    kernel: /^rotary_append$/,
    line: /- high \* sine/,
    wrong: "+ high * sine",
    shape: "llama-3.2-1b",
    noticed: /^logits at/,
  },
  {
    what: "a query head that reads its neighbour's keys",
    kernel: /^attention(_parallel|_broadcast)?$/,
    line: /params\.key_value_heads \+ shared_head\)/,
    wrong: "params.key_value_heads + (shared_head + 1u) % params.key_value_heads)",
    shape: "qwen3-0.6b",
    noticed: /^logits at/,
  },
  {
    what: "an embedding whose later bindings begin a row late",
    kernel: /^embedding$/,
    line: /- params\.first_row;/,
    wrong: "- params.first_row - select(0u, 1u, params.first_row > 0u);",
    shape: "gemma-2-2b",
    noticed: /^logits at/,
  },
  {
    what: "pair logits from the wrong row of later bindings",
    kernel: /^token_logits$/,
    line: /let row = ids\[i\] - params\.first_row;/,
    wrong: "let row = ids[i] - params.first_row - select(0u, 1u, params.first_row > 0u);",
    shape: "olmo-2-13b",
    noticed: /^logit differences under a random mask$/,
  },
  {
    what: "attention scores without their soft cap",
    kernel: /^attention(_parallel|_broadcast)?$/,
    line: /params\.soft_cap \* bounded_tanh\((\S+) \/ params\.soft_cap\)/,
    wrong: "$1",
    shape: "gemma-2-9b",
    noticed: /^logit differences under a random mask$/,
  },
  {
    what: "a backward product that leaves out all bindings but the last",
    kernel: /^matmul_(broadcast|nn)$/,
    line: /y\[(at|\(first_m \+ \$i\) \* params\.n \+ n\$j)\] \+= sum/g,
    wrong: "y[$1] = sum",
    shape: "olmo-2-7b",
    noticed: /^mask gradient$/,
  },
  {
    what: "neurons masked with their neighbours' values",
    kernel: /^component_mask$/,
    line: /mask\[params\.first \+ /,
    wrong: "mask[params.first + 1u + ",
    shape: "llama-3.2-1b",
    noticed: /^logit differences under a random mask$/,
  },
  {
    what: "mask training without its L1 term",
    kernel: /^mask_step$/,
    line: /\+ params\.strength \* sign\(mask\[i\]\)/,
    wrong: "",
    shape: "gemma-2-2b",
    noticed: /^mask after one Adam step$/,
  },
  {
    what: "a gradient step up instead of down",
    kernel: /^gradient_step$/,
    line: /-= step/,
    wrong: "+= step",
    shape: "qwen3-0.6b",
    noticed: /^selected rows after one gradient step$/,
  },
  {
    what: "AdamW without decay",
    kernel: /^adamw$/,
    line: /1\.0 - step\.x \* step\.y/,
    wrong: "1.0",
    shape: "olmo-2-7b",
    noticed: /^selected rows after one AdamW step$/,
  },
];

for (const { what, kernel, line, wrong, shape, noticed } of sabotages) {
  Deno.test(`${what} is noticed in a miniature of ${shape}`, async () => {
    let altered = false;
    const checks = await checksOf(shape, (gpu) => {
      const compile = gpu.pipeline.bind(gpu);
      gpu.pipeline = (original) => {
        if (!kernel.test(original.name)) return compile(original);
        assertMatch(original.template, line, "The kernel no longer has the line that this test makes wrong.");
        altered = true;
        return compile({ ...original, template: original.template.replace(line, wrong) });
      };
    });
    assert(altered, `No kernel is called ${kernel.source}.`);
    const failed = checks.filter(({ passed }) => !passed).map(({ name }) => name);
    assert(failed.some((name) => noticed.test(name)), `failed: ${failed.join(", ") || "nothing"}`);
  });
}

Deno.test("rotary positions that are not stretched are noticed within eight tokens", async () => {
  using gpu = await Gpu.open();
  const upload = gpu.upload.bind(gpu);
  let altered = false;
  gpu.upload = (data, shape, label) => {
    if (label === "rotary angles") altered = true;
    const plain = label === "rotary angles" ? plainAngles(shape[0]!, shape[1]!) : data;
    return upload(plain, shape, label);
  };
  await using folder = await temporaryFolder();
  const checks: Check[] = [];
  const config = {
    ...miniature("llama-3.2-1b"),
    num_attention_heads: 8,
    num_key_value_heads: 2,
    head_dim: 64,
  };
  await verifyShape(gpu, config, folder.path, (check) => checks.push(check));
  assert(altered);
  assert(checks.some(({ name, passed }) => !passed && name.startsWith("logits at")));
});

/** (cos, sin) of position · 500000^(−2i/C) for C / 2 pairs of channels: Llama 3.2's without its scaling. */
function plainAngles(positions: number, pairs: number): Float32Array {
  return Float32Array.from({ length: positions * pairs * 2 }, (_, at) => {
    const pair = Math.floor(at / 2);
    const angle = Math.floor(pair / pairs) * 500000 ** (-(pair % pairs) / pairs);
    return at % 2 === 0 ? Math.cos(angle) : Math.sin(angle);
  });
}

Deno.test("random checkpoints are sharded bf16, and the same for the same seed", async () => {
  const config = miniature("olmo-2-7b");
  const write = async (seed: number) => {
    const folder = await temporaryFolder();
    const parsed = modelConfig(config, "config.json");
    return { folder, written: await writeRandomCheckpoint(folder.path, config, parsed, seed) };
  };
  const [one, same, other] = [await write(1), await write(1), await write(2)];
  try {
    const { parameters, bytes, shards } = one.written;
    assertEquals(bytes, parameters * 2);
    assert(shards > 1, `${shards} shards`);
    const index = JSON.parse(
      await Deno.readTextFile(join(one.folder.path, "model.safetensors.index.json")),
    );
    assertEquals(index.metadata.total_size, bytes);
    const files = [...new Set(Object.values<string>(index.weight_map))].sort();
    assertEquals(
      files,
      Array.from({ length: shards }, (_, s) => `model-0000${s + 1}-of-0000${shards}.safetensors`),
    );
    using checkpoint = await Checkpoint.open(one.folder.path);
    assertEquals(checkpoint.names().sort(), Object.keys(index.weight_map).sort());
    for (const name of checkpoint.names()) assertEquals(checkpoint.tensor(name)!.dtype, "BF16");
    for (const file of files) {
      const read = (of: typeof one) => Deno.readFile(join(of.folder.path, file));
      assertEquals(await read(one), await read(same));
      assertNotEquals(await read(one), await read(other));
    }
    const values = await checkpoint.readFloat32("model.layers.1.mlp.up_proj.weight");
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    const variance = values.reduce((sum, x) => sum + x ** 2, 0) / values.length;
    assertLess(Math.abs(mean), 1e-3);
    assertLess(Math.abs(variance * 320 - 1), 0.03);
  } finally {
    for (const { folder } of [one, same, other]) await folder[Symbol.asyncDispose]();
  }
});

Deno.test("the reference model computes the same from streamed matrices as from whole ones", async () => {
  const { dir, config, weights, cases } = await golden("gemma2-bf16-sharded");
  using matrices = await StreamedMatrices.open(dir);
  const [streamed, whole] = [new ReferenceModel(config, matrices), new ReferenceModel(config, weights)];
  const { prefix_ids: ids } = cases.dcm.localization[0]!;
  const [ours, theirs] = [streamed.forward(ids), whole.forward(ids)];
  const near = (actual: Float64Array, expected: Float64Array) => {
    const off = actual.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
    assertLess(off, 1e-12 * expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0));
  };
  near(ours.logits, theirs.logits);
  const embedding = "model.embed_tokens.weight";
  const { vocabSize: V, hiddenSize: D } = config;
  // A column without a gradient, since rows that nothing is multiplied by are not read.
  const dlogits = theirs.logits.map((value, i) => i % V === 3 ? 0 : value);
  near(
    matrices.transposedProduct(dlogits, embedding, ids.length, V, D),
    matmulNN(dlogits, weights.get(embedding)!, ids.length, D, V),
  );
});
