/** data: data files from GSM-Symbolic's template files, sampled without Python, and of puzzles. */
import { sampleFolder } from "../engine/evaluation/templates/folder.ts";
import { defaultSizes, puzzles } from "../engine/evaluation/puzzles/catalog.ts";
import { puzzleData } from "../engine/evaluation/puzzles/problem.ts";
import { InputError } from "../engine/errors.ts";
import { writeAtomically } from "../engine/files.ts";
import { setting } from "../engine/run/settings/setting.ts";
import { taskDefinitions } from "../engine/run/settings/tasks.ts";
import { integer, oneOf, seed, text } from "../engine/run/settings/value_types.ts";
import { defineCommand, runCommand } from "./command.ts";
import { print, printAside, printJson } from "./terminal.ts";

export const data = defineCommand({
  name: "data",
  summary:
    "Makes a data file from template files of GSM-Symbolic, or of a puzzle: distinct instances of each, with worked solutions.",
  settings: {
    templates: setting({
      name: "templates",
      type: text("DIR"),
      otherwise: "none; templates or a puzzle are needed",
      help: "folder of template files (*.json with question_annotated and answer_annotated)",
      example: "templates/symbolic",
    }),
    puzzle: setting({
      name: "puzzle",
      type: oneOf([...puzzles.keys()]),
      otherwise: "none",
      help: `${[...puzzles.keys()].join(", ")}: rows whose plans are played out to be scored`,
      example: "hanoi",
    }),
    sizes: taskDefinitions.sizes,
    instances: setting({
      name: "instances",
      type: integer(1, 1_000_000),
      default: 50,
      help: "instances of each template or size",
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
  async run({ templates, puzzle, sizes, instances, seed, out, json, quiet }) {
    if ((templates === undefined) === (puzzle === undefined)) {
      throw new InputError("Name template files or a puzzle, one of the two.", "templates", "puzzle");
    }
    if (sizes && puzzle === undefined) {
      throw new InputError("Sizes are those of a puzzle; name one.", "sizes", "puzzle");
    }
    if (out === undefined) throw new InputError("Say which file to write.", "out");
    const notice = (sentence: string) => quiet || printAside(`note: ${sentence}`);
    const { rows, said } = puzzle === undefined
      ? { rows: await sampleFolder(templates!, { instances, seed, notice }), said: [] }
      : puzzleData(puzzles.get(puzzle)!, { sizes: sizes ?? defaultSizes, instances, seed });
    said.forEach(notice);
    try {
      await writeAtomically(out, rows.map((row, id) => JSON.stringify({ id, ...row }) + "\n").join(""));
    } catch (error) {
      throw new InputError(
        `File "${out}" cannot be written (${(error as Error).message.split("\n")[0]}).`,
        "out",
      );
    }
    const count = new Set(rows.map((row) => row.original_id)).size;
    print(
      `${rows.length} problems of ${count} ${puzzle === undefined ? "templates" : "sizes"} in ${out}`,
    );
    if (json) printJson({ problems: rows.length, templates: count, out });
  },
});

if (import.meta.main) await runCommand(data);
