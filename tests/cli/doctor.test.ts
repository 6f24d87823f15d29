/** deno task doctor --model: the memory plan, and exit code 1 with what would fit where something does not. */
import { join } from "node:path";
import { assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { golden, temporaryFolder } from "../model/model_fixture.ts";
import { assertRefused, onlyLine, run } from "./command_line.ts";

/** The plan as JSON has it. */
interface Memory {
  readonly total: number;
  readonly problem?: string;
  readonly workload: Record<string, unknown>;
  readonly stages: { readonly update: { readonly parts: { readonly moments: number } } };
}

Deno.test("doctor prints what each stage of a model folder holds, and as JSON", async () => {
  const { dir } = await golden("gemma2-tiny");
  const outcome = await run("doctor", ["--model", dir, "--prompt-tokens", "100", "--json"]);
  assertEquals(outcome.code, 0, outcome.stderr);
  const { memory, fits } = onlyLine(outcome) as unknown as { memory: Memory; fits: boolean };
  assertEquals(fits, true);
  assertEquals(memory.workload.prompt_tokens, 100);
  assertEquals(memory.problem, undefined);
  assertGreater(memory.stages.update.parts.moments, 0);
  for (const part of ["weights", "cache", "moments", "most at once", "largest buffer"]) {
    assertStringIncludes(outcome.stderr, part);
  }
});

Deno.test("doctor says of a model that cannot fit, which is no wrong input, in one sentence what would", async () => {
  const small = [
    "--prompt-tokens",
    "64",
    "--shared-tokens",
    "32",
    "--max-new-tokens",
    "16",
    "--examples",
    "20",
  ];
  const outcome = await run("doctor", ["--model", "gemma-2-2b", "--gpu-memory", "4", ...small, "--json"]);
  assertEquals(outcome.code, 1);
  const report = onlyLine(outcome);
  assertEquals([report.fits, report.error], [false, undefined]);
  for (const part of ['"gemma-2-2b" does not fit', "4096 MiB", "another adapter only"]) {
    assertStringIncludes(report.why_not as string, part);
  }
  assertStringIncludes(outcome.stderr, `fits      no: ${report.why_not}`);
  assertGreater((report.memory as Memory).total, 4 * 2 ** 30);
});

Deno.test("doctor names the models it knows when it does not know one", async () => {
  assertRefused(await run("doctor", ["--model", "gemma-9"]), 2, '"gemma-9"', "gemma-2-9b", "folder");
});

Deno.test("doctor looks at a run without a GPU, and says by its exit code whether it is whole", async () => {
  await using folder = await temporaryFolder();
  assertRefused(await run("doctor", ["--run", folder.path]), 2, "holds no run", "--run");
  const config = join(folder.path, "config.json");
  await Deno.writeTextFile(config, "{}");
  const outcome = await run("doctor", ["--run", folder.path, "--json"], { DENO_WEBGPU_BACKEND: "none" });
  assertEquals(outcome.code, 1, outcome.stderr);
  assertStringIncludes(outcome.stderr, `problem   "${config}" is damaged`);
  assertEquals((onlyLine(outcome).runs as { run: string }[])[0]!.run, folder.path);
});
