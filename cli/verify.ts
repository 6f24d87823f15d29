/** deno task verify: checks this adapter and driver against golden folders, or at the true widths of published models. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "npm:zod@4.6.7";
import { InputError } from "../engine/errors.ts";
import { requireWritable } from "../engine/files.ts";
import { Gpu } from "../engine/gpu/gpu.ts";
import { publishedShapes } from "../engine/model/published_shapes.ts";
import { type Check, verifyGolden } from "../engine/verify/golden.ts";
import { type ShapeRun, verifyShape } from "../engine/verify/full_width.ts";
import { type FlagValues, runCommand, types } from "./command.ts";
import { Tally } from "./tally.ts";

const golden = fileURLToPath(new URL("../fixtures/golden", import.meta.url));
const shapeNames = Object.keys(publishedShapes);

await runCommand({
  name: "verify",
  summary: "Checks logits, gradients and updates on this GPU against expected values.",
  flags: [
    {
      name: "golden",
      value: "DIR",
      help: "golden folder, repeatable (default: all in fixtures/golden)",
      type: types.text,
      repeat: true,
    },
    {
      name: "shapes",
      value: "NAMES",
      help: `instead, random models of true width; repeatable or with commas: ${shapeNames.join(", ")}`,
      type: z.string().transform((names) => names.split(",")).pipe(
        z.array(z.enum(shapeNames)),
      ).or(z.never(`one or more of ${shapeNames.join(", ")}`)),
      repeat: true,
    },
    { name: "layers", value: "N", help: "layers of those models (default 1)", type: types.integer(1) },
    {
      name: "out",
      value: "DIR",
      help:
        "keep their checkpoints, one folder each in DIR (default: a temporary folder, removed afterwards)",
      type: types.text,
    },
  ],
  async run(values) {
    const tally = new Tally(values);
    const shapes = [...new Set((values.shapes as string[][] | undefined)?.flat())];
    if (shapes.length > 0) {
      if (values.golden) {
        throw new InputError("--golden and --shapes are checks of two kinds; run verify once for each.");
      }
      return await verifyShapes(shapes, values, tally);
    }
    for (const flag of ["layers", "out"]) {
      if (values[flag] !== undefined) {
        throw new InputError(`--${flag} belongs to --shapes, which says which models to write; add it.`);
      }
    }
    const folders = (values.golden as string[] | undefined) ?? await goldenFolders();
    using gpu = await Gpu.open();
    tally.begin(gpu);
    for (const folder of folders) {
      const name = folder.replace(/\/+$/, "").split("/").at(-1)!;
      await verifyGolden(gpu, folder, (check) => tally.add(name, check));
    }
    return tally.end(gpu);
  },
});

async function verifyShapes(names: readonly string[], values: FlagValues, tally: Tally): Promise<number> {
  const layers = values.layers as number | undefined ?? 1;
  const out = values.out as string | undefined;
  for (const name of names) {
    const most = publishedShapes[name]!.num_hidden_layers as number;
    if (layers > most) {
      throw new InputError(
        `--layers ${layers} is more than the ${most} layers that ${name} has; give fewer.`,
      );
    }
    if (out) await requireEmpty(join(out, name));
  }
  const results: Record<string, unknown>[] = [];
  for (const [n, name] of names.entries()) {
    // A device for each shape, so that its peak of memory is its own.
    using gpu = await Gpu.open();
    if (n === 0) tally.begin(gpu);
    await using folder = await checkpointFolder(name, out);
    const config = { ...publishedShapes[name]!, num_hidden_layers: layers };
    const checks: Check[] = [];
    const run = await verifyShape(gpu, config, folder.path, (check) => {
      checks.push(check);
      tally.add(name, check);
    }).catch((error) => {
      throw folder.explain(error);
    });
    if (!values.quiet) console.log(`       ${name} ${describe(run, layers)}`);
    const { seconds, peakHostBytes, peakGpuBytes } = run;
    const memory = { peak_host_bytes: peakHostBytes ?? null, peak_gpu_bytes: peakGpuBytes };
    results.push({ name, layers, ...run.checkpoint, checks, seconds, ...memory });
    if (n === names.length - 1) return tally.end(gpu, { shapes: results });
  }
  return 1;
}

function describe({ checkpoint, seconds, peakHostBytes, peakGpuBytes }: ShapeRun, layers: number): string {
  const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(2)} GiB`;
  const s = (value: number) => `${value.toFixed(1)} s`;
  return [
    `${layers} layer${layers > 1 ? "s" : ""}, ${(checkpoint.parameters / 1e6).toFixed(0)} M parameters`,
    `${gibibytes(checkpoint.bytes)} in ${checkpoint.shards} shards`,
    `written in ${s(seconds.write)}`,
    `loaded in ${s(seconds.load)}`,
    `${s(seconds.total)} in all`,
    ...(peakHostBytes === undefined ? [] : [`host memory so far at most ${gibibytes(peakHostBytes)}`]),
    `GPU memory at most ${gibibytes(peakGpuBytes)}`,
  ].join(", ");
}

/** Where a checkpoint goes: a new folder in `out`, or a temporary one that also goes away when the command is interrupted. */
async function checkpointFolder(name: string, out: string | undefined) {
  const path = out ? join(out, name) : await Deno.makeTempDir({ prefix: `circuit-amp-${name}-` });
  if (out) {
    await requireWritable(path);
    for await (const entry of Deno.readDir(path)) {
      throw new InputError(
        `Folder "${path}" already holds "${entry.name}"; remove it or choose another --out.`,
      );
    }
  }
  const remove = () => Deno.removeSync(path, { recursive: true });
  if (!out) addEventListener("unload", remove);
  return {
    path,
    /** A full disk is the user's to mend. */
    explain(error: unknown): unknown {
      if (!(error instanceof Error) || !/no space left|quota exceeded/i.test(error.message)) return error;
      const remedy = out ? "choose another --out" : "set TMPDIR to a folder on another disk";
      return new InputError(
        `There is no space left for the checkpoint in "${path}"; free some or ${remedy}.`,
      );
    },
    [Symbol.asyncDispose]() {
      if (!out) {
        removeEventListener("unload", remove);
        remove();
      }
      return Promise.resolve();
    },
  };
}

/** Makes a folder that files can be written into; throws InputError where there are some already. */
async function requireEmpty(path: string) {
  await requireWritable(path);
  for await (const { name } of Deno.readDir(path)) {
    throw new InputError(`Folder "${path}" already holds "${name}"; remove it or choose another --out.`);
  }
}

async function goldenFolders(): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(golden));
  return entries.filter(({ isDirectory }) => isDirectory).map(({ name }) => join(golden, name)).sort();
}
