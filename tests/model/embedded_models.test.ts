/** The embedded models that the project trained: greedy ids by the float64 reference, accuracies as their READMEs say. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { loadProblems } from "../../engine/evaluation/data.ts";
import { plainTemplate } from "../../engine/evaluation/prompt.ts";
import { evaluateTask } from "../../engine/evaluation/tasks.ts";
import { generate } from "../../engine/model/generate.ts";
import { Model } from "../../engine/model/model.ts";
import { kinds } from "../../engine/pretrain/exercises.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { type GreedyCase, greedyContinuation, loadReference } from "../reference/greedy_cases.ts";

const fixtures = fileURLToPath(new URL("../../fixtures", import.meta.url));

for (const name of ["gemma2-mini", "olmo2-mini"]) {
  const folder = join(fixtures, name);
  const readJson = async (file: string) => JSON.parse(await Deno.readTextFile(join(folder, file)));

  for (const storage of ["f32", "checkpoint"] as const) {
    gpuTest(`the 24 greedy cases of ${name} come out id for id with ${storage} storage`, async ({ gpu }) => {
      const cases: GreedyCase[] = await readJson("greedy_cases.json");
      assertEquals(cases.length, 24);
      using model = await Model.load(gpu, folder, { storage });
      const requests = cases.map(({ prompt_ids: ids }) => ({ ids }));
      const generated = await generate(model, requests, { maxNewTokens: 48 });
      assertEquals(generated, cases.map(({ greedy_ids }) => greedy_ids));
      for (const { question, prompt_ids, greedy_ids, text } of cases) {
        assertEquals(model.tokenizer.encode(plainTemplate.replace("{question}", question)), prompt_ids);
        assertEquals(model.tokenizer.decode(greedy_ids, { skipSpecialTokens: true }), text);
      }
    });
  }

  Deno.test(`the first greedy case of ${name} is what the float64 reference says`, async () => {
    const [first] = await readJson("greedy_cases.json") as GreedyCase[];
    assertEquals(greedyContinuation(await loadReference(folder), first!.prompt_ids).ids, first!.greedy_ids);
  });

  gpuTest(`greedy accuracy of ${name} on fixtures/tasks is what its README says`, async ({ gpu }) => {
    using model = await Model.load(gpu, folder);
    const { accuracy } = await readJson("pretrain.json");
    const readme = await Deno.readTextFile(join(folder, "README.md"));
    for (const kind of kinds) {
      const problems = await loadProblems(join(fixtures, "tasks", `${kind}.jsonl`));
      const scoring = kind === "math" ? "number" : "exact";
      const options = { template: plainTemplate, maxNewTokens: 48 };
      const measured = await evaluateTask(model, { name: kind, problems, scoring }, options);
      assert(Math.abs(measured.accuracy - accuracy[kind]) <= 0.005, `${kind}: ${measured.accuracy}`);
      assertStringIncludes(readme, `${kind}.jsonl | ${(100 * accuracy[kind]).toFixed(1)} %`);
    }
  });
}
