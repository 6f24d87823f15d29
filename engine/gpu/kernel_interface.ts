/**
 * What a kernel wants of its host, read from its own WGSL, so that nothing has to be said twice: the fields of `struct Params`,
 * the bindings with their names, types and access, the workgroup size, and how often its loops turn.
 */

/** One field of `struct Params`; 4 bytes each, in order. */
export interface ParameterField {
  readonly name: string;
  readonly type: "u32" | "i32" | "f32";
}

/** One storage buffer. */
export interface StorageBinding {
  readonly binding: number;
  readonly name: string;
  /** As written, e.g. `array<vec4f>`. */
  readonly type: string;
  /** Its scalar, where all of it is of one; undefined for structs and packed weights. */
  readonly scalar: "u32" | "i32" | "f32" | undefined;
  readonly access: "read" | "read_write";
}

/** See file comment. */
export interface KernelInterface {
  readonly parameters: readonly ParameterField[];
  readonly bindings: readonly StorageBinding[];
  readonly workgroupSize: readonly [number, number, number];
  /** How many times all loops of one invocation turn at most, as an expression over parameters. */
  readonly iterations: string | undefined;
}

/**
 * Reads the interface of expanded WGSL. A line `// iterations: EXPRESSION` states how many times all loops of one invocation
 * turn at most, in parameters, integers, + * / and parentheses.
 *
 * Throws an Error naming `kernel` for WGSL that does not follow the form all of ours has.
 */
export function kernelInterface(kernel: string, wgsl: string): KernelInterface {
  const iterations = wgsl.match(/^\/\/ iterations: (.+)$/m)?.[1];
  const code = wgsl.replace(/\/\/.*$/gm, "");
  const size = code.match(/@workgroup_size\(([^)]*)\)/)?.[1]?.split(",").map((part) => Number(part));
  if (!size || size.some((part) => !Number.isInteger(part) || part < 1)) {
    throw new Error(`Kernel ${kernel} has no workgroup size in numbers.`);
  }
  const struct = code.match(/\bstruct Params\s*\{([^}]*)\}/)?.[1] ?? "";
  const parameters = [...struct.matchAll(/(\w+)\s*:\s*(\w+)/g)].map(([, name, type]): ParameterField => {
    if (type !== "u32" && type !== "i32" && type !== "f32") {
      throw new Error(`Kernel ${kernel}: parameter ${name} is ${type}; parameters are u32, i32 or f32.`);
    }
    return { name: name!, type };
  });
  const declarations =
    /@group\(0\)\s*@binding\((\d+)\)\s*var<storage,\s*(read|read_write)>\s*(\w+)\s*:\s*([^;]+);/g;
  const bindings = [...code.matchAll(declarations)].map((
    [, binding, access, name, type],
  ): StorageBinding => ({
    binding: Number(binding),
    name: name!,
    type: type!.trim(),
    scalar: scalarOf(type!),
    access: access as StorageBinding["access"],
  }));
  const numbers = new Set(bindings.map(({ binding }) => binding));
  const names = new Set(bindings.map(({ name }) => name));
  if (numbers.size < bindings.length || names.size < bindings.length || numbers.has(0)) {
    throw new Error(`Kernel ${kernel} declares a binding twice, or binding 0, which is for its parameters.`);
  }
  return {
    parameters,
    bindings,
    workgroupSize: [size[0]!, size[1] ?? 1, size[2] ?? 1],
    iterations,
  };
}

/** The scalar of `array<vec4f>`, `atomic<u32>` and the like; undefined for structs and 64-bit elements. */
function scalarOf(type: string): StorageBinding["scalar"] {
  const element = type.trim().replace(/^array<(.*)>$/, "$1").replace(/^atomic<(.*)>$/, "$1");
  const letter = element.match(/^(?:vec[234]([fui])|([fui])32)$/);
  const scalars = { f: "f32", u: "u32", i: "i32" } as const;
  return letter ? scalars[(letter[1] ?? letter[2]) as "f" | "u" | "i"] : undefined;
}

/**
 * The value of an `iterations` expression at these parameters, rounded up.
 *
 * Throws an Error for a name that is no parameter.
 */
export function evaluateIterations(expression: string, parameters: Readonly<Record<string, number>>): number {
  const tokens = expression.match(/\w+|[-+*/()]/g) ?? [];
  let at = 0;
  const primary = (): number => {
    const token = tokens[at++];
    if (token === "(") {
      const value = sum();
      at++; // the closing parenthesis
      return value;
    }
    const value = /^\d/.test(token ?? "") ? Number(token) : parameters[token ?? ""];
    if (value === undefined) throw new Error(`"${expression}" names ${token}, which is no parameter.`);
    return value;
  };
  const product = (): number => {
    let value = primary();
    while (tokens[at] === "*" || tokens[at] === "/") {
      value = tokens[at++] === "*" ? value * primary() : value / primary();
    }
    return value;
  };
  const sum = (): number => {
    let value = product();
    while (tokens[at] === "+" || tokens[at] === "-") {
      value = tokens[at++] === "+" ? value + product() : value - product();
    }
    return value;
  };
  return Math.ceil(sum());
}
