/** Work that outlives its device: a driver restarts, a GPU is unplugged or taken by others. */
import { DeviceLostError } from "../errors.ts";
import type { Gpu } from "./gpu.ts";

/**
 * Does `work`, and where the device is lost meanwhile once more on a fresh one. It is told whether it is done again, and must
 * make everything on the GPU itself.
 *
 * @throws {DeviceLostError} where the fresh one is lost, too.
 */
export async function onceMoreIfLost<T>(
  gpu: Gpu,
  notice: ((sentence: string) => void) | undefined,
  work: (again: boolean) => Promise<T>,
): Promise<T> {
  try {
    return await work(false);
  } catch (error) {
    // Whatever failed on a lost device failed because of it.
    if (!await gpu.lost()) throw error;
    const { message } = error instanceof DeviceLostError
      ? error
      : new DeviceLostError("The GPU device was lost.");
    notice?.(message.replace(/\.$/, "; going on on a fresh one."));
  }
  await gpu.renew();
  try {
    return await work(true);
  } catch (error) {
    if (!await gpu.lost()) throw error;
    throw new DeviceLostError(
      `The GPU device was lost twice; check its driver, then start the same command again.`,
      { cause: error },
    );
  }
}
