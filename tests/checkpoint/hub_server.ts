/**
 * A Hugging Face hub on the loopback interface: model info, file lists, and files, small ones from the hub itself and
 * large ones from a second server (another origin), as the real one does. Also the environment that points there.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { embeddedModel, golden, temporaryFolder } from "../model/model_fixture.ts";

/** Files by name. */
export type Files = Readonly<Record<string, Uint8Array<ArrayBuffer>>>;

/** A repository of the hub. */
export interface ServedRepository {
  /** Commits by branch, tag and their own hash. */
  readonly revisions: Record<string, string>;
  readonly files: Record<string, Files>;
  /** Files can be fetched with this token only, though everyone sees what there is. */
  readonly gatedFor?: string;
}

/** What was asked of one of the servers. */
export interface SeenRequest {
  readonly server: "hub" | "cdn";
  readonly path: string;
  readonly authorization: string | null;
  readonly range: string | null;
}

/** Commit hashes for tests. */
export const commits = { first: "1".repeat(40), second: "2".repeat(40) } as const;

const text = new TextEncoder();

/** Bytes of some text. */
export const bytesOf = (content: string): Uint8Array<ArrayBuffer> => text.encode(content);

/** The llama-tiny golden model with a tokenizer, among files that are of no use here. */
export async function llamaFiles(): Promise<Files> {
  const { dir } = await golden("llama-tiny");
  return {
    "config.json": await Deno.readFile(join(dir, "config.json")),
    "generation_config.json": bytesOf('{"eos_token_id": [1, 2]}'),
    "tokenizer.json": await Deno.readFile(join(embeddedModel, "tokenizer.json")),
    "tokenizer_config.json": await Deno.readFile(join(embeddedModel, "tokenizer_config.json")),
    "chat_template.jinja": bytesOf("{{ messages }}"),
    "special_tokens_map.json": bytesOf("{}"),
    "model.safetensors": await Deno.readFile(join(dir, "model.safetensors")),
    "consolidated.safetensors": bytesOf("the same weights again"),
    "pytorch_model.bin": bytesOf("a pickle"),
    "training_args.bin": bytesOf("another pickle"),
    "README.md": bytesOf("# A model"),
    ".gitattributes": bytesOf("*.safetensors filter=lfs"),
  };
}

/** Names of the files of llamaFiles that a model needs. */
export const neededFiles = [
  "chat_template.jinja",
  "config.json",
  "generation_config.json",
  "model.safetensors",
  "special_tokens_map.json",
  "tokenizer.json",
  "tokenizer_config.json",
];

/** A repository with one commit, on "main". */
export function repositoryOf(files: Files): ServedRepository {
  return {
    revisions: { main: commits.first, [commits.first]: commits.first },
    files: { [commits.first]: files },
  };
}

/** What the hub, and git or git-lfs, call these contents. */
export function hashOf(name: string, content: Uint8Array): string {
  return isLarge(name)
    ? createHash("sha256").update(content).digest("hex")
    : createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
}

const isLarge = (name: string) => /\.(safetensors|bin)$|^tokenizer\.json$/.test(name);

/** See file comment. */
export interface HubServer extends AsyncDisposable {
  readonly endpoint: string;
  readonly repositories: Record<string, ServedRepository>;
  readonly seen: SeenRequest[];
  /** Breaks the connection of the next transfers of the large file of this name after so many bytes each. */
  cut(name: string, ...bytes: number[]): void;
  stop(): Promise<void>;
}

/** Starts both servers. */
export function serveHub(repositories: Record<string, ServedRepository>): HubServer {
  const seen: SeenRequest[] = [];
  const cuts = new Map<string, number[]>();
  const note = (server: "hub" | "cdn", request: Request) => {
    const { pathname: path } = new URL(request.url);
    const { headers } = request;
    seen.push({ server, path, authorization: headers.get("Authorization"), range: headers.get("Range") });
    return path;
  };
  const options = { port: 0, hostname: "127.0.0.1", onListen() {} };
  const cdn = Deno.serve(options, (request) => {
    const [, id, commit, name] = note("cdn", request).match(/^\/(.+)\/([0-9a-f]{40})\/(.+)$/)!;
    const content = repositories[id!]!.files[commit!]![name!]!;
    // A glance at the first byte is never cut.
    const cut = request.headers.get("Range") === "bytes=0-0" ? undefined : cuts.get(name!)?.shift();
    const response = transfer(content, request, `"${hashOf(name!, content)}"`, cut);
    // The library goes straight to such a server the second time.
    response.headers.set("X-Cache", "Miss from cloudfront");
    return response;
  });
  const hub = Deno.serve(options, (request) => {
    const path = note("hub", request);
    const [, api, id, kind, revision, name] = path.match(
      /^\/(api\/models\/)?([^/]+\/[^/]+)\/(revision|tree|resolve)\/([^/]+)(?:\/(.+))?$/,
    )!;
    const repository = repositories[id!];
    const commit = repository?.revisions[decodeURIComponent(revision!)];
    if (!repository) {
      // The real hub tells who is not logged in no more than this.
      const known = request.headers.has("Authorization");
      return refuse(known ? 404 : 401, known ? "RepoNotFound" : null, "Repository not found");
    }
    if (!commit) return refuse(404, "RevisionNotFound", `Invalid rev id: ${revision}`);
    const files = repository.files[commit]!;
    if (api && kind === "revision") {
      return Response.json({ _id: "0", id, sha: commit, lastModified: "2026-01-01T00:00:00.000Z" });
    }
    if (api) return list(files, new URL(request.url));
    const content = files[name!];
    if (!content) return refuse(404, "EntryNotFound", "Entry not found");
    if (repository.gatedFor && request.headers.get("Authorization") !== `Bearer ${repository.gatedFor}`) {
      const status = request.headers.has("Authorization") ? 403 : 401;
      return refuse(status, "GatedRepo", `Access to model ${id} is restricted.`);
    }
    if (!isLarge(name!)) {
      const response = transfer(content, request, `"${hashOf(name!, content)}"`);
      response.headers.set("X-Repo-Commit", commit);
      return response;
    }
    const headers = {
      "X-Repo-Commit": commit,
      "X-Linked-Size": String(content.length),
      "X-Linked-ETag": `"${hashOf(name!, content)}"`,
      Location: `http://127.0.0.1:${cdn.addr.port}/${id}/${commit}/${name}`,
    };
    // Weights are stored by Xet, which a client may ask about.
    if (name!.endsWith(".safetensors") && request.headers.get("Accept")?.includes("xet-fileinfo")) {
      return new Response("{}", {
        headers: {
          ...headers,
          "Content-Type": "application/vnd.xet-fileinfo+json",
          "X-Xet-Hash": "0".repeat(64),
          Link:
            '<http://127.0.0.1:9/token>; rel="xet-auth", <http://127.0.0.1:9/x>; rel="xet-reconstruction-info"',
        },
      });
    }
    return new Response(null, { status: 302, headers });
  });
  const stop = async () => {
    await Promise.all([hub.shutdown(), cdn.shutdown()]);
  };
  return {
    endpoint: `http://127.0.0.1:${hub.addr.port}`,
    repositories,
    seen,
    cut: (name, ...bytes) => void cuts.set(name, bytes),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function refuse(status: number, code: string | null, message: string): Response {
  const headers = { "X-Error-Message": message, ...(code && { "X-Error-Code": code }) };
  return Response.json({ error: message }, { status, headers });
}

/** The top folder, in pages of five entries. */
function list(files: Files, url: URL): Response {
  const all = [
    { type: "directory", oid: "3".repeat(40), size: 0, path: "onnx" },
    ...Object.entries(files).map(([path, content]) => ({
      type: "file",
      oid: isLarge(path) ? "4".repeat(40) : hashOf(path, content),
      size: content.length,
      path,
      ...(isLarge(path) && { lfs: { oid: hashOf(path, content), size: content.length, pointerSize: 130 } }),
    })),
  ];
  const from = Number(url.searchParams.get("cursor") ?? 0);
  const next = new URL(url);
  next.searchParams.set("cursor", String(from + 5));
  const link = from + 5 < all.length ? { Link: `<${next}>; rel="next"` } : {};
  return Response.json(all.slice(from, from + 5), { headers: link });
}

/** A file or the range that is asked for, broken off after `cut` bytes. */
function transfer(content: Uint8Array<ArrayBuffer>, request: Request, etag: string, cut?: number): Response {
  const range = request.headers.get("Range")?.match(/^bytes=(\d+)-(\d*)$/);
  const from = Number(range?.[1] ?? 0);
  const to = range?.[2] ? Number(range[2]) + 1 : content.length;
  const part = content.slice(from, to);
  const headers = {
    ETag: etag,
    "Content-Length": String(part.length),
    ...(range && { "Content-Range": `bytes ${from}-${to - 1}/${content.length}` }),
  };
  const broken = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(part.subarray(0, cut)),
    pull: (controller) => controller.close(),
  }, { highWaterMark: 0 });
  return new Response(cut === undefined ? part : broken, { status: range ? 206 : 200, headers });
}

/** A cache folder and the variables that a program needs to use it with a hub. */
export async function hubEnvironment(hub: HubServer) {
  const folder = await temporaryFolder();
  return {
    home: folder.path,
    cache: join(folder.path, "hub"),
    variables: { HF_ENDPOINT: hub.endpoint, HF_HOME: folder.path } as Record<string, string>,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

const allVariables = [
  "HF_ENDPOINT",
  "HF_HOME",
  "HF_HUB_CACHE",
  "HUGGINGFACE_HUB_CACHE",
  "XDG_CACHE_HOME",
  "HF_TOKEN",
  "HUGGING_FACE_HUB_TOKEN",
  "HF_TOKEN_PATH",
  "HF_HUB_DISABLE_IMPLICIT_TOKEN",
  "HF_HUB_OFFLINE",
  "TRANSFORMERS_OFFLINE",
] as const;

/** Sets this process's variables to these and none other of the hub's, until disposed of. */
export function setVariables(variables: Readonly<Record<string, string>>): Disposable {
  const names = new Set([...allVariables, ...Object.keys(variables)]);
  const before = [...names].map((name) => [name, Deno.env.get(name)] as const);
  for (const name of names) Deno.env.delete(name);
  for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
  return {
    [Symbol.dispose]: () => {
      for (const [name, value] of before) {
        value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
      }
    },
  };
}
