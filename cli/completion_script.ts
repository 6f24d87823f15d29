/** Shell completion, made from the commands' own definitions. */
import { type Setting, settingsOf } from "../engine/run/settings/setting.ts";
import { type CliCommand, headline } from "./command.ts";
import { optionHelp, optionName } from "./options.ts";

/** Shells there is completion for. */
export const shells = ["bash", "zsh", "fish"] as const;
/** See shells. */
export type Shell = typeof shells[number];

/** An option as a shell completes it. */
interface Completed {
  readonly name: string;
  readonly help: string;
  /** What its value can be: a few words, any path, anything else, or no value at all. */
  readonly value: readonly string[] | "path" | "other" | "none";
}

function optionsOf(command: CliCommand): Completed[] {
  const own = settingsOf(command.settings).map(({ setting }) => ({
    name: optionName(setting),
    help: optionHelp(setting),
    value: valueOf(setting),
  }));
  return [...own, { name: "--help", help: "explain the options", value: "none" }];
}

function valueOf({ type: { placeholder, choices } }: Setting<unknown>): Completed["value"] {
  if (placeholder === "") return "none";
  if (choices) return choices;
  return /FILE|DIR|PATH/.test(placeholder) ? "path" : "other";
}

/** Words of a command besides options, where they are a few fixed ones. */
function wordsOf({ arguments: words = "" }: CliCommand): readonly string[] {
  const first = words.split(" ")[0]!;
  return first.includes("|") ? first.split("|") : [];
}

/** A script that a shell sources to complete `circuit-amp`. */
export function completionScript(shell: Shell, commands: readonly CliCommand[]): string {
  return { bash, zsh, fish }[shell](commands);
}

function bash(commands: readonly CliCommand[]): string {
  const cases = commands.map((command) => {
    const options = optionsOf(command);
    const values = options.filter(({ value }) => Array.isArray(value)).map(({ name, value }) =>
      `      ${command.name}:${name}) COMPREPLY=($(compgen -W "${
        (value as string[]).join(" ")
      }" -- "$word"));;`
    );
    const others = options.filter(({ value }) => value === "other").map(({ name }) =>
      `${command.name}:${name}`
    );
    return [
      ...values,
      ...(others.length > 0 ? [`      ${others.join("|")}) COMPREPLY=();;`] : []),
      `      ${command.name}:*) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "${
        options.map(({ name }) => name).join(" ")
      }" -- "$word")); else COMPREPLY=($(compgen -W "${
        wordsOf(command).join(" ")
      }" -- "$word") $(compgen -f -- "$word")); fi;;`,
    ].join("\n");
  });
  return `# bash completion of circuit-amp: source <(circuit-amp completion bash)
_circuit_amp() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}"
  if [[ $COMP_CWORD == 1 ]]; then
    COMPREPLY=($(compgen -W "${commands.map(({ name }) => name).join(" ")}" -- "$word"))
  else
    case "\${COMP_WORDS[1]}:$before" in
${cases.join("\n")}
    esac
  fi
}
complete -o filenames -F _circuit_amp circuit-amp
`;
}

/** Text inside single quotes, for shells that know no escape in them. */
const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

function zsh(commands: readonly CliCommand[]): string {
  // _arguments gives colons and brackets a meaning of their own.
  const plain = (text: string) => text.replace(/[\\:[\]]/g, (sign) => `\\${sign}`);
  const option = ({ name, help, value }: Completed) => {
    const action = value === "none"
      ? ""
      : value === "path"
      ? ":value:_files"
      : value === "other"
      ? ":value: "
      : `:value:(${value.join(" ")})`;
    return `        ${quoted(`*${name}[${plain(help)}]${action}`)}`;
  };
  const cases = commands.map((command) => {
    const words = wordsOf(command);
    const first = words.length > 0 ? `        ${quoted(`1:action:(${words.join(" ")})`)} \\\n` : "";
    return `    ${command.name})\n      _arguments -s \\\n${first}${
      optionsOf(command).map(option).join(" \\\n")
    } \\\n        '*:file:_files';;`;
  });
  const names = commands.map((command) => `    ${quoted(`${command.name}:${headline(command)}`)}`);
  return `#compdef circuit-amp
# zsh completion of circuit-amp: source <(circuit-amp completion zsh)
_circuit_amp() {
  local -a commands
  commands=(
${names.join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local name=$words[2]
  shift words
  (( CURRENT-- ))
  case $name in
${cases.join("\n")}
  esac
}
compdef _circuit_amp circuit-amp
`;
}

function fish(commands: readonly CliCommand[]): string {
  const text = (value: string) => `'${value.replace(/[\\']/g, (sign) => `\\${sign}`)}'`;
  const lines = commands.flatMap((command) => {
    const inside = `complete -c circuit-amp -n ${text(`__fish_seen_subcommand_from ${command.name}`)}`;
    const words = wordsOf(command).map((word) => `${inside} -a ${word}`);
    const options = optionsOf(command).map(({ name, help, value }) => {
      const action = value === "none"
        ? ""
        : value === "path"
        ? " -r -F"
        : value === "other"
        ? " -x"
        : ` -x -a ${text(value.join(" "))}`;
      return `${inside} -l ${name.slice(2)}${action} -d ${text(help)}`;
    });
    return [
      `complete -c circuit-amp -n __fish_use_subcommand -f -a ${command.name} -d ${text(headline(command))}`,
      ...words,
      ...options,
    ];
  });
  return `# fish completion of circuit-amp: circuit-amp completion fish | source\n${lines.join("\n")}\n`;
}
