/** Rows of parquet files, read in a thread of its own: see engine/bounded_work.ts. */
import { parquetReadObjects } from "npm:hyparquet@1.31.5";
import { compressors } from "npm:hyparquet-compressors@1.1.2";
import { type BoundedTask, BoundedWork, serveInThread } from "../bounded_work.ts";

type Row = Record<string, unknown>;

const task: BoundedTask<null, Uint8Array<ArrayBuffer>, Row[]> = {
  module: new URL(import.meta.url),
  memory: 4096,
  begin: () => async ({ buffer }) => await parquetReadObjects({ file: buffer, compressors }),
};

/**
 * Milliseconds of the processor for so many bytes: some twenty times what good files take. The library reads in steps, and a file
 * that makes one of them endless keeps its thread busy until the program ends, but nobody waits for it.
 */
const longest = (bytes: number) => 2000 + bytes / 1000;

let work: BoundedWork<null, Uint8Array<ArrayBuffer>, Row[]> | undefined;
/** One file after the other. */
let before: Promise<unknown> = Promise.resolve();

/** The rows of a parquet file, by its bytes. Throws Error for what is none, or takes too long or too much memory. */
export function readParquet(bytes: Uint8Array<ArrayBuffer>): Promise<Row[]> {
  work ??= new BoundedWork(task, null);
  const own = work;
  const rows = before.then(() => own.askLater(bytes, longest(bytes.length)));
  before = rows.catch(() => {});
  return rows;
}

serveInThread(task);
