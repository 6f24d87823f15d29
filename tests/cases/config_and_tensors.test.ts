/** Model folders from public reports that were once computed as another model, or refused for a reason that was not theirs. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { writeSafetensors } from "../../engine/checkpoint/checkpoint.ts";
import { readTensors } from "../../engine/checkpoint/checkpoint.ts";
import { InputError } from "../../engine/errors.ts";
import { Gpu } from "../../engine/gpu/gpu.ts";
import { runGenerate } from "../../engine/run/generation_run.ts";
import { alterSafetensors } from "../model/model_fixture.ts";
import { answeringModel } from "./answering_model.ts";

type Folder = Awaited<ReturnType<typeof answeringModel>>;

/** What the model of a folder answers, and what is said of it. */
async function answer(folder: { readonly path: string }, ignoreTensors?: string[]) {
  using gpu = await Gpu.open();
  const said: string[] = [];
  const { completions } = await runGenerate(
    gpu,
    {
      model: { source: folder.path, ...(ignoreTensors && { ignoreTensors }) },
      generation: { question: "?" },
    },
    { tune: false, notice: (text) => said.push(text) },
  );
  return { text: completions[0]!.text, said };
}

async function refusal(folder: { readonly path: string }): Promise<string> {
  const { message } = await assertRejects(() => answer(folder), InputError);
  assert(!message.includes("\n") && message.endsWith("."), message);
  return message.replaceAll(folder.path, "DIR");
}

/** Writes further tensors into a folder's checkpoint. */
async function withTensors(folder: Folder, further: Record<string, number[]>) {
  const path = join(folder.path, "model.safetensors");
  const tensors = Object.fromEntries(
    [...await readTensors(path)].map((
      [name, { shape, data }],
    ) => [name, { dtype: "F32" as const, shape, data: data as Float32Array<ArrayBuffer> }]),
  );
  for (const [name, shape] of Object.entries(further)) {
    tensors[name] = { dtype: "F32", shape, data: new Float32Array(shape.reduce((a, b) => a * b)).fill(0.5) };
  }
  await writeSafetensors(path, tensors);
}

Deno.test("tensors that the model has no place for are named, and ignored when asked (DeepSeek-V3#267)", async () => {
  await using folder = await answeringModel(" yes");
  await withTensors(folder, {
    "model.layers.0.self_attn.q_proj.bias": [2],
    "model.layers.1.mlp.up_proj.weight": [2, 8],
  });
  assertEquals(
    await refusal(folder),
    'Tensor "model.layers.0.self_attn.q_proj.bias" in "DIR/model.safetensors" and 1 more have no place in the model that ' +
      "config.json describes; correct config.json, or ignore them by name.",
  );
  assertEquals(await answer(folder, ["*.bias", "model.layers.1.*"]), { text: " yes", said: [] });
});

Deno.test("tensors of no decoder are said, and harmless ones are not", async () => {
  await using folder = await answeringModel(" yes");
  await withTensors(folder, {
    "model.layers.0.self_attn.rotary_emb.inv_freq": [1],
    "vision.proj": [2],
    "mtp.fc": [2],
  });
  assertEquals(await answer(folder), {
    text: " yes",
    said: ['Tensor "vision.proj" of the checkpoint is not used.'],
  });
});

Deno.test("a head of its own beside a tied embedding is kept (transformers#42612)", async () => {
  await using folder = await answeringModel(" yes", { config: { tie_word_embeddings: true } });
  assertEquals((await answer(folder)).text, " yes"); // the embedding would answer otherwise
});

Deno.test("one matrix of embedding and head, stored by the head's name alone, is both (safetensors' save_model)", async () => {
  const answers = async (name: string) => {
    await using folder = await answeringModel(" yes", { config: { tie_word_embeddings: true } });
    const path = join(folder.path, "model.safetensors");
    const tensors = Object.fromEntries(
      [...await readTensors(path)].map((
        [own, { shape, data }],
      ) => [own, { dtype: "F32" as const, shape, data: data as Float32Array<ArrayBuffer> }]),
    );
    const matrix = tensors["model.embed_tokens.weight"]!;
    delete tensors["model.embed_tokens.weight"];
    delete tensors["lm_head.weight"];
    await writeSafetensors(path, { ...tensors, [name]: matrix });
    return await answer(folder);
  };
  assertEquals(await answers("lm_head.weight"), await answers("model.embed_tokens.weight"));
});

Deno.test("a head beside a tied embedding that is no float is refused by its type", async () => {
  await using folder = await answeringModel(" yes", { config: { tie_word_embeddings: true } });
  await alterSafetensors(
    join(folder.path, "model.safetensors"),
    (header) =>
      header.replace(
        /("lm_head\.weight":\{"dtype":)"(F32|F16|BF16)"/,
        (_, start, dtype) => `${start}"${dtype === "F32" ? "I32" : "I16"}"`,
      ),
  );
  const message = await refusal(folder);
  assert(
    /^Tensor "lm_head.weight" in file "DIR\/model.safetensors" is stored as I(32|16), but only F32/.test(
      message,
    ),
    message,
  );
});

Deno.test("weights in FP8 with their scales are named as quantized, though config.json does not say so", async () => {
  await using folder = await answeringModel(" yes");
  const name = "model.layers.0.mlp.up_proj.weight";
  await withTensors(folder, { [`${name}_scale`]: [1] });
  const path = join(folder.path, "model.safetensors");
  await alterSafetensors(path, (header) => {
    const entries = JSON.parse(header);
    const { shape } = entries[name];
    entries[name] = { ...entries[name], dtype: "F8_E4M3", shape: [shape[0], 4 * shape[1]] };
    return JSON.stringify(entries);
  });
  assertEquals(
    await refusal(folder),
    `Tensor "${name}_scale" in "DIR/model.safetensors" belongs to quantized weights, and only weights in F32, ` +
      "F16 and BF16 are computed with; use the model that was quantized, or a copy with dequantized weights.",
  );
});

Deno.test("a tensor of an unknown type refuses only a file that needs it (fastsafetensors#79)", async () => {
  await using folder = await answeringModel(" yes");
  await withTensors(folder, { "other.scale": [2] });
  await alterSafetensors(
    join(folder.path, "model.safetensors"),
    (header) =>
      header.replace(/("other\.scale":\{"dtype":)"F32"/, '$1"F8_E8M0"').replace(
        /("other\.scale":\{"dtype":"F8_E8M0","shape":)\[2\]/,
        "$1[8]",
      ),
  );
  assertEquals((await answer(folder)).text, " yes");
});

Deno.test("a model that is not causal, or quantized, is refused by the key that says so", async () => {
  const refused = async (config: Record<string, unknown>) => {
    await using folder = await answeringModel(" yes", { config });
    return await refusal(folder);
  };
  assertEquals(
    await refused({ use_bidirectional_attention: true }),
    'Field "use_bidirectional_attention" in file "DIR/config.json" is true; it must be false or absent, because only causal attention is computed.',
  );
  assertEquals(
    await refused({ quantization_config: { quant_method: "gptq", bits: 4 } }),
    'File "DIR/config.json" says by "quantization_config" that the weights are quantized (GPTQ, 4 bits), and only weights in ' +
      "F32, F16 and BF16 are computed with; use the model that was quantized, or a copy with dequantized weights.",
  );
});

Deno.test("the rotary base is read within rope_scaling too, and what two places say must agree (aiter#4742)", async () => {
  const { modelConfig } = await import("../../engine/model/config.ts");
  await using folder = await answeringModel(" yes");
  const config = JSON.parse(await Deno.readTextFile(join(folder.path, "config.json")));
  const theta = (fields: Record<string, unknown>) =>
    modelConfig({ ...config, ...fields }, "config.json").rope.theta;
  assertEquals(theta({ rope_theta: 3 }), 3);
  assertEquals(theta({ rope_theta: undefined, rope_scaling: { rope_type: "default", rope_theta: 3 } }), 3);
  assertEquals(theta({ rope_theta: undefined, rope_parameters: { rope_type: "default", rope_theta: 3 } }), 3);
  assertEquals(
    theta({
      rope_theta: 3,
      rope_parameters: { rope_theta: 3 },
      rope_scaling: { rope_type: "linear", factor: 2 },
    }),
    3,
  );
});

Deno.test("a file that is something else is named as what it is", async () => {
  const files: [string, string, string | Uint8Array | null, RegExp][] = [
    [
      "a Git LFS pointer (OmniParser#34)",
      "model.safetensors",
      "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
      /Git LFS pointer.*git lfs pull/,
    ],
    ["an HTML page", "model.safetensors", "<!DOCTYPE html><html></html>", /web page/],
    ["a gzip file", "model.safetensors", Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0), /gzip/],
    ["a folder (ChuanhuChatGPT#667)", "config.json", null, /is a folder where a file is needed/],
    ["a folder of settings", "generation_config.json", null, /is a folder where a file is needed/],
    ["a folder of prompts", "prompt.json", null, /is a folder where a file is needed/],
  ];
  for (const [what, name, content, message] of files) {
    await using folder = await answeringModel(" yes");
    const path = join(folder.path, name);
    await Deno.remove(path).catch(() => {});
    if (content === null) await Deno.mkdir(path);
    else {await Deno.writeFile(
        path,
        typeof content === "string" ? new TextEncoder().encode(content) : content,
      );}
    const said = await refusal(folder);
    assert(message.test(said), `${what}: ${said}`);
  }
});

Deno.test("a header that names a tensor twice is refused (safetensors#401)", async () => {
  await using folder = await answeringModel(" yes");
  const path = join(folder.path, "model.safetensors");
  await alterSafetensors(
    path,
    (header) =>
      header.replace(/^\{/, '{"model.norm.weight":{"dtype":"F32","shape":[8],"data_offsets":[0,32]},'),
  );
  assert(/names "model\.norm\.weight" twice|"model\.norm\.weight".*twice/.test(await refusal(folder)));
});
