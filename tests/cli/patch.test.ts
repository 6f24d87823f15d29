/** `patch fuse` and `evaluate --rounding` as a user runs them. */
import { join } from "node:path";
import { assert, assertAlmostEquals, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { writePatch } from "../../engine/patch/patch.ts";
import { embeddedModel, golden, temporaryFolder } from "../model/model_fixture.ts";
import { assertSameFolder, filesUnder, foreign, madePatch } from "../patch/patched_fixture.ts";
import { writeSmallTask } from "../run/run_fixture.ts";
import { assertRefused, onlyLine, run } from "./command_line.ts";

Deno.test("patch fuse says per matrix and in total what survives, and as JSON", async () => {
  await using folder = await temporaryFolder();
  const { dir } = await golden("gemma2-bf16-sharded");
  await writePatch(folder.path, await madePatch(dir, 0.002), {});
  const fuse = (out: string, ...flags: string[]) =>
    run("patch", ["fuse", folder.path, "--model", dir, "--out", join(folder.path, out), ...flags]);
  const nearest = await fuse("nearest", "--json");
  assertEquals(nearest.code, 0);
  const report = onlyLine(nearest) as Record<string, unknown> & {
    survives: Record<string, number>;
    matrices: unknown[];
  };
  assertEquals([report.action, report.dtype, report.rounding, report.model], [
    "fuse",
    "BF16",
    "nearest",
    dir,
  ]);
  assertEquals(Object.keys(report.survives), ["values_percent", "norm_ratio", "cosine"]);
  assert(report.survives.values_percent! > 1 && report.survives.values_percent! < 99);
  assertEquals(report.matrices.length, 12);
  const lines = nearest.stderr.split("\n");
  assertMatch(
    lines[0]!,
    /^model\.layers\.0\.self_attn\.q_proj\.weight: 5 rows BF16, \d+\.\d % of the changed values survive/,
  );
  const { values_percent, norm_ratio, cosine } = report.survives;
  assertEquals(
    lines[12],
    `all (BF16, nearest): ${values_percent!.toFixed(1)} % of the changed values survive rounding, ` +
      `norm of the change × ${norm_ratio!.toFixed(3)}, cosine ${cosine!.toFixed(4)}`,
  );
  assertEquals(lines[14], `fused model in ${join(folder.path, "nearest")}`);

  for (const [out, seed] of [["first", "4"], ["again", "4"], ["other", "5"]] as const) {
    const { code, stdout } = await fuse(out, "--rounding", "stochastic", "--seed", seed);
    assertEquals(code, 0);
    assertStringIncludes(stdout, "all (BF16, stochastic)");
  }
  await assertSameFolder(join(folder.path, "again"), join(folder.path, "first"));
  const weights = (out: string) => Deno.readFile(join(folder.path, out, "model-00001-of-00003.safetensors"));
  assert((await weights("other")).join() !== (await weights("first")).join());
  assert((await weights("nearest")).join() !== (await weights("first")).join());
});

Deno.test("what patch fuse cannot do ends with exit code 2 and one sentence", async () => {
  await using folder = await temporaryFolder();
  const { dir } = await golden("llama-tiny");
  const patch = await madePatch(dir, 0.01);
  const at = (name: string) => join(folder.path, name);
  await Deno.mkdir(at("patch"));
  await Deno.mkdir(at("foreign"));
  await Deno.mkdir(at("full"));
  await writePatch(at("patch"), patch, {});
  await writePatch(at("foreign"), foreign(patch), {});
  await Deno.writeTextFile(at("full/notes.txt"), "mine");
  const refused = async (args: string[], ...parts: string[]) =>
    assertRefused(await run("patch", args), 2, ...parts);
  const model = ["--model", dir];
  await refused(["fuse", at("patch"), ...model], "--out");
  await refused(
    ["fuse", at("patch"), "--model", at("none"), "--out", at("new")],
    at("none"),
    "does not exist",
  );
  await refused(["fuse", at("none"), ...model, "--out", at("new")], at("none"));
  await refused(["fuse", at("foreign"), ...model, "--out", at("new")], "made for other weights");
  await refused(["fuse", at("patch"), "--out", at("new")], "does not fit"); // the embedded model
  await refused(["fuse", at("patch"), ...model, "--out", dir], dir, "outside");
  await refused(["fuse", at("patch"), ...model, "--out", at("full")], at("full"), '"notes.txt"', "--out");
  await refused(
    ["fuse", at("patch"), ...model, "--out", at("new"), "--rounding", "up"],
    '"up"',
    "nearest, stochastic",
  );
  await refused(["fuse", at("patch"), ...model, "--out", at("new"), "--seed", "-1"], "--seed");
  await refused(
    ["apply", at("patch"), ...model, "--out", at("new"), "--rounding", "nearest"],
    "--rounding",
    "fuse",
  );
  await refused(["melt", at("patch")], '"melt"', "fuse");
  for (const card of ["{", "[1]", "", '{"a":'.repeat(200) + "1" + "}".repeat(200)]) {
    await Deno.writeTextFile(at("patch/patch.json"), card);
    await refused(["export", at("patch"), "--out", at("new")], at("patch/patch.json"));
  }
  assertEquals((await filesUnder(folder.path)).filter((name) => name.startsWith("new")), []);
  assertRefused(await run("evaluate", ["--rounding", "nearest"]), 2, "--rounding", "--patch");
  assertRefused(await run("evaluate", ["--patch", at("patch"), "--rounding", "down"]), 2, '"down"', "none");
});

Deno.test("evaluate --rounding answers what evaluating the fused checkpoint does", async () => {
  await using folder = await temporaryFolder();
  await writeSmallTask(folder.path, 5);
  await Deno.mkdir(join(folder.path, "patch"));
  // Large enough that answers change; tests/run compares logits, which rounding changes too.
  const large = await madePatch(embeddedModel, 0.15);
  await writePatch(join(folder.path, "patch"), large, {});
  const evaluate = async (...flags: string[]) => {
    const data = [
      "--data",
      join(folder.path, "math.jsonl"),
      "--split",
      "all",
      "--seed",
      "3",
      "--json",
      "--no-tune",
    ];
    const outcome = await run("evaluate", [...data, "--quiet", ...flags]);
    assertEquals([outcome.code, outcome.stderr], [0, ""]);
    return onlyLine(outcome);
  };
  const patch = ["--patch", join(folder.path, "patch")];
  const base = await evaluate();
  const plain = await evaluate(...patch);
  assertEquals([plain.rounding, "survives" in plain], ["none", false]);
  assert(plain.accuracy !== base.accuracy, "the patch changes no answer");
  for (const rounding of ["nearest", "stochastic"]) {
    const out = join(folder.path, rounding);
    const flags = ["--rounding", rounding, "--seed", "3", "--json"];
    const fused = onlyLine(await run("patch", ["fuse", patch[1]!, "--out", out, ...flags]));
    const emulated = await evaluate(...patch, "--rounding", rounding);
    const real = await evaluate("--model", out);
    assertEquals(emulated.accuracy, real.accuracy);
    assertEquals(emulated.per_template, real.per_template);
    assertEquals(emulated.other_abilities, real.other_abilities);
    assertEquals([emulated.rounding, emulated.dtype], [rounding, "F16"]);
    assertEquals(emulated.survives, fused.survives);
  }
});

Deno.test("patch info, scale and merge go on from the card's model, and say what they made", async () => {
  await using folder = await temporaryFolder();
  const { dir } = await golden("llama-tiny");
  const at = (name: string) => join(folder.path, name);
  await Deno.mkdir(at("patch"));
  await writePatch(at("patch"), await madePatch(dir, 0.01), { model: dir, step: 4 });
  const half = await run("patch", ["scale", at("patch"), "-0.5", "--out", at("half"), "--json"]);
  assertEquals([half.code, onlyLine(half).factor], [0, -0.5]);
  const merged = await run("patch", ["merge", at("patch"), at("half"), "--out", at("sum"), "--json"]);
  assertEquals(merged.code, 0);
  assertStringIncludes(merged.stderr, "45 rows are changed by more than one of them");
  const card = JSON.parse(await Deno.readTextFile(at("sum/patch.json")));
  assertEquals([card.model, card.merged.length], [dir, 2]);
  const info = await run("patch", ["info", at("half"), "--json"]);
  assertEquals(info.code, 0);
  assertMatch(info.stderr, /^layer 0: q-head/);
  const { components, card: told, norm } = onlyLine(info) as {
    components: { name: string }[];
    card: Record<string, unknown>;
    norm: number;
  };
  assertEquals(components[0]!.name, "layer 0 q-head 0");
  assertEquals([told.step, told.scale, told.model], [4, -0.5, dir]);
  assertStringIncludes(info.stderr, `made for the model ${dir}, step 4 of its update, times -0.5`);
  // Without its card it would be the embedded model's, whose heads are others.
  const bare = await run("patch", ["info", at("half/patch.safetensors"), "--json"]);
  assertEquals([bare.code, "components" in onlyLine(bare)], [0, false]);
  assertStringIncludes(bare.stderr, "note: heads and neurons cannot be named without the patch's model");
  const wrong = await run("patch", ["info", at("half"), "--model", embeddedModel]);
  assertRefused(wrong, 2, "does not fit");
  const sum = onlyLine(await run("patch", ["info", at("sum"), "--json"]));
  assertAlmostEquals(Number(sum.norm), norm, 1e-6); // 1 − ½ of the patch
  for (
    const [args, part] of [
      [["scale", at("patch"), "twice", "--out", at("new")], '"twice" is not a number'],
      [["scale", at("patch"), "2"], "--out"],
      [["scale", at("patch")], "patch scale PATCH FACTOR"],
      [["merge", at("patch"), "--out", at("new")], "patch merge PATCH PATCH"],
      [["info", folder.path], "holds no patch.safetensors"],
    ] as const
  ) assertRefused(await run("patch", args), 2, part);
});
