/**
 * Matrices of a bf16 checkpoint that never lie in memory whole: every product reads its matrix piece by piece, and rows
 * that are multiplied by nothing but zeros are not read. Sums are float64. Legend: T tokens, I inputs, O outputs.
 */
import { Checkpoint, type TensorInfo } from "../checkpoint/checkpoint.ts";
import type { Matrices } from "./matrices.ts";

/** Most elements widened at a time. */
const pieceElements = 2 ** 20;

/** See file comment. Reads are synchronous. */
export class StreamedMatrices implements Matrices, Disposable {
  readonly #files = new Map<string, Deno.FsFile>();
  readonly #tensors: ReadonlyMap<string, TensorInfo>;
  #stored = new Uint16Array(0);
  #words = new Uint32Array(0);

  private constructor(tensors: ReadonlyMap<string, TensorInfo>) {
    this.#tensors = tensors;
    for (const { file } of tensors.values()) {
      if (!this.#files.has(file)) this.#files.set(file, Deno.openSync(file));
    }
  }

  /** Opens the checkpoint in a folder; its tensors must be bf16. */
  static async open(folder: string): Promise<StreamedMatrices> {
    using checkpoint = await Checkpoint.open(folder);
    return new StreamedMatrices(new Map(checkpoint.names().map((name) => [name, checkpoint.tensor(name)!])));
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  vector(name: string): Float64Array {
    return Float64Array.from(this.#read(name, 0, this.#info(name).shape[0]!));
  }

  rows(name: string, numbers: readonly number[], width: number): Float64Array {
    const rows = new Float64Array(numbers.length * width);
    numbers.forEach((row, r) => rows.set(this.#read(name, row * width, width), r * width));
    return rows;
  }

  product(x: Float64Array, name: string, tokens: number, outputs: number, inputs: number): Float64Array {
    const y = new Float64Array(tokens * outputs);
    for (const { first, count } of pieces(outputs, inputs, () => true)) {
      const w = this.#read(name, first * inputs, count * inputs);
      multiplyRows(w, count, inputs, x, tokens, y, first, outputs);
    }
    return y;
  }

  transposedProduct(
    dy: Float64Array,
    name: string,
    tokens: number,
    outputs: number,
    inputs: number,
  ): Float64Array {
    const dx = new Float64Array(tokens * inputs);
    const matters = (row: number) => {
      for (let at = row; at < dy.length; at += outputs) if (dy[at] !== 0) return true;
      return false;
    };
    for (const { first, count } of pieces(outputs, inputs, matters)) {
      const w = this.#read(name, first * inputs, count * inputs);
      addRows(w, count, inputs, dy, tokens, dx, first, outputs);
    }
    return dx;
  }

  [Symbol.dispose](): void {
    for (const file of this.#files.values()) file.close();
  }

  #info(name: string): TensorInfo {
    const info = this.#tensors.get(name);
    if (!info) throw new Error(`The checkpoint has no tensor "${name}".`);
    if (info.dtype !== "BF16") throw new Error(`Tensor "${name}" is ${info.dtype}; only BF16 is streamed.`);
    return info;
  }

  /** Elements [from, from + count) of a tensor, widened; valid until the next call. */
  #read(name: string, from: number, count: number): Float32Array {
    if (this.#words.length < count) {
      this.#stored = new Uint16Array(count);
      this.#words = new Uint32Array(count);
    }
    const { file, byteStart } = this.#info(name);
    const handle = this.#files.get(file)!;
    const bytes = new Uint8Array(this.#stored.buffer, 0, count * 2);
    handle.seekSync(byteStart + from * 2, Deno.SeekMode.Start);
    for (let filled = 0; filled < bytes.length;) {
      const got = handle.readSync(bytes.subarray(filled));
      if (got === null) throw new Error(`${file} ends within tensor "${name}".`);
      filled += got;
    }
    const [stored, words] = [this.#stored, this.#words];
    for (let i = 0; i < count; i++) words[i] = stored[i]! << 16; // bf16 is the upper half of a float32
    return new Float32Array(words.buffer, 0, count);
  }
}

/** Runs of consecutive rows that matter, each of at most `pieceElements` elements. */
function* pieces(rows: number, width: number, matters: (row: number) => boolean) {
  const most = Math.max(1, Math.floor(pieceElements / width));
  for (let first = 0; first < rows; first++) {
    if (!matters(first)) continue;
    let count = 1;
    while (count < most && first + count < rows && matters(first + count)) count++;
    yield { first, count };
    first += count - 1;
  }
}

/**
 * y[t, first + r] = Σ_i x[t, i] · w[r, i] for r < count. Four tokens and two rows at a time: each value loaded serves
 * several sums. Past the end the last token or row is taken again.
 */
function multiplyRows(
  w: Float32Array,
  count: number,
  width: number,
  x: Float64Array,
  tokens: number,
  y: Float64Array,
  first: number,
  outputs: number,
): void {
  for (let r = 0; r < count; r += 2) {
    const next = Math.min(r + 1, count - 1);
    const v0 = r * width;
    const v1 = next * width;
    for (let t = 0; t < tokens; t += 4) {
      const t1 = Math.min(t + 1, tokens - 1);
      const t2 = Math.min(t + 2, tokens - 1);
      const t3 = Math.min(t + 3, tokens - 1);
      const x0 = t * width;
      const x1 = t1 * width;
      const x2 = t2 * width;
      const x3 = t3 * width;
      let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
      for (let i = 0; i < width; i++) {
        const p = w[v0 + i]!;
        const q = w[v1 + i]!;
        const c = x[x0 + i]!;
        const d = x[x1 + i]!;
        const e = x[x2 + i]!;
        const f = x[x3 + i]!;
        a0 += p * c;
        a1 += p * d;
        a2 += p * e;
        a3 += p * f;
        b0 += q * c;
        b1 += q * d;
        b2 += q * e;
        b3 += q * f;
      }
      const at = first + r;
      y[t * outputs + at] = a0;
      y[t1 * outputs + at] = a1;
      y[t2 * outputs + at] = a2;
      y[t3 * outputs + at] = a3;
      const bt = first + next;
      y[t * outputs + bt] = b0;
      y[t1 * outputs + bt] = b1;
      y[t2 * outputs + bt] = b2;
      y[t3 * outputs + bt] = b3;
    }
  }
}

/** dx[t, i] += Σ_r dy[t, first + r] · w[r, i] for r < count, four rows at a time; tokens without a gradient cost nothing. */
function addRows(
  w: Float32Array,
  count: number,
  width: number,
  dy: Float64Array,
  tokens: number,
  dx: Float64Array,
  first: number,
  outputs: number,
): void {
  const last = count - 1;
  for (let r = 0; r < count; r += 4) {
    const v0 = r * width;
    const v1 = Math.min(r + 1, last) * width;
    const v2 = Math.min(r + 2, last) * width;
    const v3 = Math.min(r + 3, last) * width;
    for (let t = 0; t < tokens; t++) {
      const at = t * outputs + first + r;
      const d0 = dy[at]!;
      const d1 = r + 1 < count ? dy[at + 1]! : 0;
      const d2 = r + 2 < count ? dy[at + 2]! : 0;
      const d3 = r + 3 < count ? dy[at + 3]! : 0;
      if (d0 === 0 && d1 === 0 && d2 === 0 && d3 === 0) continue;
      const start = t * width;
      for (let i = 0; i < width; i++) {
        dx[start + i]! += d0 * w[v0 + i]! + d1 * w[v1 + i]! + d2 * w[v2 + i]! + d3 * w[v3 + i]!;
      }
    }
  }
}
