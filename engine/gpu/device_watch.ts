/** What becomes of a device: the first failure it reports, and an end to whatever waits for it once it is lost. */
import { DeviceError, DeviceLostError } from "../errors.ts";

/** Milliseconds in which the word that a device is lost may come after the first command that failed of it. */
const wordOfLossMs = 50;

/** See file comment. */
export class DeviceWatch {
  /** The first failure. */
  failure: DeviceError | undefined;
  private readonly waiting = new Set<(error: DeviceError) => void>();
  private readonly loss: Promise<void>;
  private over = false;

  /** `outOfMemory` is what to say where an allocation is refused. */
  constructor(device: GPUDevice, outOfMemory: () => string) {
    this.loss = device.lost.then(({ reason, message }) => {
      if (this.over) return;
      const why = [reason, message.replace(/[.\s]+$/, "")].filter((text) => text && text !== "unknown").join(
        ": ",
      );
      // What failed before may be but a sign of it.
      const lost = new DeviceLostError(`The GPU device was lost${why && ` (${why})`}.`);
      this.failure = lost;
      for (const end of this.waiting) end(lost);
    });
    device.addEventListener("uncapturederror", (event) => {
      const { error } = event as GPUUncapturedErrorEvent;
      event.preventDefault();
      if (this.over) return;
      this.failure ??= new DeviceError(
        error.constructor.name === "GPUOutOfMemoryError"
          ? outOfMemory()
          : `The GPU refused a command: ${inOneSentence(error.message)}`,
      );
    });
  }

  /** `promise`, or its end with the device: there are drivers that never settle what was begun before. */
  orLost<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.waiting.add(reject);
      promise.then(resolve, reject).finally(() => this.waiting.delete(reject));
    });
  }

  /** Whether the device is lost. To be asked after something failed: the word of it may be under way. */
  async lost(): Promise<boolean> {
    if (this.over) return false;
    let timer: ReturnType<typeof setTimeout>;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, wordOfLossMs));
    await Promise.race([this.loss, late]);
    clearTimeout(timer!);
    return this.failure instanceof DeviceLostError;
  }

  /** Nothing is heard of the device any more: its end is meant. */
  end() {
    this.over = true;
  }
}

/** What a driver says, which may be a drawing of many lines, as the end of a sentence. */
function inOneSentence(message: string): string {
  return message.replace(/[\s│┌─]+/g, " ").trim().replace(/\.?$/, ".");
}
