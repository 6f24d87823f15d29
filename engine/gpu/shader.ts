/**
 * Turns a WGSL template into WGSL. Directives stand in comments, one a line, so that a shader still reads as WGSL:
 *
 *   //: if NAME | if !NAME | if NAME == VALUE     lines up to `else` or `end`, kept when it holds
 *   //: for i in 0..COUNT                         lines up to `end`, repeated with $i = 0 … COUNT-1
 *   //: include NAME KEY=VALUE …                  the lines of another template, with $KEY replaced by VALUE
 *   $NAME                                         replaced by the value of NAME
 *
 * Drivers unroll and fold what has constant bounds and indices; loops over register tiles are therefore written out here.
 */

import { type KernelInterface, kernelInterface } from "./kernel_interface.ts";

/** What a template is specialised with; booleans feed `if`. */
export type ShaderValues = Readonly<Record<string, string | number | boolean>>;

/** A WGSL template with the values that specialise it; `name` is the file's name. */
export interface Kernel {
  /** In errors and profiles. */
  readonly name: string;
  /** WGSL with `$NAME` for values and lines `//: if`, `//: include`; see shaders/README.md. */
  readonly template: string;
  /** What replaces the names. */
  readonly values: ShaderValues;
}

/** A kernel's WGSL and what it says of itself. */
export interface ExpandedKernel {
  /** The kernel's name and values: its label. */
  readonly key: string;
  readonly code: string;
  readonly interface: KernelInterface;
}

const expanded = new Map<string, Map<string, ExpandedKernel>>();

/** Expands a kernel and reads its interface; done once for each template and set of values. */
export function expandKernel({ name, template, values }: Kernel): ExpandedKernel {
  const key = `${name} ${JSON.stringify(values)}`;
  let ofTemplate = expanded.get(template);
  if (!ofTemplate) expanded.set(template, ofTemplate = new Map());
  let kernel = ofTemplate.get(key);
  if (!kernel) {
    const code = expandShader(name, template, values);
    ofTemplate.set(key, kernel = { key, code, interface: kernelInterface(name, code) });
  }
  return kernel;
}

/**
 * Puts the templates that `include` lines name in their place, with $KEY replaced by VALUE for each KEY=VALUE of the line;
 * `library` holds them by name. Their opening comments stay behind.
 */
export function includeShaders(
  name: string,
  template: string,
  library: Readonly<Record<string, string>>,
): string {
  return template.replace(
    /^[ \t]*\/\/: include (\w+)((?: \w+=\S+)*)[ \t]*$/gm,
    (_, included: string, settings: string) => {
      const text = library[included];
      if (text === undefined) throw new Error(`Shader ${name} includes ${included}, which there is not.`);
      const values = new Map([...settings.matchAll(/(\w+)=(\S+)/g)].map(([, key, value]) => [key!, value!]));
      const body = text.trimEnd().replace(/^(?:\/\/(?!:).*\n)+/, "");
      const set = body.replace(/\$([A-Z]+)/g, (own, key: string) => values.get(key) ?? own);
      return includeShaders(included, set, library);
    },
  );
}

/** Expands `template`; throws an Error naming `name` and the line for an unknown name or an unclosed block. */
export function expandShader(name: string, template: string, values: ShaderValues): string {
  const lines = template.split("\n");
  const out: string[] = [];
  const end = expandBlock(lines, 0, values, out, true);
  if (end !== lines.length) {
    throw new Error(`Shader ${name}: line ${end + 1} closes a block that was never opened.`);
  }
  return out.join("\n");

  /** Expands from `from` to the end of the block, returns the index of the line that closed it. */
  function expandBlock(
    lines: string[],
    from: number,
    scope: ShaderValues,
    out: string[],
    keep: boolean,
  ): number {
    let at = from;
    while (at < lines.length) {
      const line = lines[at]!;
      const directive = line.match(/^\s*\/\/: (.*)$/)?.[1]?.trim();
      if (directive === undefined) {
        if (keep) out.push(substitute(line, scope, at));
        at++;
      } else if (directive === "end" || directive === "else") {
        return at;
      } else if (directive.startsWith("if ")) {
        const holds = keep && evaluate(directive.slice(3), scope, at);
        let close = expandBlock(lines, at + 1, scope, out, holds);
        if (lines[close]?.includes("//: else")) {
          close = expandBlock(lines, close + 1, scope, out, keep && !holds);
        }
        if (close >= lines.length) {
          throw new Error(`Shader ${name}: the block of line ${at + 1} is never closed.`);
        }
        at = close + 1;
      } else {
        const loop = directive.match(/^for (\w+) in (\S+)\.\.(\S+)$/);
        if (!loop) {
          throw new Error(`Shader ${name}: line ${at + 1} holds an unknown directive "${directive}".`);
        }
        const [first, last] = [number(loop[2]!, scope, at), number(loop[3]!, scope, at)];
        let close = expandBlock(lines, at + 1, scope, out, false);
        for (let i = first; keep && i < last; i++) {
          close = expandBlock(lines, at + 1, { ...scope, [loop[1]!]: i }, out, true);
        }
        if (close >= lines.length) {
          throw new Error(`Shader ${name}: the block of line ${at + 1} is never closed.`);
        }
        at = close + 1;
      }
    }
    return at;
  }

  function substitute(line: string, scope: ShaderValues, at: number): string {
    // Comments may name what this specialisation lacks; only what states a kernel's iterations is kept, for its interface.
    const code = line.startsWith("// iterations: ") ? line : line.split("//", 1)[0]!;
    return code.replace(/\$([A-Za-z][A-Za-z0-9]*)/g, (_, key: string) => String(lookup(key, scope, at)));
  }

  function lookup(key: string, scope: ShaderValues, at: number) {
    const value = scope[key];
    if (value === undefined) {
      throw new Error(`Shader ${name}: line ${at + 1} uses ${key}, which has no value.`);
    }
    return value;
  }

  function number(text: string, scope: ShaderValues, at: number): number {
    return /^\d+$/.test(text) ? Number(text) : Number(lookup(text, scope, at));
  }

  function evaluate(condition: string, scope: ShaderValues, at: number): boolean {
    const [left, right] = condition.split(" == ");
    if (right !== undefined) return String(lookup(left!, scope, at)) === right;
    return left!.startsWith("!") ? !lookup(left!.slice(1), scope, at) : Boolean(lookup(left!, scope, at));
  }
}
