/** deno task patch: what a patch changes, and putting it into or taking it out of a checkpoint. */
import { join } from "node:path";
import { readPatch, writePatch } from "../engine/circuit/patch.ts";
import { InputError } from "../engine/errors.ts";
import { requireWritable } from "../engine/files.ts";
import { resolveModel } from "../engine/model/hub.ts";
import { downloadProgress } from "../engine/run/load_model.ts";
import { patchCheckpoint, revertCheckpoint } from "../engine/run/patched_checkpoint.ts";
import { runCommand, types } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import { embeddedModel, modelFlags } from "./run_flags.ts";

await runCommand({
  name: "patch",
  summary:
    "info PATCH: what it changes. apply PATCH: writes a patched copy of the model (changed matrices as F32). " +
    "revert DIR: writes the original back from a patched copy. export PATCH: copies the patch alone to a folder.",
  arguments: "info|apply|revert|export PATCH",
  flags: [
    ...modelFlags,
    { name: "out", value: "DIR", help: "folder to write to", type: types.text },
  ],
  async run(values, [action, path, ...rest]) {
    if (!action || !path || rest.length > 0) {
      throw new InputError(
        "Give one of info, apply, revert and export, and a patch, e.g. deno task patch info runs/NAME.",
      );
    }
    const out = () => {
      if (!values.out) throw new InputError(`patch ${action} needs --out DIR to write to.`);
      return values.out as string;
    };
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
      case "apply": {
        const target = out();
        await requireWritable(target);
        const patch = await readPatch(path);
        const display = new ProgressDisplay(values.quiet === true);
        const { folder } = await resolveModel((values.model as string | undefined) ?? embeddedModel(), {
          revision: values.revision as string | undefined,
          offline: values.offline === true,
          onDownload: downloadProgress(display.report),
        });
        await patchCheckpoint(folder, patch, target);
        console.log(`patched model in ${target}`);
        break;
      }
      case "revert": {
        const target = out();
        await requireWritable(target);
        await revertCheckpoint(path, target);
        console.log(`original model in ${target}`);
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
        throw new InputError(`"${action}" is none of info, apply, revert and export.`);
    }
    if (values.json) console.log(JSON.stringify({ action, out: values.out }));
  },
});
