/** Scorers from files: they judge, may touch nothing, and fail in a sentence. */
import { join } from "node:path";
import { assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { CustomScorer } from "../../engine/evaluation/custom_scorer.ts";
import { temporaryFolder } from "../model/model_fixture.ts";

async function judge(program: string, completion = "yes"): Promise<number> {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "scorer.ts");
  await Deno.writeTextFile(file, program);
  using scorer = new CustomScorer(file, 3000);
  await scorer.score({ completion, row: { answer: "yes" } });
  return await scorer.score({ completion, row: { answer: "yes" } });
}

Deno.test("a scorer sees completion and row", async () => {
  const program = `export default ({ completion, row }: { completion: string; row: { answer: string } }) =>
    completion === row.answer`;
  assertEquals([await judge(program), await judge(program, "no")], [1, 0]);
  assertEquals(await judge("export default async () => await Promise.resolve(0.25)"), 0.25);
});

Deno.test("a scorer has no permission, and what is wrong with it is said", async () => {
  const refused = (program: string, message: string) =>
    assertRejects(() => judge(program), InputError, message);
  await refused(`export default () => Deno.readTextFileSync("/etc/hosts").length`, "Requires read access");
  await refused(`export default () => { throw new Error("my fault"); }`, "fails: my fault.");
  await refused("export const score = 1", "no function as its default export");
  await refused("export default () => 7", "gave 7");
  await refused("export default () => { while (true); }", "took more than 3 s");
});
