/** The completions of a stage as they come, a line each, so that what was generated once need not be generated again. */
import { createHash } from "node:crypto";
import { z } from "npm:zod@4.6.7";
import { writing, writingProblem } from "../files.ts";
import type { CompletionJournal } from "../model/generate.ts";

/** Completions by key. */
export type Completions = ReadonlyMap<string, readonly number[]>;

const lineSchema = z.object({
  item: z.string(),
  ids: z.array(z.int().nonnegative()),
  /** Of the two above. */
  check: z.string(),
});

/**
 * A file to which each completion is appended the moment it ends. A line that is cut off or damaged ends what is read of it:
 * the completions from there on are made again, which gives the same ones.
 */
export class Journal implements CompletionJournal, Disposable {
  private constructor(
    private readonly path: string,
    private readonly file: Deno.FsFile,
    private readonly items: Map<string, readonly number[]>,
  ) {}

  /** Opens or begins the journal at `path`, for one process at a time; `known` is what is known besides. */
  static async open(path: string, known: Completions = new Map()): Promise<Journal> {
    const { items, bytes } = await readJournal(path);
    return await writing(path, async () => {
      const file = await Deno.open(path, { write: true, create: true });
      await file.truncate(bytes);
      await file.seek(0, Deno.SeekMode.End);
      return new Journal(path, file, new Map([...known, ...items]));
    });
  }

  /** The ids of a completion that was made before. */
  get(key: string): readonly number[] | undefined {
    return this.items.get(key);
  }

  /**
   * Appends a completion. Everything is written when this returns, so that no end of the process loses it.
   * @throws {InputError} for what the file system refuses.
   */
  put(key: string, ids: readonly number[]) {
    this.items.set(key, ids);
    const bytes = new TextEncoder().encode(journalLine(key, ids));
    try {
      for (let at = 0; at < bytes.length;) at += this.file.writeSync(bytes.subarray(at));
    } catch (error) {
      throw writingProblem(this.path, error);
    }
  }

  /** All completions. */
  get completions(): Completions {
    return this.items;
  }

  /** Closes the file and leaves it. */
  [Symbol.dispose]() {
    if (!this.closed) this.file.close();
    this.closed = true;
  }

  /** Closes and removes the file, once what it led to is written. */
  async remove() {
    this[Symbol.dispose]();
    await Deno.remove(this.path).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }

  private closed = false;
}

/** The part of a journal whose keys begin with `place` and a slash. */
export function within(journal: CompletionJournal, place: string): CompletionJournal {
  return {
    get: (key) => journal.get(`${place}/${key}`),
    put: (key, ids) => journal.put(`${place}/${key}`, ids),
  };
}

/** A completion as a line of a journal. */
export function journalLine(item: string, ids: readonly number[]): string {
  return JSON.stringify({ item, ids, check: checkOf(item, ids) }) + "\n";
}

/**
 * The whole lines of a journal from byte `start` up to the first that cannot be read, and where they end; none where there is no file.
 */
export async function readJournal(
  path: string,
  start = 0,
): Promise<{ items: Map<string, readonly number[]>; bytes: number }> {
  const items = new Map<string, readonly number[]>();
  let content: Uint8Array;
  try {
    content = await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { items, bytes: start };
    throw error;
  }
  const decoder = new TextDecoder();
  let bytes = start;
  for (let end = content.indexOf(10, bytes); end >= 0; end = content.indexOf(10, bytes)) {
    const line = readLine(decoder.decode(content.subarray(bytes, end)));
    if (!line) break;
    items.set(line.item, line.ids);
    bytes = end + 1;
  }
  return { items, bytes };
}

/** The first 64 bits of the SHA-256 of a completion and its key. */
function checkOf(item: string, ids: readonly number[]): string {
  return createHash("sha256").update(JSON.stringify([item, ids])).digest("hex").slice(0, 16);
}

function readLine(text: string): z.infer<typeof lineSchema> | undefined {
  try {
    const line = lineSchema.safeParse(JSON.parse(text)).data;
    return line && line.check === checkOf(line.item, line.ids) ? line : undefined;
  } catch {
    return undefined;
  }
}
