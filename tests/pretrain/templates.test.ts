/** The template files of the embedded task make problems like those that the data file was made of. */
import { assert, assertEquals } from "@std/assert";
import { sampleFolder } from "../../engine/evaluation/templates/folder.ts";
import { templateCount, wordProblem } from "../../engine/pretrain/arithmetic.ts";
import { items, names } from "../../engine/pretrain/words.ts";
import { seededRandom } from "../../engine/random.ts";
import { embeddedTemplates } from "../../engine/run/embedded.ts";

/** A text with its names, things and numbers left out. */
const skeleton = (text: string) =>
  text.replaceAll(new RegExp(`\\b(${names.join("|")})\\b`, "g"), "NAME")
    .replaceAll(new RegExp(`\\b(${items.join("|")})\\b`, "g"), "THINGS").replaceAll(/\d+/g, "N");

/** Least and greatest of each number of the question. */
function ranges(questions: readonly string[]): [number, number][] {
  const rows = questions.map((question) => question.match(/\d+/g)!.map(Number));
  return rows[0]!.map((
    _,
    i,
  ) => [Math.min(...rows.map((row) => row[i]!)), Math.max(...rows.map((row) => row[i]!))]);
}

Deno.test("files and generator agree in wording, sums, answers and ranges of numbers", async () => {
  const sampled = Map.groupBy(
    await sampleFolder(embeddedTemplates(), { instances: 90, seed: 0 }),
    ({ original_id }) => Number(original_id),
  );
  assertEquals([...sampled.keys()].sort((a, b) => a - b), Array.from({ length: templateCount }, (_, i) => i));
  const random = seededRandom("templates");
  for (const [template, rows] of sampled) {
    const made = Array.from({ length: 2000 }, () => wordProblem(template, random));
    assertEquals(new Set(rows.map(({ question }) => skeleton(question))).size, 1);
    assertEquals(skeleton(rows[0]!.question), skeleton(made[0]!.question));
    const texts = new Set(made.map(({ solution, result }) => skeleton(`${solution}\n#### ${result}`)));
    for (const { answer } of rows) assert(texts.has(skeleton(answer)), answer);
    const wide = ranges(made.map(({ question }) => question));
    ranges(rows.map(({ question }) => question)).forEach(([least, most], i) => {
      assert(
        least >= wide[i]![0] && most <= wide[i]![1],
        `template ${template}, number ${i}: ${least} to ${most}`,
      );
    });
    for (const { answer } of rows) {
      for (const [, sum, result] of answer.matchAll(/(\d+ [-+*] \d+) = (\d+)/g)) {
        const [x, operator, y] = sum!.split(" ");
        const value = operator === "+" ? +x! + +y! : operator === "-" ? +x! - +y! : +x! * +y!;
        assertEquals(value, Number(result));
      }
      assertEquals(/= (\d+)\.\n#### \1$/.test(answer), true, answer);
    }
  }
});
