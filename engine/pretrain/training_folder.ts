/**
 * The folder that training writes: a model folder in Hugging Face layout, beside the record of how it came about
 * (pretrain.json, loss.jsonl) and, until it is finished, the checkpoint to resume from (training/).
 */
import { join } from "node:path";
import { InputError } from "../errors.ts";
import { FolderLock } from "../folder_lock.ts";
import { withSnakeCaseKeys } from "../json_keys.ts";
import { type SettingsFiles, writeSettings } from "../checkpoint/written_fields.ts";
import { requireWritable, writeAtomically, writeJson, writing } from "../files.ts";
import type { ModelConfig } from "../model/architecture.ts";
import { readJsonObject } from "../json_objects.ts";
import { parameterShapes } from "../model/parameter_shapes.ts";
import {
  readTensors,
  SafetensorsFile,
  type TensorToWrite,
  writeSafetensors,
} from "../checkpoint/checkpoint.ts";

/** One line of loss.jsonl. */
export interface LossRow {
  /** Steps done. */
  readonly step: number;
  /** Mean cross-entropy of the step, in nats a token. */
  readonly loss: number;
  /** Norm of the gradient before clipping. */
  readonly gradient_norm: number;
  /** Of the step. */
  readonly learning_rate: number;
}

/** Values of tensors by name. */
export type Values = ReadonlyMap<string, Float32Array>;

const recordFile = "pretrain.json", lossFile = "loss.jsonl", weightsFile = "model.safetensors";
const momentsPrefix = "moments.";
const ownFiles = [
  recordFile,
  lossFile,
  "loss.svg",
  weightsFile,
  "config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "generation_config.json",
  "prompt.json",
  "README.md",
];

/** See file comment. */
export class TrainingFolder implements Disposable {
  private constructor(
    readonly path: string,
    private record: Record<string, unknown>,
    private readonly lock: FolderLock,
  ) {}

  /**
   * Opens or creates `path` for a training with these settings. A folder that holds another model or a training with
   * other settings is refused; `fresh` removes what an earlier training left and starts over. Locked until it is disposed.
   */
  static async open(
    path: string,
    given: object,
    fresh: boolean,
  ): Promise<TrainingFolder> {
    await requireWritable(path);
    using stack = new DisposableStack();
    const lock = stack.use(await FolderLock.take(path));
    const settings = withSnakeCaseKeys(given) as Record<string, unknown>;
    const record = await readJsonObject(join(path, recordFile));
    if (!record && await exists(join(path, weightsFile))) {
      throw new InputError(`"${path}" holds a model that was not trained here; use another folder.`, "out");
    }
    if (record && !fresh) {
      const before = record.settings as Record<string, unknown> ?? {};
      for (const key of new Set([...Object.keys(before), ...Object.keys(settings)])) {
        const [old, now] = [JSON.stringify(before[key]), JSON.stringify(settings[key])];
        if (old === now) continue;
        throw new InputError(
          `"${path}" holds a training with ${key} ${old ?? "unset"} instead of ${now ?? "unset"}; ` +
            `use another folder or start over.`,
          "out",
          "fresh",
        );
      }
      stack.move();
      return new TrainingFolder(path, record, lock);
    }
    if (record) {
      for (const name of [...ownFiles, "training"]) await removeIfThere(join(path, name));
    }
    const folder = new TrainingFolder(path, { settings }, lock);
    await folder.note({});
    stack.move();
    return folder;
  }

  /** Closes the record of losses. */
  [Symbol.dispose]() {
    this.lock[Symbol.dispose]();
  }

  /** Adds fields to the record of the training. */
  async note(fields: Record<string, unknown>) {
    this.record = { ...this.record, ...fields };
    await writeJson(join(this.path, recordFile), this.record);
  }

  /** A field of the record. */
  noted(name: string): unknown {
    return this.record[name];
  }

  /** A model folder with the checkpoint's weights in F32; the model being trained is loaded from it. */
  get checkpointPath(): string {
    return join(this.path, "training");
  }

  /** Steps that the checkpoint has behind it; undefined where there is none yet. */
  async checkpointStep(): Promise<number | undefined> {
    const path = join(this.checkpointPath, weightsFile);
    if (!await exists(path)) return undefined;
    using file = await SafetensorsFile.open(path);
    const step = Number(file.metadata.step);
    if (!Number.isInteger(step)) throw new InputError(`"${path}" names no step; start over.`, "fresh");
    return step;
  }

  /** Writes the state after `step` steps as one file, which replaces the one before whole, and the JSON files beside it. */
  async writeCheckpoint(
    step: number,
    files: SettingsFiles,
    config: ModelConfig,
    weights: Values,
    moments: Values,
    losses: readonly LossRow[],
  ) {
    await writing(this.checkpointPath, () => Deno.mkdir(this.checkpointPath, { recursive: true }));
    await writeAtomically(
      join(this.path, lossFile),
      losses.map((row) => JSON.stringify(row) + "\n").join(""),
    );
    for (const [name, contents] of Object.entries(files)) {
      await writeSettings(join(this.checkpointPath, name), contents);
    }
    const tensors: Record<string, TensorToWrite> = {};
    for (const { name, shape } of parameterShapes(config)) {
      tensors[name] = { dtype: "F32", shape, data: weights.get(name)! };
    }
    for (const [name, data] of moments) {
      tensors[momentsPrefix + name] = { dtype: "F32", shape: [data.length / 2, 2], data };
    }
    await writeSafetensors(join(this.checkpointPath, weightsFile), tensors, { step: String(step) });
  }

  /** The moments and the losses that belong to the checkpoint. */
  async readCheckpoint(step: number): Promise<{ moments: Map<string, Float32Array>; losses: LossRow[] }> {
    const moments = new Map<string, Float32Array>();
    for (const [name, { data }] of await readTensors(join(this.checkpointPath, weightsFile))) {
      if (name.startsWith(momentsPrefix)) moments.set(name.slice(momentsPrefix.length), data as Float32Array);
    }
    return { moments, losses: (await this.losses()).slice(0, step) };
  }

  /** The losses written with the last checkpoint. */
  async losses(): Promise<LossRow[]> {
    const lines = (await Deno.readTextFile(join(this.path, lossFile))).split("\n").filter(Boolean);
    return lines.map((line) => JSON.parse(line) as LossRow);
  }

  /** Writes the weights of the finished model in F16, every other file first. */
  async writeModel(files: SettingsFiles, config: ModelConfig, weights: Values) {
    for (const [name, contents] of Object.entries(files)) {
      await writeSettings(join(this.path, name), contents);
    }
    const tensors: Record<string, TensorToWrite> = {};
    for (const { name, shape } of parameterShapes(config)) {
      const data = new Uint16Array(Float16Array.from(weights.get(name)!).buffer);
      tensors[name] = { dtype: "F16", shape, data };
    }
    await writeSafetensors(join(this.path, weightsFile), tensors, { format: "pt" });
  }

  /** Writes a text file. */
  async writeText(name: string, text: string) {
    await writeAtomically(join(this.path, name), text);
  }

  /** Removes the checkpoint of a finished training, if it is still there. */
  async removeCheckpoint() {
    await removeIfThere(this.checkpointPath);
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isFile }) => isFile, () => false);
}

async function removeIfThere(path: string) {
  await Deno.remove(path, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}
