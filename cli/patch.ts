/** patch: what a patch changes, and putting it into or taking it out of a checkpoint. */
import { resolveModel } from "../engine/checkpoint/hub.ts";
import { roundings } from "../engine/checkpoint/rounding.ts";
import { InputError } from "../engine/errors.ts";
import { Checkpoint } from "../engine/checkpoint/checkpoint.ts";
import { readPatch } from "../engine/patch/patch.ts";
import { exportPeft } from "../engine/patch/peft.ts";
import { exportPatch, patchInfo } from "../engine/patch/patch_info.ts";
import { fuseCheckpoint, patchCheckpoint, revertCheckpoint } from "../engine/patch/patched_checkpoint.ts";
import { embeddedModel } from "../engine/run/embedded.ts";
import { downloadProgress } from "../engine/run/load_model.ts";
import { modelDefinitions, offlineSetting } from "../engine/run/settings/model.ts";
import { setting } from "../engine/run/settings/setting.ts";
import { outSetting } from "../engine/run/settings/start.ts";
import { oneOf, seed } from "../engine/run/settings/value_types.ts";
import { describeFusion, describePatch } from "../engine/run/summary_text.ts";
import { defineCommand, runCommand } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { print } from "./terminal.ts";

const actions = ["info", "fuse", "apply", "revert", "export"] as const;

export const patch = defineCommand({
  name: "patch",
  summary:
    "Looks at a patch, or puts it into a checkpoint and takes it out again. info PATCH: what it changes. fuse PATCH: writes a copy of the model with the patch in it, in the model's own types " +
    "and files, for any software. apply PATCH: the same with changed matrices as F32, which can be reverted. " +
    "revert DIR: writes the original back from an applied copy. export PATCH: copies the patch alone to a folder, or writes it as an adapter for PEFT (--to peft).",
  arguments: `${actions.join("|")} PATCH`,
  settings: {
    model: { source: modelDefinitions.source, revision: modelDefinitions.revision },
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
  async run({ model, start, fusion, adapter, json, quiet }, [action, path, ...rest]) {
    if (!action || !path || rest.length > 0) {
      throw new InputError(`Give one of ${actions.join(", ")}, and a patch, e.g. info runs/NAME.`);
    }
    if (!actions.some((name) => name === action)) {
      throw new InputError(`"${action}" is none of ${actions.join(", ")}.`);
    }
    const { to } = adapter;
    if (to !== undefined && action !== "export") {
      throw new InputError(`Only patch export writes other forms; patch ${action} does not.`, "to");
    }
    for (const name of ["rounding", "seed"] as const) {
      if (action === "fuse" || fusion[name] === undefined) continue;
      throw new InputError(`Only patch fuse rounds; patch ${action} rounds nothing.`, name);
    }
    if (action === "info") {
      const info = patchInfo(await readPatch(path));
      print(describePatch(info));
      if (json) print(JSON.stringify(info));
      return;
    }
    const { out } = start;
    if (out === undefined) {
      throw new InputError(`A folder to write to is missing; patch ${action} needs one.`, "out");
    }
    const modelFolder = async () => {
      const { folder } = await resolveModel(model.source ?? embeddedModel(), {
        revision: model.revision,
        offline: start.offline,
        onDownload: downloadProgress(new ProgressDisplay(quiet).report),
      });
      return folder;
    };
    const done = (what: string, more: Record<string, unknown> = {}, leftOut: readonly string[] = []) => {
      if (leftOut.length > 0) {
        const files = leftOut.join(", ");
        print(`left out, as they hold the unchanged weights in another form or are links: ${files}`);
      }
      print(`${what} in ${out}`);
      if (json) print(JSON.stringify({ action, out, ...more }));
    };
    if (action === "fuse") {
      const changes = await readPatch(path);
      const folder = await modelFolder();
      const report = await fuseCheckpoint(folder, changes, out, fusion.rounding, fusion.seed);
      print(describeFusion(report));
      done("fused model", { model: folder, ...report }, report.left_out);
    } else if (action === "apply") {
      const changes = await readPatch(path);
      done("patched model", {}, await patchCheckpoint(await modelFolder(), changes, out));
    } else if (action === "revert") {
      done("original model", {}, await revertCheckpoint(path, out));
    } else {
      if (to === "peft") {
        const folder = await modelFolder();
        using checkpoint = await Checkpoint.open(folder);
        const base = model.source ?? folder;
        await exportPeft(await readPatch(path), checkpoint, out, { model: base, revision: model.revision });
      } else await exportPatch(path, out);
      done(to === "peft" ? "PEFT adapter" : "patch");
    }
  },
});

if (import.meta.main) await runCommand(patch);
