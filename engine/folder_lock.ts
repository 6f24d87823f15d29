/** One process at a time writes into a folder: a locked file in it that says who holds it. */
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { InputError } from "./errors.ts";

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
      const file = await Deno.open(path, { read: true, write: true, create: true });
      try {
        const locked = await file.tryLock(true).catch((error) => {
          throw new InputError(
            `"${folder}" cannot be locked (${
              (error as Error).message
            }); use a folder on another file system.`,
            "out",
          );
        });
        if (!locked) throw new InputError(inUse(folder, await readOwner(path)), "out");
        // Whoever held it may have removed the file between opening and locking; then the lock is on nothing.
        if (await isAt(file, path)) {
          await writeOwner(file);
          return new FolderLock(file, path);
        }
      } catch (error) {
        file.close();
        throw error;
      }
      file.close();
    }
  }

  [Symbol.dispose]() {
    try {
      Deno.removeSync(this.path); // before it is unlocked, so that nobody else's is removed
    } catch {
      // Windows removes no open file, and a folder may be gone altogether; an unlocked file bars nobody.
    }
    this.file.close();
  }
}

function inUse(folder: string, owner: z.infer<typeof ownerSchema> | undefined): string {
  const who = owner ? `process ${owner.pid} on ${owner.host} since ${owner.started}` : "another process";
  return `"${folder}" is in use by ${who}; wait for it to end, or use another folder.`;
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

function hostName(): string {
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
