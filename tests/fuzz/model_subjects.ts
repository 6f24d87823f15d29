/** Weights in one file and in shards, and config.json: read as a model is loaded, with a GPU that only counts. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { Checkpoint } from "../../engine/checkpoint/checkpoint.ts";
import { SizingGpu } from "../../engine/gpu/sizing_gpu.ts";
import { checkTensors } from "../../engine/model/checkpoint_tensors.ts";
import { honouredKeys, readConfig } from "../../engine/model/config.ts";
import { Model } from "../../engine/model/model.ts";
import { parameterShapes } from "../../engine/model/parameter_shapes.ts";
import { golden } from "../model/model_fixture.ts";
import {
  type Bytes,
  changeBytes,
  changeTree,
  decode,
  type Dice,
  encode,
  joinSafetensors,
  partsOfSafetensors,
  rewritten,
} from "./mutation.ts";
import type { Meaning, Mutant, Subject } from "./trial.ts";

const adapter = { maxBufferSize: 2 ** 31, maxStorageBufferBindingSize: 2 ** 31 };

export function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex").slice(0, 16);
}

/** What a model folder says: its configuration and every parameter. */
export async function readModel(folder: string): Promise<Meaning> {
  using gpu = new SizingGpu(adapter, true);
  using _ = await Model.load(gpu, folder, { tune: false });
  using checkpoint = await Checkpoint.open(folder);
  const { config, source } = await checkTensors(await readConfig(folder), checkpoint);
  const { architecture, ...rest } = config;
  const meaning: Record<string, string> = { "config.modelType": architecture.modelType };
  for (const [key, value] of Object.entries(rest)) meaning[`config.${key}`] = JSON.stringify(value);
  for (const { name, shape } of parameterShapes(config)) {
    const info = source.require(name, shape);
    const raw = await source.readRaw(info, 0, shape.reduce((a, b) => a * b, 1));
    meaning[`tensor.${name}`] = `${info.dtype} ${shape} ${digest(raw)}`;
  }
  return meaning;
}

async function copy(from: string, to: string, names: readonly string[]) {
  for (const name of names) await Deno.copyFile(join(from, name), join(to, name));
}

const modelFile = "model.safetensors";

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** A mutant of a safetensors file; `nameOf` gives the part of the meaning that a tensor is. */
export function changeSafetensors(
  dice: Dice,
  file: string,
  bytes: Bytes,
  nameOf: (tensor: string) => string = (tensor) => `tensor.${tensor}`,
): Mutant {
  const { header, data } = partsOfSafetensors(bytes);
  const names = Object.keys(header).filter((name) => name !== "__metadata__");
  const entries = header as Record<string, Entry>;
  const made = (what: string, header: string, rest: Partial<Mutant> = {}, length?: bigint): Mutant => ({
    what: `${file}, ${what}`,
    files: { [file]: joinSafetensors(header, data, length) },
    ...rest,
  });
  switch (dice.below(8)) {
    case 0:
      return made("its header written otherwise", rewritten(header, dice) + " ".repeat(dice.below(9)), {
        expected: "same",
      });
    case 1: {
      const length = dice.pick([
        0n,
        1n,
        2n ** 63n,
        2n ** 64n - 1n,
        BigInt(data.length),
        BigInt(bytes.length),
        100_000_001n,
        BigInt(dice.below(4000)),
      ]);
      return made(
        `a header of ${length} bytes announced`,
        JSON.stringify(header),
        { expected: "refused" },
        length,
      );
    }
    case 2:
    case 3: {
      const { tree, what } = changeTree(header, dice);
      // Two types of the same size cannot be told apart, nor two tensors of one shape that have changed places.
      const now = typeof tree === "object" && tree !== null ? tree as Record<string, Partial<Entry>> : {};
      const moved = names.filter((name) => JSON.stringify(now[name]) !== JSON.stringify(entries[name])).map(
        nameOf,
      );
      const unknowable = (part: string) => moved.includes(part);
      return made(`header with ${what}`, JSON.stringify(tree), { may: unknowable });
    }
    case 4: {
      const changed = changeBytes(encode(JSON.stringify(header)), dice);
      let touched: string[] = [];
      try {
        const now = JSON.parse(decode(changed.bytes)) as Record<string, Entry>;
        touched = names.filter((name) => JSON.stringify(now[name]) !== JSON.stringify(entries[name])).map(
          nameOf,
        );
      } catch { /* it can only be refused */ }
      const text = changed.bytes;
      const whole = new Uint8Array(8 + text.length + data.length);
      new DataView(whole.buffer).setBigUint64(0, BigInt(text.length), true);
      whole.set(text, 8);
      whole.set(data, 8 + text.length);
      return {
        what: `${file}, header: ${changed.what}`,
        files: { [file]: whole },
        may: (part) => touched.includes(part),
      };
    }
    case 5: {
      const name = dice.pick(names);
      const text = JSON.stringify(header);
      const twice = `{${JSON.stringify(name)}:${JSON.stringify(entries[name])},${text.slice(1)}`;
      return made(`"${name}" twice`, twice, { expected: "refused" });
    }
    case 6: {
      const name = dice.pick(names);
      const [start, end] = entries[name]!.data_offsets;
      const changed = data.slice();
      const at = start + dice.below(end - start);
      changed[at]! ^= 1 << dice.below(8);
      return {
        what: `${file}, a bit of "${name}" turned`,
        files: { [file]: joinSafetensors(JSON.stringify(header), changed) },
        may: (part) => part === nameOf(name),
      };
    }
    default: {
      const changed = dice.happens(0.5)
        ? { bytes: bytes.slice(0, dice.below(bytes.length)), what: "cut off" }
        : { bytes: Uint8Array.from([...bytes, ...new Uint8Array(1 + dice.below(64))]), what: "longer" };
      return { what: `${file}, ${changed.what}`, files: { [file]: changed.bytes }, expected: "refused" };
    }
  }
}

export const weights: Subject = {
  name: "weights",
  prepare: async (folder) => await copy((await golden("llama-tiny")).dir, folder, ["config.json", modelFile]),
  read: readModel,
  mutate: (dice, files) => changeSafetensors(dice, modelFile, files.get(modelFile)!),
};

const indexFile = "model.safetensors.index.json";
const shards = [1, 2, 3].map((n) => `model-0000${n}-of-00003.safetensors`);

export const index: Subject = {
  name: "index",
  prepare: async (folder) =>
    await copy((await golden("gemma2-bf16-sharded")).dir, folder, ["config.json", indexFile, ...shards]),
  read: readModel,
  mutate(dice, files) {
    const value = JSON.parse(decode(files.get(indexFile)!)) as { weight_map: Record<string, string> };
    const made = (what: string, text: string, rest: Partial<Mutant> = {}): Mutant => ({
      what,
      files: { [indexFile]: encode(text) },
      ...rest,
    });
    switch (dice.below(6)) {
      case 0:
        return made("written otherwise", rewritten(value, dice), { expected: "same" });
      case 1: {
        const name = dice.pick(Object.keys(value.weight_map));
        const shard = dice.pick([
          ...["../secret", "/etc/passwd", "", ".", "..", "/", "config.json", "\u0000", "a".repeat(5000)],
          ...["./../folder/x", "model.safetensors", indexFile, "//", "../folder"],
        ]);
        value.weight_map[name] = shard;
        return made(`"${name}" in ${JSON.stringify(shard).slice(0, 40)}`, JSON.stringify(value), {
          expected: "refused",
        });
      }
      case 2: {
        const shard = dice.pick(shards);
        const link = dice.pick(["../secret", "../none", ".", shard]);
        return { what: `${shard} a link to ${link}`, files: { [shard]: { link } }, expected: "refused" };
      }
      case 3:
        return { what: "a shard is missing", files: { [dice.pick(shards)]: null }, expected: "refused" };
      case 4: {
        const changed = changeBytes(files.get(indexFile)!, dice);
        return { what: changed.what, files: { [indexFile]: changed.bytes } };
      }
      default: {
        const { tree, what } = changeTree(value, dice);
        return made(what, JSON.stringify(tree));
      }
    }
  },
};

/** A head of its own is a parameter more. */
const head = "tensor.lm_head.weight";

export const config: Subject = {
  name: "config",
  prepare: async (folder) => {
    await copy((await golden("gemma2-tiny")).dir, folder, ["config.json", modelFile]);
    await Deno.writeTextFile(
      join(folder, "generation_config.json"),
      '{"eos_token_id": [1, 2], "do_sample": false}',
    );
  },
  read: readModel,
  mutate(dice, files) {
    const file = dice.happens(0.85) ? "config.json" : "generation_config.json";
    const value = JSON.parse(decode(files.get(file)!)) as Record<string, unknown>;
    const speaksOf = (keys: readonly string[]) => (part: string) =>
      file === "config.json"
        ? keys.some((key) => honouredKeys.has(key)) && (part.startsWith("config.") || part === head)
        : part === "config.eosTokens";
    const made = (what: string, text: string, rest: Partial<Mutant> = {}): Mutant => ({
      what: `${file}, ${what}`,
      files: { [file]: encode(text) },
      ...rest,
    });
    switch (dice.below(6)) {
      case 0:
        return made("written otherwise", rewritten(value, dice), { expected: "same" });
      case 1: {
        const note = dice.pick([
          "transformers_version",
          "unsloth_fixed",
          "use_cache",
          "initializer_range",
          "architectures",
        ]);
        value[note] = dice.pick([null, "4.57.1", true, 0.02, ["x"]]);
        return made(`${note} added`, JSON.stringify(value), { expected: "same" });
      }
      case 2: {
        const changed = changeBytes(files.get(file)!, dice);
        return {
          what: `${file}, ${changed.what}`,
          files: { [file]: changed.bytes },
          may: speaksOf([...honouredKeys]),
        };
      }
      case 3: {
        const sizes = Object.keys(value).filter((key) => typeof value[key] === "number");
        const key = dice.pick(sizes.length > 0 ? sizes : ["eos_token_id"]);
        value[key] = dice.pick([1e9, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 1e300, 2 ** 24, 1, 3, 10 ** 12]);
        return made(`${key} ${value[key]}`, JSON.stringify(value), { may: speaksOf([key]) });
      }
      default: {
        const { tree, path, what } = changeTree(value, dice);
        const keys = path.length > 0 ? [path[0]!] : [...honouredKeys];
        return made(what, JSON.stringify(tree), { may: speaksOf(keys) });
      }
    }
  },
};
