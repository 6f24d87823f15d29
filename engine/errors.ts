/**
 * The errors a user can cause or mend. Everything else that is thrown is a defect of ours.
 * The command line turns them into exit codes: InputError 2, NoAdapterError 3.
 */

/**
 * Wrong input: the message is one sentence naming the file, field or value and what to do about it; `settings` are the names
 * of settings that would mend it (engine/run/settings), which a command line calls by its options.
 */
export class InputError extends Error {
  /** For programs that tell errors by name. */
  override name = "InputError";
  /** Names of the settings that would mend it. */
  readonly settings: readonly string[];

  /** `settings` are names of settings that would mend it. */
  constructor(message: string, ...settings: string[]) {
    super(message);
    this.settings = settings;
  }
}

/** NaN or infinity where there should be a number: the message says where, and what may help. Nothing goes on from it. */
export class NonFiniteError extends InputError {
  /** For programs that tell errors by name. */
  override name = "NonFiniteError";
}

/** No WebGPU adapter could be had; the message says how to get one. */
export class NoAdapterError extends Error {
  /** For programs that tell errors by name. */
  override name = "NoAdapterError";
}

/** The GPU device was lost or ran out of memory while working. */
export class DeviceError extends Error {
  /** For programs that tell errors by name. */
  override name = "DeviceError";
}

/** The GPU device was lost while working; what was on it is gone. Runs go on once on a fresh one before they end with this. */
export class DeviceLostError extends DeviceError {}
