/** Loading of model folders: damaged ones are refused in one sentence, and nothing stays on the GPU. */
import { join } from "node:path";
import {
  assert,
  assertEquals,
  assertGreater,
  assertLessOrEqual,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import type { Gpu } from "../../engine/gpu/gpu.ts";
import { SizingGpu } from "../../engine/gpu/sizing_gpu.ts";
import { Model } from "../../engine/model/model.ts";
import { Checkpoint } from "../../engine/checkpoint/checkpoint.ts";
import { loadWeights } from "../../engine/model/weights.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import {
  alterSafetensors,
  copyOf,
  embeddedModel,
  golden,
  setElement,
  temporaryFolder,
} from "./model_fixture.ts";

/** Demands that loading fails with one sentence that names `parts`, and leaves nothing on the GPU. */
async function assertRefused(gpu: Gpu, folder: string, ...parts: string[]) {
  const before = { ...gpu.memory };
  const { message } = await assertRejects(() => Model.load(gpu, folder), InputError);
  for (const part of parts) assertStringIncludes(message, part);
  assert(!message.includes("\n"), `more than one line: ${message}`);
  assert(message.endsWith(".") && !/[.!?] [A-Z]/.test(message), `not one sentence: ${message}`);
  assertEquals(gpu.memory.liveBuffers, before.liveBuffers, `buffers left after: ${message}`);
  assertEquals(gpu.memory.liveBytes, before.liveBytes, `bytes left after: ${message}`);
}

/** A test on a copy of a golden model that `damage` has had. */
function damagedTest(name: string, damage: (folder: string) => Promise<void>, ...parts: string[]) {
  gpuTest(name, async ({ gpu }) => {
    await using copy = await copyOf((await golden("olmo2-tiny")).dir);
    await damage(copy.path);
    await assertRefused(gpu, copy.path, ...parts);
  });
}

const weights = (folder: string) => join(folder, "model.safetensors");
const lastUp = "model.layers.2.mlp.up_proj.weight";

async function alterConfig(folder: string, changes: Record<string, unknown>) {
  const path = join(folder, "config.json");
  const config = JSON.parse(await Deno.readTextFile(path));
  await Deno.writeTextFile(path, JSON.stringify({ ...config, ...changes }));
}

gpuTest("a folder that does not exist is refused", async ({ gpu }) => {
  await assertRefused(gpu, "no/such/model", "no/such/model", "does not exist");
});

damagedTest(
  "a folder without config.json is refused",
  (folder) => Deno.remove(join(folder, "config.json")),
  "config.json",
);

damagedTest(
  "a folder without weights is refused",
  (folder) => Deno.remove(weights(folder)),
  "model.safetensors",
);

damagedTest(
  "truncated weights are refused",
  async (folder) => {
    const { size } = await Deno.stat(weights(folder));
    await Deno.truncate(weights(folder), size - 100);
  },
  "model.safetensors",
  "truncated",
);

damagedTest(
  "a header longer than its file is refused",
  async (folder) => {
    const bytes = await Deno.readFile(weights(folder));
    new DataView(bytes.buffer).setBigUint64(0, 10n ** 12n, true);
    await Deno.writeFile(weights(folder), bytes);
  },
  "model.safetensors",
  "1000000000000",
);

damagedTest(
  "a weight that is NaN is refused",
  (folder) => setElement(weights(folder), lastUp, 37, NaN),
  "model.safetensors",
  lastUp,
  "NaN",
  "element 37",
);

damagedTest(
  "a weight that is infinite is refused",
  (folder) => setElement(weights(folder), "model.embed_tokens.weight", 5, -Infinity),
  "model.embed_tokens.weight",
  "infinity",
  "element 5",
);

damagedTest(
  "a norm that is NaN is refused",
  (folder) => setElement(weights(folder), "model.layers.1.self_attn.k_norm.weight", 0, NaN),
  "model.layers.1.self_attn.k_norm.weight",
);

damagedTest(
  "an unknown model_type is refused",
  (folder) => alterConfig(folder, { model_type: "gpt5" }),
  "config.json",
  "model_type",
  '"gpt5"',
);

damagedTest(
  "weights that lack a tensor are refused",
  (folder) =>
    alterSafetensors(weights(folder), (header) => header.replace(lastUp, lastUp.replace("up", "op"))),
  lastUp,
  "missing",
);

damagedTest(
  "a tensor of another shape than config.json makes it is refused",
  (folder) => alterConfig(folder, { intermediate_size: 55 }),
  "model.layers.0.mlp.gate_proj.weight",
  "[56, 32]",
  "[55, 32]",
);

damagedTest(
  "a tensor of a type that is no float is refused",
  (folder) =>
    alterSafetensors(
      weights(folder),
      (header) => header.replace(/("model\.norm\.weight":\s*\{\s*"dtype":\s*)"F32"/, '$1"I32"'),
    ),
  "model.norm.weight",
  "I32",
);

gpuTest("a model folder without a tokenizer loads, and says so when text is asked for", async ({ gpu }) => {
  const { dir } = await golden("llama-tiny");
  using model = await Model.load(gpu, dir);
  const error = (() => {
    try {
      return model.tokenizer;
    } catch (error) {
      return error;
    }
  })();
  assert(error instanceof InputError);
  assertStringIncludes(error.message, dir);
  assertStringIncludes(error.message, "tokenizer.json");
});

gpuTest("loading and disposing of a model three times leaves nothing on the GPU", async ({ gpu }) => {
  for (const folder of [embeddedModel, (await golden("olmo2-tiny")).dir]) {
    const { liveBuffers, liveBytes } = gpu.memory;
    const loaded: number[] = [];
    for (let time = 0; time < 3; time++) {
      {
        using model = await Model.load(gpu, folder);
        loaded.push(gpu.memory.liveBytes - liveBytes);
        assertGreater(loaded[time], 4 * model.parameters);
        await model.run([1, 2, 3]);
        assertEquals(gpu.memory.liveBytes - liveBytes, loaded[time]);
      }
      assertEquals([gpu.memory.liveBuffers, gpu.memory.liveBytes], [liveBuffers, liveBytes]);
    }
    assertEquals(loaded, [loaded[0], loaded[0], loaded[0]]);
  }
});

Deno.test("a large checkpoint streams: at most 80 MiB wait for the GPU at any time", async () => {
  const { config } = await golden("llama-tiny");
  // 288 MiB of embedding, which on disk is a hole.
  const sizes = { ...config, vocabSize: 2 ** 16 + 2 ** 13, hiddenSize: 2048, layers: 0, tiedEmbedding: true };
  await using folder = await temporaryFolder();
  const path = join(folder.path, "model.safetensors");
  const [embedding, norm] = [2 * sizes.vocabSize * sizes.hiddenSize, 2 * sizes.hiddenSize];
  const header = JSON.stringify({
    "model.embed_tokens.weight": {
      dtype: "BF16",
      shape: [sizes.vocabSize, sizes.hiddenSize],
      data_offsets: [0, embedding],
    },
    "model.norm.weight": {
      dtype: "BF16",
      shape: [sizes.hiddenSize],
      data_offsets: [embedding, embedding + norm],
    },
  }).padEnd(256);
  const head = new Uint8Array(8);
  new DataView(head.buffer).setBigUint64(0, 256n, true);
  await Deno.writeFile(path, await new Blob([head, header]).bytes());
  await Deno.truncate(path, 8 + 256 + embedding + norm);

  const gpu = new SizingGpu({ maxBufferSize: 2 ** 30, maxStorageBufferBindingSize: 2 ** 27 }, false);
  let [waiting, most, written] = [0, 0, 0];
  const { queue } = gpu.device;
  queue.writeBuffer = (_buffer, _offset, data) => {
    waiting += data.byteLength;
    written += data.byteLength;
    most = Math.max(most, waiting);
  };
  queue.onSubmittedWorkDone = () => {
    waiting = 0;
    return Promise.resolve(undefined);
  };
  using checkpoint = await Checkpoint.open(folder.path);
  const weights = await loadWeights(gpu, checkpoint, sizes, "checkpoint");
  assertEquals(weights.embedding.chunks.map(({ rows }) => rows), [2 ** 15, 2 ** 15, 2 ** 13]);
  assertGreater(written, embedding);
  assertLessOrEqual(most, 80 * 2 ** 20);
});
