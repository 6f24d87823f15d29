/** The exit codes of every command, and which error ends with which. */
import { CommanderError } from "npm:commander@15.1.0";
import { DeviceError, InputError, NoAdapterError } from "../engine/errors.ts";

/** What an exit code says. */
export const exitCodes = {
  done: { code: 0, meaning: "done" },
  failed: { code: 1, meaning: "a check failed, the GPU did, or a defect of ours" },
  wrongInput: { code: 2, meaning: "wrong input: one sentence on stderr says what to do" },
  noAdapter: { code: 3, meaning: "no usable GPU adapter" },
  interrupted: { code: 130, meaning: "interrupted; amplify, identify and pretrain resume when called again" },
} as const;

/** The exit code of a command that ended with this error. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.done.code; // --help, --version
  if (error instanceof InputError || error instanceof CommanderError) return exitCodes.wrongInput.code;
  if (error instanceof NoAdapterError) return exitCodes.noAdapter.code;
  return exitCodes.failed.code;
}

/** What is said of it on stderr: a sentence for what a user can mend, all that is known of a defect of ours. */
export function messageOf(error: unknown, optionOf: (setting: string) => string | undefined): string {
  if (error instanceof InputError) {
    const options = error.settings.flatMap((setting) => optionOf(setting) ?? []);
    if (options.length === 0) return error.message;
    return error.message.replace(/\.?$/, ` (${options.join(", ")}).`);
  }
  if (error instanceof NoAdapterError || error instanceof DeviceError) return error.message;
  return (error as Error)?.stack ?? String(error);
}
