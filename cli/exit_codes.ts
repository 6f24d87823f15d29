/** The exit codes of every command, and which error ends with which. */
import { CommanderError } from "npm:commander@15.1.0";
import { DeviceError, DeviceLostError, InputError, NoAdapterError } from "../engine/errors.ts";

/** What an exit code says. */
export const exitCodes = {
  done: { code: 0, meaning: "done" },
  failed: { code: 1, meaning: "a check failed, a model does not fit, the GPU failed, or a defect of ours" },
  wrongInput: {
    code: 2,
    meaning: "wrong input, or a file or disk that fails: one sentence on stderr says what to do",
  },
  noAdapter: { code: 3, meaning: "no usable GPU adapter" },
  retry: {
    code: 75,
    meaning: "work and merge: stopped by SIGTERM, or the GPU was lost; the same command goes on",
  },
  interrupted: {
    code: 130,
    meaning: "interrupted; amplify, identify, work, merge and pretrain resume when called again",
  },
} as const;

/** The exit code of a command that ended with this error; `retries` says that schedulers start it again where that may help. */
export function exitCodeOf(error: unknown, retries = false): number {
  if (retries && error instanceof DeviceLostError) return exitCodes.retry.code;
  if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.done.code; // --help, --version
  if (error instanceof InputError || error instanceof CommanderError || isOfSystem(error)) {
    return exitCodes.wrongInput.code;
  }
  if (error instanceof NoAdapterError) return exitCodes.noAdapter.code;
  return exitCodes.failed.code;
}

/** What the system refused to do with a file, which a user can mend and no caller had foreseen. */
function isOfSystem(error: unknown): error is Error {
  return error instanceof Error && /\(os error \d+\)|^Requires \w+ access to /.test(error.message);
}

/** One sentence about it for stderr; of a defect of ours how to report it. `optionOf` names the option of a setting. */
export function messageOf(error: unknown, optionOf: (setting: string) => string | undefined): string {
  if (error instanceof InputError) {
    const options = error.settings.flatMap((setting) => optionOf(setting) ?? []);
    const message = shortened(error.message);
    return options.length === 0 ? message : message.replace(/\.?$/, ` (${options.join(", ")}).`);
  }
  if (error instanceof NoAdapterError || error instanceof DeviceError) return shortened(error.message);
  const said = shortened(error instanceof Error ? error.message : String(error));
  const what = said.replace(/\s*\n\s*/g, " ").replace(/[.:\s]+$/, "");
  if (isOfSystem(error)) {
    return `The system refuses (${what}); check the path, its permissions and the space left.`;
  }
  const name = error instanceof Error ? error.name : "Error";
  return `Unexpected ${name} (${
    what.slice(0, mostOfCause)
  }), which is a defect of this program; please report it with ` +
    "your command line and what it says with --trace.";
}

const mostOfCause = 300;
/** Longest part between quotes that is repeated in full. */
const mostQuoted = 160;

/** A message with only both ends of the long values that it quotes. */
function shortened(message: string): string {
  const cut = (text: string) =>
    text.length <= mostQuoted ? text : `${text.slice(0, mostQuoted / 2)}…${text.slice(-mostQuoted / 4)}`;
  return message.replace(/"([^"]*)"/g, (_, inside: string) => `"${cut(inside)}"`)
    .replace(/'([^'\s]*)'/g, (_, inside: string) => `'${cut(inside)}'`);
}
