/** What rounding leaves of an update: numbers against float64 by hand, refusals, and the same bits for the same seed. */
import { assert, assertAlmostEquals, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { Fusion } from "../../engine/patch/fusion.ts";
import { describeSurvival } from "../../engine/run/summary_text.ts";
import type { PatchTensor } from "../../engine/patch/patch.ts";
import { InputError } from "../../engine/errors.ts";
import { Checkpoint, type TensorToWrite, writeSafetensors } from "../../engine/checkpoint/checkpoint.ts";
import { seededRandom } from "../../engine/random.ts";
import { temporaryFolder } from "../model/model_fixture.ts";

/** A checkpoint of matrices [4, 8] by name and type. */
async function checkpointOf(
  folder: string,
  dtypes: Record<string, TensorToWrite["dtype"]>,
): Promise<Checkpoint> {
  const arrays = { F32: Float32Array, I32: Int32Array, F16: Uint16Array, BF16: Uint16Array };
  const tensors = Object.entries(dtypes).map(([name, dtype]) =>
    [name, { dtype, shape: [4, 8], data: new arrays[dtype](32) }] as const
  );
  await writeSafetensors(`${folder}/model.safetensors`, Object.fromEntries(tensors));
  return await Checkpoint.open(folder);
}

/** Two rows of `name` that change by `delta` repeated. */
const rowsOf = (name: string, ...delta: number[]): PatchTensor => ({
  name,
  rows: Int32Array.of(1, 3),
  delta: Float32Array.from({ length: 16 }, (_, i) => delta[i % delta.length]!),
  columns: 8,
});
const baseOf = (...values: number[]) =>
  Float32Array.from({ length: 16 }, (_, i) => values[i % values.length]!);

Deno.test("survival counts values, norm and direction of the rounded change, and of all matrices together", async () => {
  await using folder = await temporaryFolder();
  using checkpoint = await checkpointOf(folder.path, { a: "BF16", b: "BF16" });
  // Between 1 and 2 bf16 has steps of 1/128: 1/128 survives whole, 1/1024 vanishes, 3/512 grows to 4/512; 0 is no change.
  const a = rowsOf("a", 1 / 128, 1 / 1024, 3 / 512, 0);
  const b = rowsOf("b", 1 / 1024);
  const fusion = new Fusion(checkpoint, { tensors: [a, b] });
  assertEquals(fusion.rows(a, baseOf(1)), baseOf(1 + 1 / 128, 1, 1 + 1 / 128, 1));
  assertEquals(fusion.rows(b, baseOf(1)), baseOf(1));
  const [first, second] = fusion.matrices;
  assertEquals([first!.name, first!.dtype, first!.rows, first!.values], ["a", "BF16", 2, 12]);
  assertAlmostEquals(first!.values_percent, 200 / 3, 1e-9);
  const [exact, rounded] = [64 + 1 + 36, 64 + 64]; // squares of 1/1024, four such groups
  assertAlmostEquals(first!.norm_ratio, Math.sqrt(rounded / exact), 1e-9);
  assertAlmostEquals(first!.cosine, (64 + 48) / Math.sqrt(exact * rounded), 1e-9);
  assertEquals([second!.values_percent, second!.norm_ratio, second!.cosine], [0, 0, 0]);
  const { survives } = fusion;
  assertAlmostEquals(survives.values_percent, 100 * 8 / 28, 1e-9);
  assertAlmostEquals(survives.norm_ratio, Math.sqrt(4 * rounded / (4 * exact + 16)), 1e-9);
  assertAlmostEquals(survives.cosine, 4 * (64 + 48) / Math.sqrt((4 * exact + 16) * 4 * rounded), 1e-9);
  assertEquals(
    describeSurvival(survives),
    "28.6 % of the changed values survive rounding, norm of the change × 1.104, cosine 0.9661",
  );
});

Deno.test("a value that does not change keeps its bits, even of a negative zero", async () => {
  await using folder = await temporaryFolder();
  using checkpoint = await checkpointOf(folder.path, { a: "F16" });
  const still = rowsOf("a", 0);
  for (const rounding of ["nearest", "stochastic"] as const) {
    const fusion = new Fusion(checkpoint, { tensors: [still] }, rounding);
    const rounded = fusion.rows(still, baseOf(-0, 0.5));
    assert(rounded.every((value, i) => Object.is(value, i % 2 ? 0.5 : -0)), rounded.join());
    assertEquals(fusion.survives, { values_percent: 100, norm_ratio: 1, cosine: 1 });
  }
});

Deno.test("stochastic rounding of a patch follows its seed, matrix by matrix and in any order", async () => {
  await using folder = await temporaryFolder();
  using checkpoint = await checkpointOf(folder.path, { a: "BF16", b: "BF16" });
  const random = seededRandom("deltas");
  const [a, b] = ["a", "b"].map((name) => rowsOf(name, ...Array.from({ length: 16 }, () => random() / 128)));
  const round = (seed: number, ...tensors: PatchTensor[]) => {
    const fusion = new Fusion(checkpoint, { tensors }, "stochastic", seed);
    return new Map(tensors.map((tensor) => [tensor.name, fusion.rows(tensor, baseOf(1))]));
  };
  const once = round(3, a!, b!);
  assertEquals(round(3, b!, a!).get("a"), once.get("a"));
  assertEquals(round(3, b!, a!).get("b"), once.get("b"));
  assertNotEquals(round(4, a!).get("a"), once.get("a"));
  assertNotEquals(round(3, { ...a!, name: "b" }).get("b"), once.get("a"));
});

Deno.test("a value that 16 bits cannot hold is refused by name; F32 holds it", async () => {
  await using folder = await temporaryFolder();
  using checkpoint = await checkpointOf(folder.path, {
    half: "F16",
    brain: "BF16",
    single: "F32",
    whole: "I32",
  });
  for (const rounding of ["nearest", "stochastic"] as const) {
    const fuse = (name: string, delta: number) => {
      const tensor = rowsOf(name, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, delta, 0, 0, 0, 0, 0);
      return new Fusion(checkpoint, { tensors: [tensor] }, rounding).rows(tensor, baseOf(1));
    };
    for (const delta of [66000, -1e6]) {
      const { message } = assertThrows(() => fuse("half", delta), InputError, "row 3 of half");
      assert(message.includes("F16") && message.includes("patch apply") && !message.includes("\n"), message);
    }
    assertEquals(fuse("half", 65503)[10], 65504);
    assertEquals(fuse("brain", 2 ** 20)[10], 2 ** 20);
    assertThrows(() => fuse("brain", 3.4e38), InputError, "BF16 cannot hold");
    assertEquals(fuse("single", 1e6)[10], 1e6 + 1);
    assertThrows(() => fuse("whole", 1), InputError, "stored as I32");
  }
});
