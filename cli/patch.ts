/** patch: what a patch changes, and putting it into or taking it out of a checkpoint. */
import { resolveModel } from "../engine/checkpoint/hub.ts";
import { roundings } from "../engine/checkpoint/rounding.ts";
import { InputError } from "../engine/errors.ts";
import { Checkpoint } from "../engine/checkpoint/checkpoint.ts";
import { requireWritable } from "../engine/files.ts";
import { readConfig } from "../engine/model/config.ts";
import { forEachBase } from "../engine/patch/base_rows.ts";
import { mergePatches, scalePatch } from "../engine/patch/combine.ts";
import { patchSha256, readPatch, writePatch } from "../engine/patch/patch.ts";
import { readCard } from "../engine/patch/patch_card.ts";
import { exportPatch, ownFields, patchInfo } from "../engine/patch/patch_info.ts";
import { exportPeft } from "../engine/patch/peft.ts";
import { fuseCheckpoint, patchCheckpoint, revertCheckpoint } from "../engine/patch/patched_checkpoint.ts";
import { downloadProgress } from "../engine/run/load_model.ts";
import { modelOfPatch } from "../engine/run/patch_model.ts";
import { modelDefinitions, offlineSetting } from "../engine/run/settings/model.ts";
import { setting } from "../engine/run/settings/setting.ts";
import { outSetting } from "../engine/run/settings/start.ts";
import { oneOf, seed } from "../engine/run/settings/value_types.ts";
import {
  describeCard,
  describeCollisions,
  describeFusion,
  describePatch,
} from "../engine/run/summary_text.ts";
import { defineCommand, runCommand } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { print, printAside, printJson } from "./terminal.ts";

/** What each action takes besides options: a form for help, and how many words. */
const actions = {
  info: { words: "PATCH", least: 1, most: 1 },
  apply: { words: "PATCH", least: 1, most: 1 },
  revert: { words: "DIR", least: 1, most: 1 },
  fuse: { words: "PATCH", least: 1, most: 1 },
  export: { words: "PATCH", least: 1, most: 1 },
  merge: { words: "PATCH PATCH…", least: 2, most: Infinity },
  scale: { words: "PATCH FACTOR", least: 2, most: 2 },
} as const;
const names = Object.keys(actions);

export const patch = defineCommand({
  name: "patch",
  summary:
    "Looks at a patch, puts it into a checkpoint or takes it out again, or makes another of it. info PATCH: what it changes, by head and neuron. fuse PATCH: writes a copy of the model with the patch in it, in the model's own types " +
    "and files, for any software. apply PATCH: the same with changed matrices as F32, which can be reverted. " +
    "revert DIR: writes the original back from an applied copy. export PATCH: copies the patch alone to a folder, or writes it as an adapter for PEFT (--to peft). " +
    "merge PATCH PATCH…: adds patches of the same model. scale PATCH FACTOR: multiplies what a patch changes. " +
    "A PATCH is a run folder, the folder of a patch or patch.safetensors; its model is the one that its patch.json names.",
  arguments: `${names.join("|")} PATCH`,
  settings: {
    model: {
      source: {
        ...modelDefinitions.source,
        otherwise: "the one that patch.json names, else the embedded model",
      },
      revision: { ...modelDefinitions.revision, otherwise: "the commit that patch.json names, else main" },
    },
    start: { offline: offlineSetting, out: outSetting("folder to write to", "none") },
    adapter: {
      to: setting({
        name: "to",
        type: oneOf(["patch", "peft"], "FORM"),
        otherwise: "patch",
        help: "form of an exported patch: its own, or a LoRA adapter for PEFT, without loss",
        example: "peft",
      }),
    },
    fusion: {
      rounding: setting({
        name: "rounding",
        type: oneOf(roundings, "KIND"),
        otherwise: "nearest",
        help: "how fuse rounds to 16 bits: nearest or stochastic",
        example: "stochastic",
      }),
      seed: setting({
        name: "seed",
        type: seed,
        otherwise: "0",
        help: "seed of stochastic rounding",
        example: "1",
      }),
    },
  },
  async run({ model, start, fusion, adapter, json, quiet }, [action, ...words]) {
    if (action !== undefined && !names.includes(action)) {
      throw new InputError(`"${action}" is none of ${names.join(", ")}.`);
    }
    const takes = actions[(action ?? "info") as keyof typeof actions];
    if (action === undefined || words.length < takes.least || words.length > takes.most) {
      const form = action === undefined
        ? `one of ${names.join(", ")} and a patch`
        : `patch ${action} ${takes.words}`;
      throw new InputError(`Give ${form}.`);
    }
    const path = words[0]!;
    const { to } = adapter;
    if (to !== undefined && action !== "export") {
      throw new InputError(`Only patch export writes other forms; patch ${action} does not.`, "to");
    }
    for (const name of ["rounding", "seed"] as const) {
      if (action === "fuse" || fusion[name] === undefined) continue;
      throw new InputError(`Only patch fuse rounds; patch ${action} rounds nothing.`, name);
    }
    const { out } = start;
    if (action !== "info" && out === undefined) {
      throw new InputError(`A folder to write to is missing; patch ${action} needs one.`, "out");
    }
    const found = async (offline = start.offline) => {
      const { source, revision } = await modelOfPatch(path, model);
      const onDownload = downloadProgress(new ProgressDisplay(quiet).report);
      return { source, ...await resolveModel(source, { revision, offline, onDownload }) };
    };
    const done = (what: string, more: Record<string, unknown> = {}, leftOut: readonly string[] = []) => {
      if (leftOut.length > 0) {
        print(`left out, as they are of the unchanged model or are links: ${leftOut.join(", ")}`);
      }
      print(`${what} in ${out}`);
      if (json) printJson({ action, out, ...more });
    };
    switch (action as keyof typeof actions) {
      case "info": {
        const changes = await readPatch(path);
        // Nothing is downloaded for names, and another model's would be wrong.
        const config = await found(true).then(async ({ folder }) => {
          using checkpoint = await Checkpoint.open(folder);
          await forEachBase(checkpoint, changes);
          return await readConfig(folder);
        }).catch((error) => {
          if (model.source !== undefined || !(error instanceof InputError)) throw error;
          printAside(`note: heads and neurons cannot be named without the patch's model: ${error.message}`);
          return undefined;
        });
        const card = await ownFields(path);
        const info = { ...patchInfo(changes, config), sha256: patchSha256(changes), card };
        print(describePatch(info));
        print(describeCard(card));
        if (json) printJson(info);
        return;
      }
      case "fuse": {
        const changes = await readPatch(path);
        const { source, folder, commit } = await found();
        const card = { ...await readCard(path), model: source, commit };
        const report = await fuseCheckpoint(folder, changes, out!, fusion.rounding, fusion.seed, card);
        print(describeFusion(report));
        return done("fused model", { model: folder, ...report }, report.left_out);
      }
      case "apply": {
        const changes = await readPatch(path);
        const { folder } = await found();
        const left_out = await patchCheckpoint(folder, changes, out!);
        return done("patched model", { model: folder, left_out }, left_out);
      }
      case "revert": {
        const left_out = await revertCheckpoint(path, out!);
        return done("original model", { left_out }, left_out);
      }
      case "export": {
        if (to !== "peft") {
          await exportPatch(path, out!);
          return done("patch");
        }
        const changes = await readPatch(path);
        const { source, folder, commit } = await found();
        using checkpoint = await Checkpoint.open(folder);
        await exportPeft(changes, checkpoint, out!, { model: source, revision: commit });
        return done("PEFT adapter");
      }
      case "merge": {
        const patches = [];
        for (const word of words) patches.push(await readPatch(word));
        const { source, folder, commit } = await found();
        using checkpoint = await Checkpoint.open(folder);
        const { patch, collisions } = await mergePatches(checkpoint, patches);
        const card = {
          model: source,
          ...(commit !== undefined && { commit }),
          merged: patches.map(patchSha256),
        };
        await requireWritable(out!);
        await writePatch(out!, patch, card);
        print(describeCollisions(collisions, await readConfig(folder)));
        return done("sum of the patches", { merged: card.merged, collisions });
      }
      case "scale": {
        const factor = words[1]!.trim() === "" ? NaN : Number(words[1]);
        if (!Number.isFinite(factor) || factor === 0) {
          throw new InputError(`Factor "${words[1]}" is not a number other than 0.`);
        }
        const scaled = scalePatch(await readPatch(path), factor);
        const card = await ownFields(path);
        const scale = factor * (card.scale ?? 1);
        await requireWritable(out!);
        await writePatch(out!, scaled, { ...card, scale });
        return done(`patch times ${factor}`, { factor });
      }
    }
  },
});

if (import.meta.main) await runCommand(patch);
