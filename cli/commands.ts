/** All commands by name, each loaded when it is needed. */
import type { CliCommand } from "./command.ts";

const commands: Readonly<Record<string, () => Promise<CliCommand>>> = {
  amplify: async () => (await import("./amplify.ts")).amplify,
  sweep: async () => (await import("./sweep.ts")).sweep,
  plan: async () => (await import("./plan.ts")).plan,
  work: async () => (await import("./work.ts")).work,
  merge: async () => (await import("./merge.ts")).merge,
  cluster: async () => (await import("./cluster.ts")).cluster,
  identify: async () => (await import("./identify.ts")).identify,
  evaluate: async () => (await import("./evaluate.ts")).evaluate,
  generate: async () => (await import("./generate.ts")).generate,
  trace: async () => (await import("./trace.ts")).trace,
  report: async () => (await import("./report.ts")).report,
  compare: async () => (await import("./compare.ts")).compare,
  data: async () => (await import("./data.ts")).data,
  patch: async () => (await import("./patch.ts")).patch,
  pretrain: async () => (await import("./pretrain.ts")).pretrain,
  verify: async () => (await import("./verify.ts")).verify,
  doctor: async () => (await import("./doctor.ts")).doctor,
  bench: async () => (await import("./bench.ts")).bench,
  schema: async () => (await import("./schema.ts")).schema,
  completion: async () => (await import("./completion.ts")).completion,
};

/** Names of all commands. */
export const commandNames: readonly string[] = Object.keys(commands);

/** The command of this name, which must be one of commandNames. */
export function loadCommand(name: string): Promise<CliCommand> {
  return commands[name]!();
}

/** All commands in order. */
export function loadCommands(): Promise<CliCommand[]> {
  return Promise.all(commandNames.map(loadCommand));
}
