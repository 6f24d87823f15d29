import { assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { Checkpoint, readTensors, writeSafetensors } from "../../engine/checkpoint/checkpoint.ts";
import { InputError } from "../../engine/errors.ts";
import { exportPeft, readPeft } from "../../engine/patch/peft.ts";
import { madePatch } from "./patched_fixture.ts";

const model = fileURLToPath(new URL("../../fixtures/golden/llama-tiny", import.meta.url));

async function inFolder(work: (folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A rank-2 adapter of one 3 x 4 matrix as PEFT writes it, but for what `config` says. */
async function handMade(folder: string, config: Record<string, unknown> = {}) {
  const key = "base_model.model.model.layers.0.mlp.up_proj";
  await writeSafetensors(join(folder, "adapter_model.safetensors"), {
    [`${key}.lora_A.weight`]: { dtype: "F32", shape: [2, 4], data: Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8) },
    [`${key}.lora_B.weight`]: { dtype: "F32", shape: [3, 2], data: Float32Array.of(1, 0, 0, 1, 2, -1) },
  }, { format: "pt" });
  await Deno.writeTextFile(
    join(folder, "adapter_config.json"),
    JSON.stringify({ peft_type: "LORA", r: 8, lora_alpha: 16, rank_pattern: {}, bias: "none", ...config }),
  );
}

Deno.test("a patch comes back from its PEFT folder bit for bit", () =>
  inFolder(async (folder) => {
    const patch = await madePatch(model, 0.01);
    using checkpoint = await Checkpoint.open(model);
    await exportPeft(patch, checkpoint, folder, { model: "org/name", revision: "abc" });
    const read = new Map((await readPeft(folder)).map((delta) => [delta.name, delta]));
    assertEquals(read.size, patch.tensors.length);
    for (const { name, rows, delta, columns } of patch.tensors) {
      const { outputs, inputs, rank, delta: whole } = read.get(name)!;
      assertEquals([outputs, inputs], checkpoint.tensor(name)!.shape);
      assertEquals(rank, rows.length);
      const expected = new Float32Array(outputs * inputs);
      rows.forEach((row, r) => expected.set(delta.subarray(r * columns, (r + 1) * columns), row * columns));
      assertEquals(whole.map(Math.fround), expected.map((value) => value + 0), name); // no value is a negative zero
    }
    const config = JSON.parse(await Deno.readTextFile(join(folder, "adapter_config.json")));
    assertEquals([config.base_model_name_or_path, config.revision], ["org/name", "abc"]);
    assertEquals(config.rank_pattern, config.alpha_pattern);
  }));

Deno.test("an adapter's change is alpha / rank · B · A", () =>
  inFolder(async (folder) => {
    await handMade(folder, { rank_pattern: { "layers.0.mlp.up_proj": 2 }, alpha_pattern: { up_proj: 6 } });
    const [delta] = await readPeft(folder);
    assertEquals(delta!.name, "model.layers.0.mlp.up_proj.weight");
    // 3 · B · A with B = [[1, 0], [0, 1], [2, -1]]
    assertEquals([...delta!.delta], [3, 6, 9, 12, 15, 18, 21, 24, -9, -6, -3, 0]);
    await handMade(folder, { use_rslora: true, lora_alpha: 4 });
    assertAlmostEquals((await readPeft(folder))[0]!.delta[0]!, 4 / Math.SQRT2, 1e-6);
  }));

Deno.test("what is no plain LoRA adapter is refused in one sentence", () =>
  inFolder(async (folder) => {
    await assertRejects(
      () => readPeft(folder),
      InputError,
      "is no PEFT adapter: it has no adapter_config.json",
    );
    for (
      const [config, message] of [
        [{ peft_type: "IA3" }, "peft_type: only LoRA adapters are read"],
        [{ use_dora: true }, "DoRA"],
        [{ bias: "all" }, "change biases"],
        [{ fan_in_fan_out: true }, "transposed"],
        [{ r: 0 }, "r:"],
      ] as const
    ) {
      await handMade(folder, config);
      await assertRejects(() => readPeft(folder), InputError, message);
    }
    await Deno.writeTextFile(join(folder, "adapter_config.json"), "{");
    await assertRejects(() => readPeft(folder), InputError, "is not JSON");
  }));

Deno.test("a patch of another model is not exported", () =>
  inFolder(async (folder) => {
    const patch = await madePatch(model, 0.01);
    using other = await Checkpoint.open(
      fileURLToPath(new URL("../../fixtures/gemma2-mini", import.meta.url)),
    );
    await assertRejects(
      () => exportPeft(patch, other, folder, { model: "x" }),
      InputError,
      "which is no matrix of the model",
    );
  }));

Deno.test("each module finds its own rank among the patterns, as PEFT looks for it, and is not scaled", () =>
  inFolder(async (folder) => {
    using checkpoint = await Checkpoint.open(model);
    const whole = await madePatch(model, 0.01);
    // As many rows as its number says, so that another's rank would be a wrong one.
    const patch = {
      ...whole,
      tensors: whole.tensors.map((tensor, t) => ({
        ...tensor,
        rows: tensor.rows.slice(0, 1 + t % 5),
        delta: tensor.delta.slice(0, (1 + t % 5) * tensor.columns),
      })),
    };
    await exportPeft(patch, checkpoint, folder, { model: "org/name" });
    const config = JSON.parse(await Deno.readTextFile(join(folder, "adapter_config.json")));
    const stored = await readTensors(join(folder, "adapter_model.safetensors"));
    for (const { name, rows } of patch.tensors) {
      const module = name.replace(/\.weight$/, "");
      for (const patterns of [config.rank_pattern, config.alpha_pattern]) {
        const found = Object.keys(patterns).filter((key) => new RegExp(`^(.*\\.)?(${key})$`).test(module));
        assertEquals(found, [module]);
        assertEquals(patterns[module], rows.length);
      }
      assertEquals(config.target_modules.includes(module), true);
      const key = `base_model.model.${module}.lora_A.weight`;
      assertEquals(stored.get(key)!.shape[0], rows.length);
    }
    assertEquals([config.r, config.lora_alpha, config.use_rslora], [5, 5, false]);
  }));
