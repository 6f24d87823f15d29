/** The choice of kernel variants and register tiles. */
import { assert, assertEquals } from "@std/assert";
import type { Gpu } from "../../engine/gpu/gpu.ts";
import { forceVariant, matmulTile, variantFor } from "../../engine/ops/variants.ts";
import { variants } from "./gpu_fixture.ts";

/** Stands in for an adapter; the choice looks at nothing else. */
const adapter = (isSoftware: boolean, subgroup = 32) =>
  ({
    isSoftware,
    adapter: { info: { subgroupMinSize: subgroup, subgroupMaxSize: subgroup } },
    device: { features: new Set(["subgroups"]) },
  }) as unknown as Gpu;

Deno.test("software Vulkan gets the serial kernels and a GPU the parallel ones, unless one is forced", () => {
  assertEquals(variantFor(adapter(true)), "serial");
  assertEquals(variantFor(adapter(false)), "parallel");
  assertEquals(variantFor(adapter(true, 8)), "broadcast");
  assertEquals(variantFor(adapter(false, 8)), "parallel");
  for (const variant of variants) {
    const forced = adapter(true);
    forceVariant(forced, variant);
    assertEquals([variantFor(forced), variantFor(adapter(false))], [variant, "parallel"]); // only where it was forced
    forceVariant(forced, undefined);
    assertEquals(variantFor(forced), "serial");
  }
  assertEquals(variantFor(adapter(true)), "serial");
});

Deno.test("tiles are no taller than the matrix and no larger than a workgroup may be", () => {
  for (const software of [true, false]) {
    for (const layout of ["nt", "nn"] as const) {
      for (const m of [0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 1000]) {
        for (const n of [1, 15, 16, 31, 32, 256_000]) {
          const { WX, WY, TM, TN } = matmulTile(adapter(software), layout, m, n);
          const what = `${layout} ${m} × ${n}: ${WX} × ${WY} threads of ${TM} × ${TN}`;
          assert(TM <= Math.max(1, m), what);
          assert(WX * WY <= 256 && WX * WY >= 8, what);
          assert(TM * TN <= 128, what); // sums held in registers
        }
      }
    }
  }
});
