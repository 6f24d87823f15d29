/** Faults of a disk, put between the engine and the file system: from some write on, as long as they last, nothing is written. */

/** What the system says, as Deno passes it on. */
const refusals = {
  "ENOSPC": ["No space left on device (os error 28)", Error],
  "EROFS": ["Read-only file system (os error 30)", Error],
  "EIO": ["Input/output error (os error 5)", Error],
} as const;

/** See refusals. */
export type DiskFault = keyof typeof refusals;

/** The disk fails at the `at`th write, from 1 on, and at every later one, until this is disposed; 0 never. Counts the writes. */
export function failWrites(fault: DiskFault, at: number): Disposable & { readonly writes: number } {
  const { write, writeSync } = Deno.FsFile.prototype;
  const { writeTextFile } = Deno;
  const state = {
    writes: 0,
    [Symbol.dispose]() {
      Object.assign(Deno.FsFile.prototype, { write, writeSync });
      Deno.writeTextFile = writeTextFile;
    },
  };
  const check = () => {
    if (++state.writes < at || at === 0) return;
    const [message, Kind] = refusals[fault];
    throw Object.assign(new Kind(message), { code: fault });
  };
  Deno.FsFile.prototype.write = function (bytes) {
    check();
    return write.call(this, bytes);
  };
  Deno.FsFile.prototype.writeSync = function (bytes) {
    check();
    return writeSync.call(this, bytes);
  };
  Deno.writeTextFile = (...given) => {
    check();
    return writeTextFile(...given);
  };
  return state;
}
