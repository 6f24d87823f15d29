/** Snapshots of trainings in a run folder, each a safetensors file that is there while its stage lasts. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { readTensors, SafetensorsFile, writeSafetensors } from "../checkpoint/safetensors_file.ts";
import type { TrainingSnapshot, TrainingStore } from "../circuit/training_store.ts";
import { writing } from "../files.ts";

/** Folder of snapshots in a run folder. */
export const trainingFolder = "training";

/** Snapshots may take a twentieth of the time. */
const shareOfTime = 20;
/** A training with more than this is not worth the disk: it starts again. */
const mostBytes = 2 ** 31;

/** See file comment. */
export class TrainingState implements TrainingStore {
  private readonly path: string;
  private readonly folder: string;
  private cost = 0;
  private saved = -Infinity;

  /** Of the training called `name` in the run folder `run`, which `require` makes sure is there still. */
  constructor(run: string, name: string, private readonly require: () => Promise<void> = async () => {}) {
    this.folder = join(run, trainingFolder);
    const hash = createHash("sha256").update(name).digest("hex").slice(0, 16);
    this.path = join(this.folder, `${hash}.safetensors`);
  }

  /** The last snapshot that was kept; undefined where there is none, or none that is whole. */
  async load(): Promise<TrainingSnapshot | undefined> {
    try {
      const { facts, sha256 } = await metadataOf(this.path);
      const stored = [...await readTensors(this.path)].sort(([a], [b]) => Number(a) - Number(b));
      const tensors = stored.map(([, { data }]) => data as Float32Array<ArrayBuffer>);
      if (checkOf(facts!, tensors) !== sha256) return undefined;
      return { facts: JSON.parse(facts!), tensors };
    } catch {
      return undefined; // missing or damaged: the training starts again and comes to the same
    }
  }

  /** Keeps a snapshot where that takes no more than its share of the time. */
  async offer(bytes: number, take: () => Promise<TrainingSnapshot>) {
    const start = performance.now();
    if (bytes > mostBytes || start - this.saved < shareOfTime * this.cost) return;
    await this.require();
    const { facts, tensors } = await take();
    const text = JSON.stringify(facts);
    await writing(this.path, () => this.makeFolder());
    await writeSafetensors(
      this.path,
      Object.fromEntries(
        tensors.map((data, i) => [i, { dtype: "F32" as const, shape: [data.length], data }]),
      ),
      { facts: text, sha256: checkOf(text, tensors) },
    );
    this.saved = performance.now();
    this.cost = this.saved - start;
  }

  /** Not with the run's folder above it, which must be there: it may have been removed meanwhile. */
  private async makeFolder() {
    await Deno.mkdir(this.folder).catch((error) => {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    });
  }
}

/** Removes all snapshots of a run. */
export async function removeTrainingStates(run: string) {
  await Deno.remove(join(run, trainingFolder), { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}

async function metadataOf(path: string): Promise<Readonly<Record<string, string>>> {
  using file = await SafetensorsFile.open(path);
  return file.metadata;
}

function checkOf(facts: string, tensors: readonly Float32Array<ArrayBuffer>[]): string {
  const hash = createHash("sha256").update(facts);
  for (const { buffer, byteOffset, byteLength } of tensors) {
    hash.update(`${byteLength}\n`).update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.digest("hex");
}
