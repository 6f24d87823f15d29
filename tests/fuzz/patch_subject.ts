/** Patches and what is done with them: read, exported, fused, applied and reverted; and links in the model they go into. */
import { join } from "node:path";
import { fuseCheckpoint, patchCheckpoint, revertCheckpoint } from "../../engine/patch/patched_checkpoint.ts";
import { readTensors } from "../../engine/checkpoint/checkpoint.ts";
import { exportPatch, patchInfo } from "../../engine/patch/patch_info.ts";
import { readPatch, writePatch } from "../../engine/patch/patch.ts";
import { golden } from "../model/model_fixture.ts";
import { madePatch } from "../patch/patched_fixture.ts";
import { changeSafetensors, digest } from "./model_subjects.ts";
import { changeBytes, changeTree, decode, encode, rewritten } from "./mutation.ts";
import type { Meaning, Subject } from "./trial.ts";

const tensors = "patch/patch.safetensors",
  card = "patch/patch.json",
  originals = "applied/original_rows.safetensors";

async function readIn(folder: string, out: string): Promise<Meaning> {
  const [from, model, applied] = ["patch", "model", "applied"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const patch = await readPatch(from);
  const meaning: Record<string, string> = { info: JSON.stringify(patchInfo(patch).base_sha256) };
  for (const { name, rows, delta } of patch.tensors) {
    meaning[`tensor.${name}`] = `${rows} ${
      digest(new Uint8Array(delta.buffer, delta.byteOffset, delta.byteLength))
    }`;
  }
  const at = (name: string) => join(out, name);
  await exportPatch(from, at("copy"));
  meaning.copy = String((await readPatch(at("copy"))).base_sha256);
  const weightsOf = async (path: string) => {
    const found = await readTensors(join(path, "model.safetensors"));
    return [...found].map(([name, { data }]) => name + digest(new Uint8Array(data.buffer))).sort().join();
  };
  await fuseCheckpoint(model, patch, at("fused"));
  meaning.fused = await weightsOf(at("fused"));
  await patchCheckpoint(model, patch, at("patched"));
  await revertCheckpoint(at("patched"), at("back"));
  meaning.back = await weightsOf(at("back"));
  await revertCheckpoint(applied, at("reverted"));
  meaning.reverted = await weightsOf(at("reverted"));
  for await (const { name } of Deno.readDir(at("fused"))) {
    if (name.endsWith(".safetensors")) continue;
    const text = await Deno.readTextFile(join(at("fused"), name));
    // The card tells of this patch and this folder.
    meaning[`file.${name}`] = name === "README.md" && !text.includes("secret") ? "a card" : text;
  }
  return meaning;
}

export const patch: Subject = {
  name: "patch",
  async prepare(folder) {
    const { dir } = await golden("llama-tiny");
    await Deno.mkdir(join(folder, "model"));
    await Deno.mkdir(join(folder, "patch"));
    for (const name of ["config.json", "model.safetensors"]) {
      await Deno.copyFile(join(dir, name), join(folder, "model", name));
    }
    const made = await madePatch(dir, 0.002);
    await writePatch(join(folder, "patch"), made, { step: 2, model: "llama" });
    await patchCheckpoint(join(folder, "model"), made, join(folder, "applied"));
  },
  async read(folder) {
    const out = join(folder, "..", "out");
    await Deno.mkdir(out);
    try {
      return await readIn(folder, out);
    } finally {
      await Deno.remove(out, { recursive: true });
    }
  },
  mutate(dice, files) {
    switch (dice.below(6)) {
      case 0: {
        const value = JSON.parse(decode(files.get(card)!));
        return {
          what: "card written otherwise",
          files: { [card]: encode(rewritten(value, dice)) },
          expected: "same",
        };
      }
      case 1: {
        const changed = dice.happens(0.5)
          ? changeBytes(files.get(card)!, dice)
          : (({ tree, what }) => ({ bytes: encode(JSON.stringify(tree)), what }))(
            changeTree(JSON.parse(decode(files.get(card)!)), dice),
          );
        return { what: `card, ${changed.what}`, files: { [card]: changed.bytes } };
      }
      case 2: {
        const name = dice.pick([
          "model/notes",
          "model/docs/notes",
          "model/tokenizer.json",
          "model/config.json",
        ]);
        const link = name === "model/docs/notes" ? "../../../secret" : "../../secret";
        return { what: `${name} a link out of the folder`, files: { [name]: { link } }, expected: "refused" };
      }
      case 3:
        return changeSafetensors(
          dice,
          originals,
          files.get(originals)!,
          () => "nothing, as its hash would tell",
        );
      default: {
        const nameOf = (tensor: string) =>
          tensor.endsWith(".delta") ? `tensor.${tensor.slice(0, -".delta".length)}` : "rows";
        const { what, files: changed, expected, may } = changeSafetensors(
          dice,
          tensors,
          files.get(tensors)!,
          nameOf,
        );
        // Its card holds its hash, so beside it every change is known.
        if (dice.happens(0.3)) {
          return { what: `${what}, beside its card`, files: changed, expected: "refused" };
        }
        return {
          what,
          files: { ...changed, [card]: null },
          ...(expected && { expected }),
          // What a changed delta makes of the model is another model.
          ...(may && { may: (part: string) => may(part, undefined) || part === "fused" }),
        };
      }
    }
  },
};
