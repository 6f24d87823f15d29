/** Data files: problems as JSONL, rows of tasks as CSV. */
import { join } from "node:path";
import { loadProblems, requireNumericAnswers } from "../../engine/evaluation/data.ts";
import { readRows } from "../../engine/evaluation/harness/rows.ts";
import { readShots } from "../../engine/evaluation/shots.ts";
import { parquetBytes } from "../evaluation/parquet_fixture.ts";
import { taskData } from "../model/model_fixture.ts";
import { changeBytes, changeTree, decode, encode, rewritten } from "./mutation.ts";
import type { Mutant, Subject } from "./trial.ts";

const problems = "math.jsonl", table = "rows.csv", shots = "shots.jsonl", columns = "rows.parquet";

export const data: Subject = {
  name: "data",
  async prepare(folder) {
    const lines = (await Deno.readTextFile(join(taskData, problems))).split("\n").slice(0, 8);
    await Deno.writeTextFile(join(folder, problems), lines.map((line) => line + "\n").join(""));
    await Deno.writeTextFile(join(folder, shots), lines.slice(0, 2).join("\n"));
    await Deno.writeFile(join(folder, columns), parquetBytes);
    const rows = ["question,answer,note", '"How many, 1 or ""2""?",2,', "1 + 1?,2,é", '"two\nlines",3,x'];
    await Deno.writeTextFile(join(folder, table), rows.join("\n") + "\n");
  },
  async read(folder) {
    const file = join(folder, problems);
    const found = await loadProblems(file);
    requireNumericAnswers(found, file);
    const rows = await readRows(join(folder, table));
    return Object.fromEntries([
      ...found.flatMap(({ line: _, id, ...problem }, i) => [
        [`problem.${i}`, JSON.stringify(problem)],
        [`id.${i}`, JSON.stringify(id)],
      ]),
      ...rows.map((row, i) => [`row.${i}`, JSON.stringify(row)]),
      ...(await loadProblems(join(folder, columns))).map((row, i) => [`column.${i}`, JSON.stringify(row)]),
      ["shots", JSON.stringify(await readShots(join(folder, shots)))],
    ]);
  },
  mutate(dice, files): Mutant {
    // Damaged parquet can keep its thread busy for as long as the process lives.
    const name = dice.happens(0.03) ? columns : dice.pick([problems, problems, table, shots]);
    const bytes = files.get(name)!;
    if (name === columns) {
      const changed = changeBytes(bytes, dice);
      const may = (part: string) => part.startsWith("column.");
      return { what: `${name}, ${changed.what}`, files: { [name]: changed.bytes }, may };
    }
    const text = decode(bytes);
    const lines = text.trimEnd().split("\n");
    const made = (what: string, content: string, rest: Partial<Mutant>): Mutant => ({
      what: `${name}, ${what}`,
      files: { [name]: encode(content) },
      ...rest,
    });
    const at = dice.below(lines.length);
    switch (dice.below(6)) {
      case 0: {
        const ending = dice.pick(["\r\n", "\n"]);
        const start = dice.pick(["", "\ufeff"]);
        const between = name === table ? "" : dice.pick(["", ending, `  ${ending}`]);
        // A line end inside of quotes is text.
        if (name === table) return made("a mark before it", `\ufeff${text}`, { expected: "same" });
        return made("other line ends", start + lines.join(ending + between) + dice.pick(["", ending]), {
          expected: "same",
        });
      }
      case 1:
        if (name !== table) {
          const row = { ...JSON.parse(lines[at]!), note: "nobody reads this" };
          return made(
            "a row written otherwise",
            lines.with(at, rewritten(row, dice).replace(/\s*\n\s*/g, " ")).join("\n"),
            { expected: "same" },
          );
        }
      // falls through
      case 2: {
        const changed = changeBytes(bytes, dice);
        const prefixes: Record<string, readonly string[]> = {
          [problems]: ["problem.", "id."],
          [table]: ["row."],
          [shots]: ["shots"],
        };
        return {
          what: `${name}, ${changed.what}`,
          files: { [name]: changed.bytes },
          may: (part) => prefixes[name]!.some((prefix) => part.startsWith(prefix)),
        };
      }
      case 3:
        if (name !== table) {
          const broken = lines[at]!.slice(0, 1 + dice.below(lines[at]!.length - 1));
          return made(`line ${at + 1} broken off`, lines.with(at, broken).join("\n"), {
            expected: "refused",
          });
        }
      // falls through
      default: {
        if (name === table) {
          const cells = lines[at]!.split(",");
          const changed = lines.with(at, cells.slice(0, -1).join(",")).join("\n");
          return made("a cell is missing", changed, { may: (part) => part.startsWith("row.") });
        }
        const { tree, what } = changeTree(JSON.parse(lines[at]!), dice);
        // Ids are taken where every row has its own, so one row can change all of them.
        const own = name === shots
          ? (part: string) => part === "shots"
          : (part: string) => part === `problem.${at}` || part.startsWith("id.");
        return made(`line ${at + 1} with ${what}`, lines.with(at, JSON.stringify(tree)).join("\n"), {
          may: own,
        });
      }
    }
  },
};
