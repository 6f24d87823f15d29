/** Runs commands as a user would: each in a process of its own, with the permissions that deno.json's tasks give. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";
import denoConfig from "../../deno.json" with { type: "json" };

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = join(root, "cli");

/** What a finished command left. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that has not been started, with its task's permissions. Progress goes to pipes, so it is plain lines. */
export function command(
  name: string,
  args: readonly string[],
  env: Record<string, string> = {},
  permissions: readonly string[] = taskPermissions(name),
  cwd = root,
  stdin: "null" | "piped" = "null",
): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", ...permissions, join(folder, `${name}.ts`), ...args],
    // Tests may themselves run in a task.
    env: { NO_COLOR: "1", INIT_CWD: cwd, ...env },
    cwd,
    stdin,
    stdout: "piped",
    stderr: "piped",
  });
}

/** The permissions that a command's task takes from deno.json's sets, as flags, and access to these hosts besides. */
export function taskPermissions(name: string, ...hosts: string[]): string[] {
  const { command } = denoConfig.tasks[name as keyof typeof denoConfig.tasks];
  const set = command.match(/ -P=(\w+) /)![1]! as keyof typeof denoConfig.permissions;
  return Object.entries(denoConfig.permissions[set]).map(
    ([permission, value]: [string, boolean | string[]]) => {
      const flag = `--allow-${permission}`;
      if (!Array.isArray(value)) return flag;
      return `${flag}=${[...value, ...(permission === "net" ? hosts : [])].join(",")}`;
    },
  );
}

/** Runs a command to its end. */
export async function run(
  name: string,
  args: readonly string[],
  env: Record<string, string> = {},
  permissions?: readonly string[],
): Promise<Outcome> {
  const { code, stdout, stderr } = await command(name, args, env, permissions).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Runs a command to its end with text on its standard input. */
export async function runWithInput(name: string, args: readonly string[], input: string): Promise<Outcome> {
  const child = command(name, args, {}, undefined, undefined, "piped").spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Demands an exit code and, on stderr, nothing but one line that begins "error:" and names all of `parts`. */
export function assertRefused({ code, stderr }: Outcome, expected: number, ...parts: string[]) {
  assertEquals(code, expected, stderr);
  const lines = stderr.trimEnd().split("\n");
  assertEquals(lines.length, 1, stderr);
  assert(/^error: [A-Z"/-].*\.$/.test(lines[0]!), stderr);
  for (const part of parts) assert(lines[0]!.includes(part), `"${part}" is not in: ${stderr}`);
}

/** The one line of JSON that a command called with --json printed, and nothing else on stdout. */
export function onlyLine({ stdout, stderr }: Outcome): Record<string, unknown> {
  assertEquals(stdout.trimEnd().split("\n").length, 1, `${stdout}\n${stderr}`);
  return JSON.parse(stdout);
}
