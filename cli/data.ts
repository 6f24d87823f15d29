/** data: data files from GSM-Symbolic's template files, sampled without Python. */
import { sampleFolder } from "../engine/evaluation/templates/folder.ts";
import { InputError } from "../engine/errors.ts";
import { writeAtomically } from "../engine/files.ts";
import { setting } from "../engine/run/settings/setting.ts";
import { integer, seed, text } from "../engine/run/settings/value_types.ts";
import { defineCommand, runCommand } from "./command.ts";

export const data = defineCommand({
  name: "data",
  summary:
    "Makes a data file from template files of GSM-Symbolic: distinct instances of each, with worked solutions.",
  settings: {
    templates: setting({
      name: "templates",
      type: text("DIR"),
      otherwise: "none; it is needed",
      help: "folder of template files (*.json with question_annotated and answer_annotated)",
      example: "templates/symbolic",
    }),
    instances: setting({
      name: "instances",
      type: integer(1),
      default: 50,
      help: "instances of each template",
      example: "100",
    }),
    seed: setting({ name: "seed", type: seed, default: 0, help: "seed of the draws", example: "1" }),
    out: setting({
      name: "out",
      type: text("FILE"),
      otherwise: "none; it is needed",
      help: "JSONL file to write",
      example: "symbolic.jsonl",
    }),
  },
  async run({ templates, instances, seed, out, json, quiet }) {
    if (templates === undefined) throw new InputError("Say where the template files are.", "templates");
    if (out === undefined) throw new InputError("Say which file to write.", "out");
    const rows = await sampleFolder(templates, {
      instances,
      seed,
      notice: (sentence) => quiet || console.error(`note: ${sentence}`),
    });
    try {
      await writeAtomically(out, rows.map((row, id) => JSON.stringify({ id, ...row }) + "\n").join(""));
    } catch (error) {
      throw new InputError(
        `File "${out}" cannot be written (${(error as Error).message.split("\n")[0]}).`,
        "out",
      );
    }
    const count = new Set(rows.map(({ original_id }) => original_id)).size;
    console.log(`${rows.length} problems of ${count} templates in ${out}`);
    if (json) console.log(JSON.stringify({ problems: rows.length, templates: count, out }));
  },
});

if (import.meta.main) await runCommand(data);
