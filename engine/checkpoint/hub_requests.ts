/** Requests to the Hugging Face hub: what a repository holds, a file's contents, and what refusals mean. */
import { createHash } from "node:crypto";
import { downloadFile, listFiles, modelInfo } from "npm:@huggingface/hub@2.17.5";
import { z } from "npm:zod@4.6.7";
import { InputError } from "../errors.ts";
import type { HubFile } from "./hub_cache.ts";

/** No answer, or none to rely on: what the cache holds may still do. */
export class UnreachableError extends InputError {}

/** How long the hub may take to begin to answer, or to send the next piece, in milliseconds. */
const patience = 60_000;
/** Broken connections in a row, none of which brought anything, before a download is given up. */
const attempts = 5;

const listingSchema = z.array(
  z.object({
    type: z.string(),
    path: z.string(),
    size: z.int().nonnegative(),
    oid: z.string().regex(/^[0-9a-f]{40}$/),
    lfs: z.object({ oid: z.string().regex(/^[0-9a-f]{64}$/), size: z.int().nonnegative() }).nullish(),
  }),
);
const infoSchema = z.object({ sha: z.string().regex(/^[0-9a-f]{40}$/) });

/** One repository of the hub, at one revision. */
export class HubRepository {
  /** What every call of the library takes. */
  readonly #common;

  constructor(
    readonly id: string,
    readonly revision: string,
    readonly endpoint: string,
    private readonly token: string | undefined,
    /** What the hub itself, and nobody else, is told of who asks. */
    private readonly authorization: string | undefined,
  ) {
    const request = (input: URL | RequestInfo, init?: RequestInit) => this.#fetch(input, init);
    this.#common = { repo: id, hubUrl: endpoint, fetch: request as typeof fetch };
  }

  /**
   * The commit that the revision stands for, and the files in its top folder. Throws InputError when the repository,
   * the revision or access to it is missing, UnreachableError when the hub is.
   */
  async list(): Promise<{ commit: string; files: HubFile[] }> {
    try {
      const { sha: commit } = infoSchema.parse(
        await modelInfo({
          ...this.#common,
          name: this.id,
          revision: this.revision,
          additionalFields: ["sha"],
        }),
      );
      const entries = listingSchema.parse(
        await Array.fromAsync(listFiles({ ...this.#common, revision: commit })),
      );
      const files = entries.filter(({ type, path }) => type === "file" && /^[\w.-]+$/.test(path))
        .map(({ path, size, oid, lfs }) => ({ name: path, size: lfs?.size ?? size, hash: lfs?.oid ?? oid }));
      return { commit, files };
    } catch (error) {
      if (error instanceof InputError) throw error;
      throw new UnreachableError(
        `"${this.endpoint}" does not answer like the Hugging Face hub (${reason(error)}); ` +
          "check HF_ENDPOINT and the connection.",
      );
    }
  }

  /**
   * Downloads a file of a commit into `path`, after what an earlier download left there. Calls `report` with the
   * number of bytes that are there. A broken connection is taken up again where it broke. Throws InputError when that
   * does not help or the contents are damaged; `writing` runs what writes to the disk and turns its errors into such.
   */
  async download(
    commit: string,
    { name, size, hash }: HubFile,
    path: string,
    report: (bytes: number) => void,
    writing: <T>(work: () => Promise<T>) => Promise<T>,
  ): Promise<void> {
    using output = await writing(() => Deno.open(path, { write: true, create: true, append: true }));
    const contents = createHash(hash.length === 40 ? "sha1" : "sha256");
    // Git hashes a file together with its size.
    if (hash.length === 40) contents.update(`blob ${size}\0`);
    let at = 0;
    const { size: left } = await output.stat();
    if (left > size) await writing(() => output.truncate()); // left by something else
    else if (left > 0) {
      for await (const piece of (await Deno.open(path)).readable) {
        contents.update(piece);
        at += piece.length;
      }
    }
    for (let failures = 0, why: unknown; at < size;) {
      report(at);
      if (failures === attempts) {
        throw new UnreachableError(
          `The download of "${name}" from ${this.endpoint} broke off after ${at} of ${size} bytes (${
            reason(why)
          }); the same command goes on from there.`,
        );
      }
      if (failures > 0) await new Promise((done) => setTimeout(done, 125 * 2 ** failures));
      failures++;
      why = "the connection was closed";
      try {
        // Plain HTTP, which can go on in the middle of a file.
        const file = await downloadFile({ ...this.#common, path: name, revision: commit, xet: false });
        if (file === null) throw new InputError(`"${name}" is gone from "${this.id}"; try again.`);
        for await (const piece of pieces(file.slice(at).stream())) {
          await writing(() => writeAll(output, piece));
          contents.update(piece);
          at += piece.length;
          failures = 1;
          report(at);
        }
      } catch (error) {
        if (error instanceof InputError && !(error instanceof UnreachableError)) throw error;
        why = error;
      }
    }
    await writing(() => output.sync());
    if (at === size && contents.digest("hex") === hash) return;
    await Deno.remove(path).catch(() => {});
    throw new InputError(
      `"${name}" from ${this.endpoint} arrived damaged and was removed; give the same command again.`,
    );
  }

  /** fetch with the token, which only the hub itself gets, and with refusals turned into errors of ours. */
  async #fetch(input: URL | RequestInfo, init?: RequestInit): Promise<Response> {
    const url = new URL(input instanceof Request ? input.url : input);
    const headers = new Headers(init?.headers);
    if (this.authorization && url.origin === new URL(this.endpoint).origin) {
      headers.set("Authorization", this.authorization);
    }
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(`no answer within ${patience / 1000} s`), patience);
    let response: Response;
    try {
      response = await fetch(url, { ...init, headers, signal: controller.signal });
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) {
        const host = error.message.match(/"(.+?)"/)?.[1] ?? url.host;
        throw new InputError(
          `Deno has no permission to reach "${host}"; allow it when asked, or start the command without the task: ` +
            `deno run --allow-read --allow-write --allow-env --allow-net cli/COMMAND.ts.`,
        );
      }
      throw new UnreachableError(
        `"${this.endpoint}" cannot be reached (${reason(error)}); check the connection and HF_ENDPOINT, ` +
          "or pass a model folder.",
      );
    } finally {
      clearTimeout(timer);
    }
    // Of a request for one byte the library reads the headers alone.
    if (!response.ok || headers.get("Range") === "bytes=0-0") await response.body?.cancel();
    if (response.ok || response.headers.get("X-Error-Code") === "EntryNotFound") return response;
    throw this.#refusal(response);
  }

  /** What an answer other than success means (the hub says so in X-Error-Code), and what to do about it. */
  #refusal({ status, headers }: Response): InputError {
    const { id, revision, endpoint, token } = this;
    const page = `${endpoint}/${id}`;
    const code = headers.get("X-Error-Code");
    const message = headers.get("X-Error-Message") ?? "";
    if (code === "GatedRepo") {
      return new InputError(
        token
          ? `"${id}" is gated and your token gives no access to it; ask for access at ${page}, ` +
            "with the account of the token and a token that may read gated repositories."
          : `"${id}" is gated; accept its terms at ${page}, then set HF_TOKEN to a token from ${endpoint}/settings/tokens.`,
      );
    }
    if (status === 401 && token && /invalid (credentials|.*token)/i.test(message)) {
      return new InputError(
        `The hub refuses your access token (${message.replace(/\.$/, "")}); make a new one at ` +
          `${endpoint}/settings/tokens and set HF_TOKEN to it, or unset it for a public model.`,
      );
    }
    if (code === "RevisionNotFound") {
      return new InputError(
        `"${id}" has no revision "${revision}"; pass a branch, tag or full commit hash from ${page}/commits/main.`,
      );
    }
    if (status === 401 || status === 404) {
      return new InputError(
        `There is neither a folder nor a Hugging Face repository "${id}" that ${
          token ? "your token" : "anyone"
        } may read; check the spelling${token ? "" : ", or set HF_TOKEN if it is private"}.`,
      );
    }
    if (status === 403) {
      return new InputError(
        `"${endpoint}" forbids access to "${id}"${message && ` (${message.replace(/\.$/, "")})`}; ` +
          "check what your access token may read.",
      );
    }
    return new UnreachableError(
      `"${endpoint}" answers with status ${status}${message && ` (${message.replace(/\.$/, "")})`}; ` +
        "try again later, or pass a model folder.",
    );
  }
}

/** The pieces of a stream, which ends early when nothing comes for too long. */
async function* pieces(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  try {
    while (true) {
      const timer = setTimeout(() => reader.cancel().catch(() => {}), patience);
      const { done, value } = await reader.read().finally(() => clearTimeout(timer));
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array) {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}

/** What an error says, in words that fit inside a sentence: of a chain of causes the last. */
function reason(error: unknown): string {
  if (error instanceof z.ZodError) return `"${error.issues[0]!.path.join(".")}" is missing or malformed`;
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const text = inner instanceof Error ? inner.message : String(inner);
  return text.replace(/^.*client error \(\w+\): /s, "").replace(/\s+/g, " ").replace(/[.:\s]+$/, "");
}
