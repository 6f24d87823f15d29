/** Checks of every way there is to compute something on this adapter, not only of those that runs would choose. */
import type { Gpu } from "../gpu/gpu.ts";
import { forceTile, forceVariant, variantsFor } from "../ops/variants.ts";
import { type Check, verifyGolden } from "./golden.ts";

/**
 * Runs every check of a golden folder once for each kernel variant that this adapter can run, and within it once for each
 * candidate that tuning may choose for a product; `report` is told which.
 */
export async function verifyAllVariants(
  gpu: Gpu,
  directory: string,
  report: (variant: string, check: Check) => void,
): Promise<void> {
  try {
    for (const variant of variantsFor(gpu)) {
      forceVariant(gpu, variant);
      for (let candidate = 0, most = 1; candidate < most; candidate++) {
        forceTile(gpu, (candidates) => {
          most = Math.max(most, candidates.length);
          return candidates[candidate % candidates.length];
        });
        await verifyGolden(gpu, directory, (check) => report(`${variant} ${candidate + 1}`, check));
      }
    }
  } finally {
    forceVariant(gpu, undefined);
    forceTile(gpu, undefined);
  }
}
