/** The golden checks: they pass on every folder, and fail when a kernel or an expected value is wrong. */
import { join } from "node:path";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { Gpu } from "../../engine/gpu/gpu.ts";
import { variantsFor } from "../../engine/ops/variants.ts";
import { verifyAllVariants } from "../../engine/verify/all_variants.ts";
import { type Check, limits, verifyGolden } from "../../engine/verify/golden.ts";
import { alterSafetensors, copyOf, golden, setElement } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { goldenNames } from "../reference/golden.ts";

async function checksOf(gpu: Gpu, folder: string): Promise<Check[]> {
  const checks: Check[] = [];
  await verifyGolden(gpu, folder, (check) => checks.push(check));
  return checks;
}

for (const name of goldenNames) {
  gpuTest(`every check of ${name} passes`, async ({ gpu }) => {
    const checks = await checksOf(gpu, (await golden(name)).dir);
    assertEquals(checks.filter(({ passed }) => !passed), []);
    assertEquals(checks.length, 16);
    for (const { name, error, limit } of checks) {
      assert(limit === 0 || limit === limits.forward || limit === limits.gradient, name);
      assert(error <= limit, `${name}: ${error} of ${limit}`);
    }
  });
}

/** A line of a kernel made wrong, and the checks of a golden folder that must notice; others may fail too. */
interface Sabotage {
  readonly what: string;
  readonly kernel: RegExp;
  readonly line: RegExp;
  readonly wrong: string;
  readonly folder: string;
  readonly noticed: RegExp;
}

const sabotages: readonly Sabotage[] = [
  {
    what: "rotation the wrong way round",
    kernel: /^rotary_append$/,
    line: /- high \* sine/,
    wrong: "+ high * sine",
    folder: "llama-tiny",
    noticed: /^logits$/,
  },
  {
    what: "an attention window wider by one",
    kernel: /^attention(_parallel|_broadcast)?$/,
    line: /token\.y - params\.window \+ 1u/,
    wrong: "token.y - params.window",
    folder: "gemma2-tiny",
    noticed: /^logits$/,
  },
  {
    what: "sampling of the least likely token",
    kernel: /^sample/,
    line: /value > best/,
    wrong: "value < best || best == -1e38",
    folder: "llama-tiny",
    noticed: /^greedy ids$/,
  },
  {
    what: "half the mask gradient",
    kernel: /^component_mask_backward$/,
    line: /2\.0 \* sum/,
    wrong: "sum",
    folder: "olmo2-tiny",
    noticed: /^dcm_half_mask_grad$/,
  },
  {
    what: "mask training without its L1 term",
    kernel: /^mask_step$/,
    line: /\+ params\.strength \* sign\(mask\[i\]\)/,
    wrong: "",
    folder: "llama-tiny",
    noticed: /^dcm_train_mask$/,
  },
  {
    what: "a window one short in the backward pass",
    kernel: /^attention_backward_key_value(_broadcast)?$/,
    line: /(n|own) \+ params\.window/,
    wrong: "$1 + params.window - 1u",
    folder: "gemma2-tiny",
    noticed: /^full gradients/,
  },
  {
    what: "a gradient step up instead of down",
    kernel: /^gradient_step$/,
    line: /-= step/,
    wrong: "+= step",
    folder: "llama-tiny",
    noticed: /^sgd1 of selected rows$/,
  },
  {
    what: "AdamW without decay",
    kernel: /^adamw$/,
    line: /1\.0 - step\.x \* step\.y/,
    wrong: "1.0",
    folder: "olmo2-tiny",
    noticed: /^adamw3 of selected rows$/,
  },
];

for (const { what, kernel, line, wrong, folder, noticed } of sabotages) {
  Deno.test(`${what} is noticed`, async () => {
    using gpu = await Gpu.open();
    const compile = gpu.pipeline.bind(gpu);
    let altered = false;
    gpu.pipeline = (original) => {
      if (!kernel.test(original.name)) return compile(original);
      assertMatch(original.template, line, "The kernel no longer has the line that this test makes wrong.");
      altered = true;
      return compile({ ...original, template: original.template.replace(line, wrong) });
    };
    const checks = await checksOf(gpu, (await golden(folder)).dir);
    assert(altered, `No kernel is called ${kernel.source}.`);
    const failed = checks.filter(({ passed }) => !passed).map(({ name }) => name);
    assert(failed.some((name) => noticed.test(name)), `failed: ${failed.join(", ") || "nothing"}`);
  });
}

gpuTest("an expected value that is off by a hundredth is noticed by its own check only", async ({ gpu }) => {
  await using copy = await copyOf((await golden("llama-tiny")).dir);
  const { data } = (await golden("llama-tiny")).expected.get("dcm_rand_mask_grad")!;
  const largest = data.findLastIndex((value) => Math.abs(value) === Math.max(...data.map(Math.abs)));
  const file = join(copy.path, "expected.safetensors");
  await setElement(file, "dcm_rand_mask_grad", largest, data[largest]! * 1.01);
  const failed = (await checksOf(gpu, copy.path)).filter(({ passed }) => !passed);
  assertEquals(failed.map(({ name }) => name), ["dcm_rand_mask_grad"]);
});

gpuTest("an expected value that is not a number is noticed", async ({ gpu }) => {
  await using copy = await copyOf((await golden("llama-tiny")).dir);
  await setElement(join(copy.path, "expected.safetensors"), "logits", 40, NaN);
  const failed = (await checksOf(gpu, copy.path)).filter(({ passed }) => !passed);
  assertEquals(failed.map(({ name }) => name), ["logits"]);
});

gpuTest("folders that are not golden ones are refused", async ({ gpu }) => {
  const { dir } = await golden("llama-tiny");
  await assertRejects(() => checksOf(gpu, join(dir, "absent")), InputError, "cases.json");
  {
    await using copy = await copyOf(dir);
    await Deno.writeTextFile(join(copy.path, "cases.json"), '{"logits": {"input_ids": 5}}');
    await assertRejects(() => checksOf(gpu, copy.path), InputError, "input_ids");
  }
  {
    await using copy = await copyOf(dir);
    await alterSafetensors(
      join(copy.path, "expected.safetensors"),
      (header) => header.replace('"dcm_train_mask"', '"dcm_train_musk"'),
    );
    await assertRejects(() => checksOf(gpu, copy.path), InputError, '"dcm_train_mask"');
  }
});

Deno.test("every kernel variant and every candidate of the tuning passes every check", async () => {
  using gpu = await Gpu.open();
  const seen = new Map<string, number>();
  const failed: string[] = [];
  await verifyAllVariants(gpu, (await golden("llama-tiny")).dir, (variant, { name, passed }) => {
    seen.set(variant, (seen.get(variant) ?? 0) + 1);
    if (!passed) failed.push(`${variant}: ${name}`);
  });
  assertEquals(failed, []);
  assertEquals(new Set(seen.values()).size, 1);
  const variants = [...seen.keys()];
  for (const variant of variantsFor(gpu)) assert(variants.includes(`${variant} 1`), variant);
  assert(variants.includes("parallel 4"), "the parallel kernels have four candidates for a product");
});
