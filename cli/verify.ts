/** verify: checks this adapter and driver against golden folders, or at the true widths of published models. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { InputError } from "../engine/errors.ts";
import { requireWritable } from "../engine/files.ts";
import { Gpu } from "../engine/gpu/gpu.ts";
import { publishedShapes } from "../engine/model/published_shapes.ts";
import { verifyAllVariants } from "../engine/verify/all_variants.ts";
import { type Check, verifyGolden } from "../engine/verify/golden.ts";
import { type ShapeRun, verifyShape } from "../engine/verify/full_width.ts";
import { setting } from "../engine/run/settings/setting.ts";
import { outSetting } from "../engine/run/settings/start.ts";
import { integer, listOf, oneOf, text, toggle } from "../engine/run/settings/value_types.ts";
import { defineCommand, runCommand } from "./command.ts";
import { Tally } from "./tally.ts";
import { print } from "./terminal.ts";

const goldenFixtures = fileURLToPath(new URL("../fixtures/golden", import.meta.url));
const shapeNames = Object.keys(publishedShapes);

export const verify = defineCommand({
  name: "verify",
  summary: "Checks logits, gradients and updates on this GPU against expected values.",
  settings: {
    verification: {
      golden: setting({
        name: "golden",
        type: listOf(text("DIR")),
        otherwise: "all in fixtures/golden",
        help: "golden folder",
        example: "fixtures/golden/llama-tiny",
      }),
      shapes: setting({
        name: "shapes",
        type: listOf(oneOf(shapeNames, "NAMES"), {
          commas: true,
          is: `one or more of ${shapeNames.join(", ")}`,
        }),
        otherwise: "none",
        help: `instead, random models of true width, with commas: ${shapeNames.join(", ")}`,
        example: "gemma-2-2b",
      }),
      layers: setting({
        name: "layers",
        type: integer(1),
        otherwise: "1",
        help: "layers of those models",
        example: "2",
      }),
    },
    allVariants: setting({
      name: "all-variants",
      type: toggle,
      default: false,
      help: "check every kernel variant and every candidate of the tuning, not only those that runs use here",
      example: "",
    }),
    start: {
      out: outSetting(
        "keep their checkpoints, one folder each in DIR",
        "a temporary folder, removed afterwards",
      ),
    },
  },
  async run({ verification: { golden, shapes = [], layers }, allVariants, start: { out }, json, quiet }) {
    const tally = new Tally({ json, quiet });
    if (shapes.length > 0) {
      if (golden) {
        throw new InputError(
          "Golden folders and shapes are checks of two kinds; run verify once for each.",
          "golden",
          "shapes",
        );
      }
      if (allVariants) {
        throw new InputError("Only golden folders are checked in all variants.", "all-variants", "shapes");
      }
      return await verifyShapes(shapes, { layers: layers ?? 1, out, quiet }, tally);
    }
    for (const [name, value] of Object.entries({ layers, out })) {
      if (value === undefined) continue;
      throw new InputError(
        `Setting "${name}" belongs to shapes, which say what to write; add some.`,
        name,
        "shapes",
      );
    }
    using gpu = await Gpu.open();
    tally.begin(gpu);
    for (const folder of golden ?? await goldenFolders()) {
      const name = folder.replace(/\/+$/, "").split("/").at(-1)!;
      if (allVariants) {
        await verifyAllVariants(gpu, folder, (variant, check) => tally.add(`${name}, ${variant}`, check));
      } else await verifyGolden(gpu, folder, (check) => tally.add(name, check));
    }
    return tally.end(gpu);
  },
});

async function verifyShapes(
  names: readonly string[],
  { layers, out, quiet }: { layers: number; out: string | undefined; quiet: boolean },
  tally: Tally,
): Promise<number> {
  for (const name of names) {
    const most = publishedShapes[name]!.num_hidden_layers as number;
    if (layers > most) {
      throw new InputError(
        `Shape ${name} has ${most} layers, fewer than ${layers}; give fewer.`,
        "layers",
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
    if (!quiet) print(`       ${name} ${describe(run, layers)}`);
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
        `Folder "${path}" already holds "${entry.name}"; remove it or choose another folder.`,
        "out",
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
      const remedy = out ? "choose another folder" : "set TMPDIR to a folder on another disk";
      return new InputError(
        `There is no space left for the checkpoint in "${path}"; free some or ${remedy}.`,
        "out",
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
    throw new InputError(
      `Folder "${path}" already holds "${name}"; remove it or choose another folder.`,
      "out",
    );
  }
}

async function goldenFolders(): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(goldenFixtures));
  return entries.filter(({ isDirectory }) => isDirectory).map(({ name }) => join(goldenFixtures, name))
    .sort();
}

if (import.meta.main) await runCommand(verify);
