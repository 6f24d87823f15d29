/** What every command shares: flags, a config file, errors as exit codes, and interruption. */
import { Command, CommanderError, InvalidArgumentError } from "npm:commander@15.1.0";
import { parse as parseYaml } from "npm:yaml@2.9.1";
import { z } from "npm:zod@4.6.7";
import { DeviceError, InputError, NoAdapterError } from "../engine/errors.ts";
import denoConfig from "../deno.json" with { type: "json" };

/** One flag: its name without dashes, the placeholder of its value (none: a switch), and how its value is checked. */
export interface Flag {
  readonly name: string;
  readonly value?: string;
  readonly help: string;
  /** Turns text (or a config file's value) into the setting; its error message ends "… is not MESSAGE". */
  readonly type: z.ZodType;
  readonly fallback?: unknown;
  /** May be given more than once. */
  readonly repeat?: boolean;
}

const number = z.union([
  z.number(),
  z.string().trim().regex(/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i).transform(Number),
]);

/** A finite number for which `holds`; anything else "is not MESSAGE". */
const numberThat = (holds: (value: number) => boolean, message: string): z.ZodType<number> =>
  number.refine((value) => Number.isFinite(value) && holds(value), message).or(z.never(message));

/** Types of flag values. */
export const types = {
  text: z.string().min(1, "a text"),
  integer: (least: number) =>
    numberThat((value) => Number.isSafeInteger(value) && value >= least, `an integer ≥ ${least}`),
  positive: numberThat((value) => value > 0, "a number > 0"),
  nonNegative: numberThat((value) => value >= 0, "a number ≥ 0"),
  fraction: numberThat((value) => value > 0 && value <= 1, "a number in (0, 1]"),
  switch: z.boolean("true or false"),
  oneOf: <T extends string>(...options: T[]) => z.enum(options, `one of ${options.join(", ")}`),
} as const;

/** Flags that every command takes. */
export const commonFlags: readonly Flag[] = [
  {
    name: "config",
    value: "FILE",
    help: "YAML or JSON file with flags by name; the command line wins",
    type: types.text,
  },
  { name: "json", help: "print the result as one line of JSON, last", type: types.switch, fallback: false },
  { name: "quiet", help: "no progress", type: types.switch, fallback: false },
];

/** Values of flags by name. */
export type FlagValues = Record<string, unknown>;

/** Describes a command; `run` gets checked values and may return an exit code. */
export interface CommandSpec {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly Flag[];
  readonly arguments?: string;
  readonly run: (values: FlagValues, args: readonly string[]) => Promise<number | void>;
}

/** Parses Deno.args, runs the command and ends the process with DESIGN's exit codes. */
export async function runCommand(spec: CommandSpec): Promise<never> {
  Deno.addSignalListener("SIGINT", () => {
    console.error("\nInterrupted; the same command resumes.");
    Deno.exit(130);
  });
  let json = false;
  try {
    const { values, args } = await parseFlags(spec, Deno.args);
    json = values.json === true;
    Deno.exit(await spec.run(values, args) ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) Deno.exit(error.exitCode === 0 ? 0 : 2);
    const [code, message] = error instanceof InputError
      ? [2, error.message]
      : error instanceof NoAdapterError
      ? [3, error.message]
      : error instanceof DeviceError
      ? [1, error.message]
      : [1, (error as Error)?.stack ?? String(error)];
    console.error(`error: ${message}`);
    if (json) console.log(JSON.stringify({ error: message, exit_code: code }));
    Deno.exit(code);
  }
}

/** Checked flag values: command line over config file over fallbacks. Throws InputError. */
export async function parseFlags(spec: CommandSpec, argv: readonly string[]) {
  const flags = [...spec.flags, ...commonFlags];
  const command = new Command(spec.name)
    .description(spec.summary)
    .usage(`[flags]${spec.arguments ? ` ${spec.arguments}` : ""}`)
    .version(denoConfig.version)
    .allowExcessArguments(spec.arguments !== undefined)
    .showHelpAfterError(false)
    .configureOutput({ writeErr: () => {} })
    .exitOverride();
  for (const flag of flags) {
    const shown = flag.fallback === undefined || flag.fallback === false || flag.repeat
      ? ""
      : ` (default ${
        typeof flag.fallback === "string" ? flag.fallback.replaceAll("\n", "\\n") : flag.fallback
      })`;
    const help = `${flag.help}${shown}`;
    if (!flag.value) command.option(`--${flag.name}`, help);
    else if (flag.repeat) {
      command.option(
        `--${flag.name} <${flag.value}>`,
        help,
        (value: string, all: string[] = []) => [...all, value],
      );
    } else command.option(`--${flag.name} <${flag.value}>`, help);
  }
  try {
    command.parse([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError) || error instanceof InvalidArgumentError) throw error;
    if (error.exitCode === 0) throw error;
    const text = error.message.replace(/^error: /, "").replace(/\n/g, " ").replace(
      /[.)]*$/,
      (end) => end.replace(".", ""),
    );
    throw new InputError(`${text[0]!.toUpperCase()}${text.slice(1)}; see deno task ${spec.name} --help.`);
  }
  const given = command.opts();
  const fromFile = typeof given.config === "string" ? await readConfigFile(given.config, flags) : {};
  const values: FlagValues = {};
  for (const flag of flags) {
    const key = camelCase(flag.name);
    // commander turns --no-tune into { tune: false }
    const negated = flag.name.startsWith("no-") && given[camelCase(flag.name.slice(3))] === false;
    const raw = (negated ? true : given[key]) ?? fromFile[flag.name];
    if (raw === undefined) {
      if (flag.fallback !== undefined) values[flag.name] = flag.fallback;
      continue;
    }
    const file = given[key] === undefined ? given.config as string : undefined;
    values[flag.name] = flag.repeat
      ? [raw].flat().map((one: unknown) => check(flag, one, file))
      : check(flag, raw, file);
  }
  return { values, args: command.args };
}

/** The setting that a value from the command line, or from config file `file`, stands for. Throws InputError. */
function check(flag: Flag, raw: unknown, file: string | undefined): unknown {
  const parsed = flag.type.safeParse(raw);
  if (parsed.success) return parsed.data;
  const origin = file === undefined ? "" : ` (from config file "${file}")`;
  throw new InputError(`--${flag.name} ${JSON.stringify(raw)}${origin} is not ${describe(parsed.error)}.`);
}

/** The message that a flag's type was given, dug out of unions. */
function describe(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue?.code === "invalid_union") {
    const own = issue.errors.flat().map(({ message }) => message).find((message) =>
      !message.startsWith("Invalid")
    );
    if (own) return own;
  }
  return issue?.message ?? "valid";
}

async function readConfigFile(path: string, flags: readonly Flag[]): Promise<Record<string, unknown>> {
  let content: unknown;
  try {
    content = parseYaml(await Deno.readTextFile(path)); // JSON is YAML
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound
      ? "does not exist"
      : `cannot be read (${(error as Error).message.split("\n")[0]})`;
    throw new InputError(`Config file "${path}" ${why}.`);
  }
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    throw new InputError(`Config file "${path}" is not a list of "flag: value".`);
  }
  const unknown = Object.keys(content).find((key) => !flags.some(({ name }) => name === key));
  if (unknown) {
    throw new InputError(`Config file "${path}" sets "${unknown}", which is no flag of this command.`);
  }
  return content as Record<string, unknown>;
}

function camelCase(name: string): string {
  return name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}
