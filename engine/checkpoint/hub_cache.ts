/**
 * The cache that Python's huggingface_hub keeps as well, in the same folders, so that each finds what the other
 * downloaded: models--ORG--NAME/blobs holds contents by hash, refs the commit that a branch or tag stood for, and
 * snapshots a folder of links to blobs for each commit
 * (https://huggingface.co/docs/huggingface_hub/guides/manage-cache).
 */
import { dirname, join, relative } from "node:path";
import { InputError } from "../errors.ts";
import { readWeightMap } from "./checkpoint.ts";

/** A file of a repository. */
export interface HubFile {
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** What its blob is called: SHA-256 of a large file, git's SHA-1 of a small one. */
  readonly hash: string;
}

/** A model in the cache. */
export interface Snapshot {
  /** The folder in Hugging Face layout. */
  readonly folder: string;
  /** The commit, 40 hexadecimal digits. */
  readonly commit: string;
}

const indexFile = "model.safetensors.index.json";

/** A full commit hash, which needs no asking what it stands for. */
const commitShape = /^[0-9a-f]{40}$/;

/** The value of an environment variable; empty counts as unset. */
export function environment(name: string): string | undefined {
  return Deno.env.get(name) || undefined;
}

/** Whether an environment variable is switched on, by Python's rule. */
export function isSwitchedOn(name: string): boolean {
  return /^(1|on|yes|true)$/i.test(environment(name) ?? "");
}

/** The access token as Python finds it: HF_TOKEN, or the file that its login wrote. Throws InputError. */
export async function accessToken(): Promise<string | undefined> {
  if (isSwitchedOn("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return undefined;
  const path = expand(environment("HF_TOKEN_PATH") ?? join(hubHome(), "token"));
  const given = (environment("HF_TOKEN") ?? environment("HUGGING_FACE_HUB_TOKEN"))?.trim();
  const token = given || (await Deno.readTextFile(path).catch(() => "")).trim();
  if (/[^\x21-\x7e]/.test(token)) {
    throw new InputError(
      `The access token in ${
        given ? "HF_TOKEN" : `"${path}"`
      } holds a character that no token has; copy it again.`,
    );
  }
  return token || undefined;
}

/** The part of the cache that belongs to one model repository. */
export class HubCache {
  /** The whole cache. */
  readonly root = expand(
    environment("HF_HUB_CACHE") ?? environment("HUGGINGFACE_HUB_CACHE") ?? join(hubHome(), "hub"),
  );
  readonly #name: string;

  constructor(readonly id: string) {
    this.#name = `models--${id.replaceAll("/", "--")}`;
  }

  /** Where the files of a commit are. */
  snapshot(commit: string): string {
    return join(this.root, this.#name, "snapshots", commit);
  }

  /** The model as it was last seen at a branch, tag or commit, or what the cache lacks of it, as half a sentence. */
  async find(revision: string): Promise<Snapshot | string> {
    const commit = commitShape.test(revision)
      ? revision
      : (await Deno.readTextFile(this.#ref(revision)).catch(() => "")).trim();
    const folder = this.snapshot(commit);
    const missing = commitShape.test(commit) ? await missingFile(folder) : "config.json";
    if (missing === undefined) return { folder, commit };
    return missing === "config.json"
      ? `does not hold "${this.id}" at revision "${revision}"`
      : `holds "${this.id}" without "${missing}"`;
  }

  /** Whether a commit's file is there, whole. */
  async holds(commit: string, { name, size }: HubFile): Promise<boolean> {
    return await sizeOf(join(this.snapshot(commit), name)) === size;
  }

  /**
   * Adds a file to a commit's folder, after `fetchTo` has brought it under the name of an unfinished blob if the
   * blob is not there yet. Processes that want the same blob wait for one another, Python's too. Throws InputError
   * when the cache cannot be written.
   */
  async add(commit: string, file: HubFile, fetchTo: (unfinished: string) => Promise<void>): Promise<void> {
    const blob = join(this.root, this.#name, "blobs", file.hash);
    const link = join(this.snapshot(commit), file.name);
    const lockPath = join(this.root, ".locks", this.#name, `${file.hash}.lock`);
    using lock = await this.writing(async () => {
      for (const path of [blob, link, lockPath]) await Deno.mkdir(dirname(path), { recursive: true });
      return await Deno.open(lockPath, { write: true, create: true });
    });
    // Some network file systems know no locks; contents are checked by their hash in any case.
    await lock.lock(true).catch(() => {});
    if (await sizeOf(blob) !== file.size) {
      await fetchTo(`${blob}.incomplete`);
      await this.writing(() => Deno.rename(`${blob}.incomplete`, blob));
    }
    await this.writing(async () => {
      await Deno.remove(link).catch(() => {});
      // Windows lets only some users make symbolic links; Python reads a hard link just as well.
      await Deno.symlink(relative(dirname(link), blob), link).catch(() => Deno.link(blob, link));
    });
  }

  /** Records what commit a branch or tag stands for, once that commit's files are all there. */
  async record(revision: string, commit: string): Promise<void> {
    const path = this.#ref(revision);
    if (revision === commit || await Deno.readTextFile(path).catch(() => "") === commit) return;
    await this.writing(async () => {
      await Deno.mkdir(dirname(path), { recursive: true });
      const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;
      await Deno.writeTextFile(temporary, commit);
      await Deno.rename(temporary, path);
    });
  }

  /** Runs what writes into the cache; its failures become InputErrors that name the remedy. */
  async writing<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const reason = (error as Error).message.replace(/[.:\s]+$/, "");
      // No space left, quota exceeded; Windows' disk full.
      throw new InputError(
        /os error (28|122|112)\b/.test(reason)
          ? `The disk of the cache "${this.root}" is full; free some space, or point HF_HOME to another disk, ` +
            "and give the same command again, which goes on where this one stopped."
          : `The cache "${this.root}" cannot be written (${reason}); point HF_HOME to a folder that can be.`,
      );
    }
  }

  #ref(revision: string): string {
    return join(this.root, this.#name, "refs", revision);
  }
}

/** The first file that a model folder lacks of those it cannot be loaded without. */
async function missingFile(folder: string): Promise<string | undefined> {
  const isThere = async (name: string) => await sizeOf(join(folder, name)) !== undefined;
  if (!await isThere("config.json")) return "config.json";
  if (await isThere("model.safetensors")) return undefined;
  const shards = await readWeightMap(join(folder, indexFile));
  if (shards === undefined) return "model.safetensors";
  for (const name of new Set(shards.values())) {
    if (!await isThere(name)) return name;
  }
}

/** Bytes of a file, or of what a link leads to; undefined when it is not there. */
async function sizeOf(path: string): Promise<number | undefined> {
  return await Deno.stat(path).then(({ isFile, size }) => isFile ? size : undefined, () => undefined);
}

/** Where Python keeps cache and token. */
function hubHome(): string {
  return expand(environment("HF_HOME") ?? join(environment("XDG_CACHE_HOME") ?? "~/.cache", "huggingface"));
}

/** A path with ~ and $VARIABLES replaced, as Python does. */
function expand(path: string): string {
  const home = environment("HOME") ?? environment("USERPROFILE") ?? "~";
  return path.replace(/^~(?=$|[/\\])/, home)
    .replace(/\$(?:(\w+)|\{(\w+)\})/g, (all, bare, braced) => readable(bare ?? braced) ?? all);
}

/** A variable that a path names: any, so it may be one that the command was not given. */
function readable(name: string): string | undefined {
  try {
    return Deno.env.get(name);
  } catch {
    throw new InputError(
      `HF_HOME or HF_HUB_CACHE names $${name}, which this command may not read; write the path out.`,
    );
  }
}
