/** deno task patch: what a patch changes, and putting it into or taking it out of a checkpoint. */
import { join } from "node:path";
import { describeSurvival } from "../engine/patch/fusion.ts";
import { readPatch, writePatch } from "../engine/patch/patch.ts";
import { InputError } from "../engine/errors.ts";
import { requireWritable } from "../engine/files.ts";
import { resolveModel } from "../engine/checkpoint/hub.ts";
import { type Rounding, roundings } from "../engine/checkpoint/rounding.ts";
import { downloadProgress } from "../engine/run/load_model.ts";
import { fuseCheckpoint, patchCheckpoint, revertCheckpoint } from "../engine/patch/patched_checkpoint.ts";
import { runCommand, types } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { embeddedModel, modelFlags } from "./run_flags.ts";

await runCommand({
  name: "patch",
  summary:
    "info PATCH: what it changes. fuse PATCH: writes a copy of the model with the patch in it, in the model's own types " +
    "and files, for any software. apply PATCH: the same with changed matrices as F32, which can be reverted. " +
    "revert DIR: writes the original back from an applied copy. export PATCH: copies the patch alone to a folder.",
  arguments: "info|fuse|apply|revert|export PATCH",
  flags: [
    ...modelFlags,
    { name: "out", value: "DIR", help: "folder to write to", type: types.text },
    {
      name: "rounding",
      value: "KIND",
      help: "how fuse rounds to 16 bits: nearest (default) or stochastic",
      type: types.oneOf(...roundings),
    },
    { name: "seed", value: "N", help: "seed of stochastic rounding (default 0)", type: types.integer(0) },
  ],
  async run(values, [action, path, ...rest]) {
    if (!action || !path || rest.length > 0) {
      throw new InputError(
        "Give one of info, fuse, apply, revert and export, and a patch, e.g. deno task patch info runs/NAME.",
      );
    }
    const out = () => {
      if (!values.out) throw new InputError(`--out is missing; patch ${action} needs a folder to write to.`);
      return values.out as string;
    };
    const modelFolder = async () => {
      const { folder } = await resolveModel((values.model as string | undefined) ?? embeddedModel(), {
        revision: values.revision as string | undefined,
        offline: values.offline === true,
        onDownload: downloadProgress(new ProgressDisplay(values.quiet === true).report),
      });
      return folder;
    };
    const [rounding, seed] = [values.rounding as Rounding | undefined, values.seed as number | undefined];
    for (const name of ["rounding", "seed"]) {
      if (action === "fuse" || values[name] === undefined) continue;
      throw new InputError(`--${name} belongs to patch fuse; patch ${action} rounds nothing.`);
    }
    switch (action) {
      case "info": {
        const patch = await readPatch(path);
        const total = patch.tensors.reduce((sum, { delta }) => sum + delta.length, 0);
        for (const { name, rows, delta } of patch.tensors) {
          const norm = Math.sqrt(delta.reduce((sum, value) => sum + value * value, 0));
          console.log(`${name}: ${rows.length} rows, norm of the change ${norm.toPrecision(3)}`);
        }
        console.log(
          `${total} values in ${patch.tensors.length} matrices; made for rows with SHA-256 ${patch.base_sha256}`,
        );
        if (values.json) {
          const matrices = patch.tensors.map(({ name, rows, columns }) => ({
            name,
            rows: [...rows],
            columns,
          }));
          console.log(JSON.stringify({ base_sha256: patch.base_sha256, values: total, matrices }));
        }
        return;
      }
      case "fuse": {
        const patch = await readPatch(path);
        const model = await modelFolder();
        const report = await fuseCheckpoint(model, patch, out(), rounding, seed);
        for (const { name, dtype, rows, ...survives } of report.matrices) {
          console.log(`${name}: ${rows} rows ${dtype}, ${describeSurvival(survives)}`);
        }
        console.log(
          report.dtype === "F32"
            ? "all: the model is stored in F32, so nothing was rounded to 16 bits"
            : `all (${report.dtype}, ${report.rounding}): ${describeSurvival(report.survives)}`,
        );
        mention(report.left_out);
        console.log(`fused model in ${values.out}`);
        if (values.json) console.log(JSON.stringify({ action, out: values.out, model, ...report }));
        return;
      }
      case "apply": {
        const patch = await readPatch(path);
        mention(await patchCheckpoint(await modelFolder(), patch, out()));
        console.log(`patched model in ${values.out}`);
        break;
      }
      case "revert": {
        mention(await revertCheckpoint(path, out()));
        console.log(`original model in ${values.out}`);
        break;
      }
      case "export": {
        const target = out();
        await requireWritable(target);
        const card = await Deno.readTextFile(join(path, "patch.json")).then(JSON.parse, () => ({}));
        await writePatch(target, await readPatch(path), card);
        console.log(`patch in ${target}`);
        break;
      }
      default:
        throw new InputError(`"${action}" is none of info, fuse, apply, revert and export.`);
    }
    if (values.json) console.log(JSON.stringify({ action, out: values.out }));
  },
});

/** Says which files a copy lacks. */
function mention(leftOut: readonly string[]) {
  if (leftOut.length === 0) return;
  console.log(
    `left out, as they hold the unchanged weights in another form or are links: ${leftOut.join(", ")}`,
  );
}
