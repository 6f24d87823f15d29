/**
 * Where a model comes from: a folder, or a repository of the Hugging Face hub by its id. Of a repository only settings,
 * tokenizer and safetensors are fetched, into the cache that Python's huggingface_hub shares; never pickles.
 */
import { join } from "node:path";
import { InputError } from "../errors.ts";
import {
  accessToken,
  environment,
  HubCache,
  type HubFile,
  isSwitchedOn,
  type Snapshot,
} from "./hub_cache.ts";
import { readWeightMap } from "./checkpoint.ts";

/** Called with how far a download is, in bytes of all files that are missing, and which file is being fetched. */
export type DownloadProgress = (done: number, total: number, file: string) => void;

/** How a model that is no folder is found. */
export interface SourceOptions {
  /** Branch, tag or commit of a Hugging Face id, default "main"; "ORG/NAME@REVISION" says the same. */
  readonly revision?: string | undefined;
  /** Only use what the cache holds; HF_HUB_OFFLINE=1 says the same. */
  readonly offline?: boolean | undefined;
  /** Called when files have to be downloaded. */
  readonly onDownload?: DownloadProgress | undefined;
}

/** A model folder, and the commit it is when it came from the hub. */
export type ResolvedSource = Omit<Snapshot, "commit"> & Partial<Snapshot>;

const singleFile = "model.safetensors";
const indexFile = "model.safetensors.index.json";
/** What is fetched beside the weights. */
const settingFiles =
  /^((config|generation_config|special_tokens_map|tokenizer.*)\.json|chat_template.*\.(json|jinja))$/;

/** ORG/NAME in the characters that the hub allows. */
const idShape = /^(?=.{3,96}$)(?!.*(?:--|\.\.))\w[\w.-]*\/\w[\w.-]*$/;
const revisionShape = /^(?!.*\.\.)\w[\w./-]*$/;

/**
 * The folder that a folder or a Hugging Face id stands for; missing files of an id are downloaded first. A folder of
 * that name wins. Environment: HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_TOKEN_PATH, HF_ENDPOINT, HF_HUB_OFFLINE, as Python
 * reads them.
 *
 * @throws {InputError} saying what to do, when the model is neither, missing, gated, pickled, out of reach or not in the cache while offline, or when the cache cannot be written.
 *
 * @example The folder of a model
 * ```ts
 * import { resolveModel } from "../../mod.ts";
 *
 * const { folder } = await resolveModel("fixtures/gemma2-mini");
 * console.log(folder); // fixtures/gemma2-mini; of a Hugging Face id, its folder in the cache
 * ```
 */
export async function resolveModel(source: string, options: SourceOptions = {}): Promise<ResolvedSource> {
  if (await Deno.stat(source).then(() => true, () => false)) {
    if (options.revision === undefined) return { folder: source };
    throw new InputError(
      `Revision "${options.revision}" is for Hugging Face ids, but "${source}" is a folder; leave it out.`,
    );
  }
  const { id, revision } = parseId(source, options.revision);
  const cache = new HubCache(id);
  if (options.offline || isSwitchedOn("HF_HUB_OFFLINE") || isSwitchedOn("TRANSFORMERS_OFFLINE")) {
    const local = await cache.find(revision);
    if (typeof local !== "string") return local;
    throw new InputError(
      `This is offline mode, and the cache "${cache.root}" ${local}; load it once online, without ` +
        "HF_HUB_OFFLINE, or point HF_HOME to the cache that has it.",
      "offline",
    );
  }
  // The library is only loaded by who needs it.
  const { HubRepository, UnreachableError } = await import("./hub_requests.ts");
  const { endpoint, login } = hubEndpoint();
  const token = await accessToken();
  const repository = new HubRepository(id, revision, endpoint, token, token ? `Bearer ${token}` : login);
  let listed;
  try {
    listed = await repository.list();
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error;
    const local = await cache.find(revision);
    if (typeof local === "string") throw error;
    return local;
  }
  const { commit, files } = listed;
  const fetchMissing = async (wanted: readonly HubFile[], onDownload?: DownloadProgress) => {
    const missing: HubFile[] = [];
    for (const file of wanted) if (!await cache.holds(commit, file)) missing.push(file);
    const total = missing.reduce((sum, { size }) => sum + size, 0);
    let before = 0;
    for (const file of missing) {
      const report = (bytes: number) => onDownload?.(before + bytes, total, file.name);
      await cache.add(
        commit,
        file,
        (path) => repository.download(commit, file, path, report, (work) => cache.writing(work)),
      );
      before += file.size;
      onDownload?.(before, total, file.name);
    }
  };
  const weights = await chooseWeights(id, files, async (index) => {
    await fetchMissing([index]);
    return await readWeightMap(join(cache.snapshot(commit), index.name)) ?? new Map();
  });
  await fetchMissing(
    [...files.filter(({ name }) => settingFiles.test(name)), ...weights],
    options.onDownload,
  );
  await cache.record(revision, commit);
  return { folder: cache.snapshot(commit), commit };
}

/** The address of the hub, without the name and password that it may hold, and those as a header. */
function hubEndpoint(): { endpoint: string; login: string | undefined } {
  const given = environment("HF_ENDPOINT") ?? "https://huggingface.co";
  const url = URL.parse(given);
  if (!url || !/^https?:$/.test(url.protocol) || /@/.test(url.pathname) || url.search || url.hash) {
    const shown = given.replace(/^([\w+.-]+:\/\/)?.*@/s, "$1…@").replace(/[?#].*/s, "…");
    throw new InputError(
      `HF_ENDPOINT "${shown}" is no URL of a hub; set it to one such as https://huggingface.co.`,
    );
  }
  const { username, password, origin, pathname } = url;
  const plain = [username, password].map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part; // a per cent sign that stands for itself
    }
  }).join(":");
  const login = `Basic ${new TextEncoder().encode(plain).toBase64()}`;
  return {
    endpoint: `${origin}${pathname}`.replace(/\/+$/, ""),
    login: username || password ? login : undefined,
  };
}

/** Id and revision of ORG/NAME or ORG/NAME@REVISION. */
function parseId(source: string, given: string | undefined): { id: string; revision: string } {
  const [id, ...rest] = source.split("@") as [string, ...string[]];
  const written = rest.length > 0 ? rest.join("@") : undefined;
  if (!idShape.test(id)) {
    throw new InputError(
      `Model folder "${source}" does not exist, and that is no Hugging Face id like organisation/name either; ` +
        "check the spelling.",
    );
  }
  if (written !== undefined && given !== undefined && written !== given) {
    throw new InputError(`"${source}" and revision "${given}" name two revisions; give one.`);
  }
  const revision = written ?? given ?? "main";
  if (!revisionShape.test(revision)) {
    throw new InputError(
      `Revision "${revision}" of "${id}" is no branch, tag or commit; pass one that the repository has.`,
    );
  }
  return { id, revision };
}

/** The files that hold the weights: one, or those in the index. Throws InputError when there are none to read. */
async function chooseWeights(
  id: string,
  files: readonly HubFile[],
  readIndex: (index: HubFile) => Promise<ReadonlyMap<string, string>>,
): Promise<HubFile[]> {
  const named = (name: string) => files.find((file) => file.name === name);
  const pickle = files.map(({ name }) => name).filter((name) => /\.(bin|pt|pth)$/.test(name)).sort()[0];
  const [single, index] = [named(singleFile), named(indexFile)];
  if (!single && !index) {
    throw new InputError(
      pickle === undefined
        ? `"${id}" holds no ${singleFile} and no ${indexFile}; pass a repository with weights in that format.`
        : `"${id}" holds only pickled weights ("${pickle}"), which can run any code and are never read; ` +
          "pass a repository or revision with safetensors, or convert them.",
      "revision",
    );
  }
  if (!named("config.json")) {
    throw new InputError(`"${id}" holds no config.json; pass a repository in transformers' layout.`);
  }
  if (single) return [single];
  return [...new Set((await readIndex(index!)).values())].map((name) => {
    const shard = named(name);
    if (shard) return shard;
    throw new InputError(
      `"${id}" names shard "${name}" in ${indexFile} but does not hold it; pass another revision.`,
      "revision",
    );
  });
}
