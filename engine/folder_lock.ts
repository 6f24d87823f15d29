/** One process at a time writes into a folder: a locked file in it that says who holds it. */
import { dirname, join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { InputError } from "./errors.ts";
import { writing } from "./files.ts";

/** The file that is locked; it goes when the lock does, unless its process was killed. */
export const lockFile = "run.lock";

const ownerSchema = z.object({ pid: z.number(), host: z.string(), started: z.string() });

/**
 * A lock on a folder, held until disposed. It is the operating system's lock on the file, not the file's being there, that
 * counts: it ends with its process however that ends, so that what a killed one leaves behind bars nobody.
 */
export class FolderLock implements Disposable {
  private constructor(private readonly file: Deno.FsFile, private readonly path: string) {}

  /** Locks `folder`, which must be there. Throws InputError, which names the owner, where it is locked already. */
  static async take(folder: string): Promise<FolderLock> {
    const path = join(folder, lockFile);
    while (true) {
      const file = await writing(path, () => Deno.open(path, { read: true, write: true, create: true }));
      try {
        const locked = await file.tryLock(true).catch((error) => {
          throw new InputError(
            `"${folder}" cannot be locked (${
              (error as Error).message
            }); use a folder on another file system.`,
            "out",
          );
        });
        if (!locked) {
          const who = ownerText(await readOwner(path));
          throw new InputError(
            `"${folder}" is in use by ${who}; wait for it to end, or use another folder.`,
            "out",
          );
        }
        // Whoever held it may have removed the file between opening and locking; then the lock is on nothing.
        if (await isAt(file, path)) {
          const lock = new FolderLock(file, path);
          await writing(path, () => writeOwner(file)).catch((error) => {
            lock.remove();
            throw error;
          });
          return lock;
        }
      } catch (error) {
        file.close();
        throw error;
      }
      file.close();
    }
  }

  /**
   * Makes sure that the folder still is the one that was locked.
   * @throws {InputError} where it was removed, or removed and made anew.
   */
  async require() {
    if (await isAt(this.file, this.path)) return;
    throw new InputError(
      `"${dirname(this.path)}" was removed while it was in use; start the same command again.`,
    );
  }

  private remove() {
    try {
      const [own, there] = [this.file.statSync(), Deno.statSync(this.path)];
      // Before it is unlocked, and not where the folder was made anew, so that nobody else's is removed.
      if (own.ino === there.ino && own.dev === there.dev) Deno.removeSync(this.path);
    } catch {
      // Windows removes no open file, and a folder may be gone altogether; an unlocked file bars nobody.
    }
  }

  [Symbol.dispose]() {
    this.remove();
    this.file.close();
  }
}

/** Who has locked a folder, in words; undefined where nobody has. */
export async function lockOwner(folder: string): Promise<string | undefined> {
  const path = join(folder, lockFile);
  using file = await Deno.open(path).catch(() => undefined);
  if (!file || await file.tryLock(false).catch(() => true)) return undefined;
  return ownerText(await readOwner(path));
}

function ownerText(owner: z.infer<typeof ownerSchema> | undefined): string {
  return owner ? `process ${owner.pid} on ${owner.host} since ${owner.started}` : "another process";
}

async function isAt(file: Deno.FsFile, path: string): Promise<boolean> {
  const [own, there] = await Promise.all([file.stat(), Deno.stat(path).catch(() => undefined)]);
  return there !== undefined && own.ino === there.ino && own.dev === there.dev;
}

async function writeOwner(file: Deno.FsFile) {
  const owner = { pid: Deno.pid, host: hostName(), started: new Date().toISOString() };
  const bytes = new TextEncoder().encode(JSON.stringify(owner) + "\n");
  await file.truncate(0);
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
  await file.sync();
}

/** The name of this machine. */
export function hostName(): string {
  try {
    return Deno.hostname();
  } catch {
    return "a machine without a name"; // no permission, for which nobody should be asked
  }
}

async function readOwner(path: string): Promise<z.infer<typeof ownerSchema> | undefined> {
  try {
    return ownerSchema.parse(JSON.parse(await Deno.readTextFile(path)));
  } catch {
    return undefined; // it is being written, or a system that lets nobody else read a locked file
  }
}
