/**
 * Patches that stay on the GPU, put into a model and taken out by name. Each is checked against the model once; swapping
 * exchanges buffers, so nothing is read back or sent. R rows, I columns.
 */
import { makeOverlay } from "../circuit/overlay.ts";
import { InputError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import { allParameters } from "../model/weights.ts";
import { freeRows, type RowOverlay, type Weight } from "../ops/weight.ts";
import { sumTensors } from "./combine.ts";
import { addDelta, type Patch, type PatchedRows, planPatch, requireFinite } from "./patch.ts";

/** Rows of a loaded patch in one matrix, on the GPU and, for sums with others, on the host. */
interface LoadedRows extends Pick<PatchedRows, "weight" | "rows" | "base" | "delta"> {
  readonly overlay: RowOverlay;
}

/**
 * See file comment. Where several patches are in the model at once their changes are added, as mergePatches adds them; rows
 * where they meet are then written anew from the host. Disposing takes them out and frees them.
 *
 * @example Two patches, in turn and together
 * ```ts
 * import { extractPatch, Gpu, Model, PatchStack } from "../../mod.ts";
 *
 * using gpu = await Gpu.open();
 * using model = await Model.load(gpu, "fixtures/gemma2-mini");
 * using patches = new PatchStack(model);
 * await patches.load("sums", await extractPatch(model));
 * await patches.load("style", await extractPatch(model));
 * patches.use("sums");
 * patches.use("style"); // instead
 * patches.apply("sums"); // both
 * patches.revert("style");
 * console.log(patches.applied); // ["sums"]
 * ```
 */
export class PatchStack implements Disposable {
  readonly #loaded = new Map<string, readonly LoadedRows[]>();
  #applied: readonly string[] = [];
  #version = -1;

  /** For patches of this model, none of which is loaded yet. */
  constructor(
    /** The model they are of. */
    readonly model: Model,
  ) {}

  /** Names of all loaded patches. */
  get loaded(): string[] {
    return [...this.#loaded.keys()];
  }

  /** Names of those in the model, in the order in which they were put there; none after model.revert(). */
  get applied(): readonly string[] {
    return this.#version === this.model.weightsVersion ? this.#applied : [];
  }

  /**
   * Brings a patch to the GPU under a name, without putting it into the model.
   *
   * @throws {InputError} for a name that is taken, and for a patch of other weights.
   */
  async load(name: string, patch: Patch): Promise<void> {
    if (this.#loaded.has(name)) {
      throw new InputError(`A patch named "${name}" is loaded already; unload it first.`);
    }
    const planned = await planPatch(this.model, patch);
    using freed = new DisposableStack();
    const rows = planned.map(({ weight, rows, base, delta, values }) => {
      const overlay = { ...makeOverlay(this.model, weight, rows, values), kept: true };
      freed.defer(() => freeRows(this.model.gpu, overlay));
      return { weight, rows, base, delta, overlay };
    });
    freed.move();
    this.#loaded.set(name, rows);
  }

  /**
   * Puts exactly these patches into the model, instead of all that is over its rows now.
   *
   * @throws {InputError} for a name that is not loaded, or a sum that float32 cannot hold.
   */
  use(...names: readonly string[]): void {
    const byWeight = Map.groupBy(
      [...new Set(names)].flatMap((name) => this.#rowsOf(name)),
      ({ weight }) => weight,
    );
    using made = new DisposableStack();
    const overlays = [...byWeight].map(([weight, own]) => {
      const overlay = this.#together(weight, own);
      if (!overlay.kept) made.defer(() => freeRows(this.model.gpu, overlay));
      return [weight, overlay] as const;
    });
    made.move();
    this.model.revert();
    for (const [weight, overlay] of overlays) weight.overlay = overlay;
    this.model.weightsChanged();
    this.#applied = [...new Set(names)];
    this.#version = this.model.weightsVersion;
  }

  /** Adds a patch to those in the model. Throws InputError like use, and when something else lies over the model's rows. */
  apply(name: string): void {
    this.#requireOwn();
    this.use(...this.applied, name);
  }

  /** Takes a patch out of the model and leaves the others. Throws InputError like apply, and for one that is not in it. */
  revert(name: string): void {
    this.#requireOwn();
    if (!this.applied.includes(name)) throw new InputError(`No patch named "${name}" is in the model.`);
    this.use(...this.applied.filter((other) => other !== name));
  }

  /** Frees a patch, which is taken out of the model first. Throws InputError for one that is not loaded. */
  unload(name: string): void {
    const rows = this.#rowsOf(name);
    if (this.applied.includes(name)) this.revert(name);
    this.#free(rows);
    this.#loaded.delete(name);
  }

  /** Takes all patches out and frees them. */
  [Symbol.dispose](): void {
    if (this.applied.length > 0) this.use();
    for (const rows of this.#loaded.values()) this.#free(rows);
    this.#loaded.clear();
  }

  #rowsOf(name: string): readonly LoadedRows[] {
    const rows = this.#loaded.get(name);
    if (rows) return rows;
    throw new InputError(
      `No patch named "${name}" is loaded; there are ${this.loaded.join(", ") || "none"}.`,
    );
  }

  /** Throws InputError where something else was laid over the model's rows since this last did. */
  #requireOwn() {
    if (this.#version === this.model.weightsVersion) return;
    if (!allParameters(this.model.weights).matrices.some(({ overlay }) => overlay)) return;
    throw new InputError(
      "Something else changed rows of the model; revert it first, or say which patches to use.",
    );
  }

  /** One patch's overlay as it is; the sum of several as a new one, which the model frees. */
  #together(weight: Weight, own: readonly LoadedRows[]): RowOverlay {
    if (own.length === 1) return own[0]!.overlay;
    const { columns, name } = weight;
    const sum = sumTensors(
      own.map(({ rows, delta }) => ({ name, rows: Int32Array.from(rows), delta, columns })),
    );
    const base = new Float32Array(sum.delta.length);
    const place = new Map([...sum.rows].map((row, r) => [row, r]));
    for (const { rows, base: values } of own) {
      rows.forEach((row, r) =>
        base.set(values.subarray(r * columns, (r + 1) * columns), place.get(row)! * columns)
      );
    }
    const values = addDelta(sum, base);
    requireFinite(weight, values);
    return makeOverlay(this.model, weight, Uint32Array.from(sum.rows), values);
  }

  #free(rows: readonly LoadedRows[]) {
    for (const { weight, overlay } of rows) {
      if (weight.overlay === overlay) {
        weight.overlay = undefined;
        this.model.weightsChanged();
      }
      freeRows(this.model.gpu, overlay);
    }
  }
}
