/** Models from the Hugging Face hub, through a server on the loopback interface. */
import { join } from "node:path";
import { assert, assertEquals, assertGreater, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import { resolveModel, type SourceOptions } from "../../engine/checkpoint/hub.ts";
import { HubCache } from "../../engine/checkpoint/hub_cache.ts";
import { Model } from "../../engine/model/model.ts";
import { rewriteCheckpoint } from "../../engine/checkpoint/rewrite_checkpoint.ts";
import { Checkpoint } from "../../engine/checkpoint/checkpoint.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import {
  bytesOf,
  commits,
  type Files,
  hashOf,
  hubEnvironment,
  type HubServer,
  llamaFiles,
  neededFiles,
  repositoryOf,
  serveHub,
  setVariables,
} from "./hub_server.ts";
import { golden, temporaryFolder } from "../model/model_fixture.ts";

const id = "someone/tiny-llama";
const weights = "model.safetensors";

/** A test with a hub that serves llamaFiles as `id`, and an empty cache. */
function hubTest(
  name: string,
  body: (
    context: { hub: HubServer; files: Files; home: string; cache: string; repository: string },
  ) => Promise<void>,
) {
  Deno.test(name, async () => {
    const files = await llamaFiles();
    await using hub = serveHub({ [id]: repositoryOf(files) });
    await using place = await hubEnvironment(hub);
    using _ = setVariables(place.variables);
    const { home, cache } = place;
    await body({ hub, files, home, cache, repository: join(cache, "models--someone--tiny-llama") });
  });
}

/** Demands that a source is refused in one sentence that names `parts`. */
async function assertRefused(source: string, options: SourceOptions, ...parts: string[]) {
  const { message } = await assertRejects(() => resolveModel(source, options), InputError);
  for (const part of parts) assertStringIncludes(message, part);
  assert(!message.includes("\n"), `more than one line: ${message}`);
  assert(message.endsWith(".") && !/[.!?] [A-Z]/.test(message), `not one sentence: ${message}`);
}

/** Names in a folder, sorted. */
async function namesIn(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
}

/** Puts files into a cache the way Python's huggingface_hub leaves them. */
async function placeLikePython(repository: string, files: Files, names: readonly string[]) {
  const snapshot = join(repository, "snapshots", commits.first);
  for (const folder of [snapshot, join(repository, "blobs"), join(repository, "refs")]) {
    await Deno.mkdir(folder, { recursive: true });
  }
  for (const name of names) {
    const hash = hashOf(name, files[name]!);
    await Deno.writeFile(join(repository, "blobs", hash), files[name]!);
    await Deno.symlink(join("..", "..", "blobs", hash), join(snapshot, name));
  }
  await Deno.writeTextFile(join(repository, "refs", "main"), commits.first);
}

gpuTest("a model loads by its id, and a second time without the hub", async ({ gpu }) => {
  await using hub = serveHub({ [id]: repositoryOf(await llamaFiles()) });
  await using place = await hubEnvironment(hub);
  using _ = setVariables(place.variables);
  using local = await Model.load(gpu, (await golden("llama-tiny")).dir);
  const expected = (await local.run([3, 1, 4, 1, 5])).logits;
  for (const time of ["first", "second"]) {
    using model = await Model.load(gpu, id);
    assertEquals(model.commit, commits.first);
    assertEquals(
      model.directory,
      join(place.cache, "models--someone--tiny-llama", "snapshots", commits.first),
    );
    assertEquals((await model.run([3, 1, 4, 1, 5])).logits, expected, time);
    assertGreater(model.tokenizer.encode("Kim has 2 cups.").length, 2);
    assertEquals(model.config.eosTokens.includes(2), true);
    await hub.stop();
  }
});

hubTest(
  "only what a model needs is downloaded, into the folders that Python uses",
  async ({ hub, files, repository }) => {
    const { folder, commit } = await resolveModel(id);
    assertEquals([folder, commit], [join(repository, "snapshots", commits.first), commits.first]);
    assertEquals(await namesIn(folder), neededFiles);
    assertEquals(
      await namesIn(join(repository, "blobs")),
      neededFiles.map((name) => hashOf(name, files[name]!)).sort(),
    );
    for (const name of neededFiles) {
      assertEquals(
        await Deno.readLink(join(folder, name)),
        join("..", "..", "blobs", hashOf(name, files[name]!)),
      );
      assertEquals(await Deno.readFile(join(folder, name)), files[name]);
    }
    assertEquals(await Deno.readTextFile(join(repository, "refs", "main")), commits.first);
    assert(!hub.seen.some(({ path }) => /\.bin|consolidated|README/.test(path)));
  },
);

hubTest(
  "what Python left in the cache is used, and only the rest is downloaded",
  async ({ hub, files, repository }) => {
    await placeLikePython(repository, files, neededFiles.filter((name) => name !== "tokenizer_config.json"));
    const told: string[] = [];
    const { folder } = await resolveModel(id, { onDownload: (_done, _total, file) => told.push(file) });
    assertEquals(await namesIn(folder), neededFiles);
    assertEquals([...new Set(told)], ["tokenizer_config.json"]);
    const fetched = hub.seen.map(({ path }) => path).filter((path) => path.includes("/resolve/"));
    assertEquals([...new Set(fetched)], [`/${id}/resolve/${commits.first}/tokenizer_config.json`]);
  },
);

hubTest(
  "a broken connection is taken up where it broke, and progress is told in bytes",
  async ({ hub, files }) => {
    hub.cut(weights, 40_000, 30_000);
    const told: [number, number][] = [];
    const { folder } = await resolveModel(id, { onDownload: (done, total) => told.push([done, total]) });
    assertEquals(await Deno.readFile(join(folder, weights)), files[weights]);
    const ranges = hub.seen.filter(({ server, path }) => server === "cdn" && path.endsWith(weights)).map((
      r,
    ) => r.range);
    const last = files[weights]!.length - 1;
    assertEquals(ranges, [null, `bytes=40000-${last}`, `bytes=70000-${last}`]);
    const total = neededFiles.reduce((sum, name) => sum + files[name]!.length, 0);
    assert(told.every(([, all]) => all === total));
    assert(told.every(([done], i) => i === 0 || done >= told[i - 1]![0]), "progress goes back");
    assertEquals(told.at(-1), [total, total]);
  },
);

hubTest("what an interrupted process left is not downloaded again", async ({ hub, files, repository }) => {
  const blob = join(repository, "blobs", hashOf(weights, files[weights]!));
  await Deno.mkdir(join(repository, "blobs"), { recursive: true });
  await Deno.writeFile(`${blob}.incomplete`, files[weights]!.subarray(0, 100_000));
  const { folder } = await resolveModel(id);
  assertEquals(await Deno.readFile(join(folder, weights)), files[weights]);
  const requests = hub.seen.filter(({ server, path }) => server === "cdn" && path.endsWith(weights));
  assertEquals(requests.map(({ range }) => range), [`bytes=100000-${files[weights]!.length - 1}`]);
  assert(!(await namesIn(join(repository, "blobs"))).some((name) => name.endsWith(".incomplete")));
});

hubTest(
  "a download whose contents are wrong is removed, and the next one begins anew",
  async ({ files, repository }) => {
    const blob = join(repository, "blobs", hashOf(weights, files[weights]!));
    await Deno.mkdir(join(repository, "blobs"), { recursive: true });
    await Deno.writeFile(`${blob}.incomplete`, new Uint8Array(1000).fill(7));
    await assertRefused(id, {}, weights, "damaged");
    const { folder } = await resolveModel(id);
    assertEquals(await Deno.readFile(join(folder, weights)), files[weights]);
  },
);

hubTest("two downloads at once give one whole model", async ({ hub, files, repository }) => {
  const [a, b] = await Promise.all([resolveModel(id), resolveModel(id)]);
  assertEquals(a, b);
  assertEquals(await Deno.readFile(join(a.folder, weights)), files[weights]);
  const transfers = hub.seen.filter(({ server, path }) => server === "cdn" && path.endsWith(weights));
  assertEquals(transfers.length, 1);
  assertEquals((await namesIn(join(repository, "blobs"))).length, neededFiles.length);
});

hubTest(
  "a revision is a branch, a tag or a commit, beside or in the id",
  async ({ hub, files, repository }) => {
    const changed = { ...files, "chat_template.jinja": bytesOf("{{ new }}") };
    hub.repositories[id] = {
      revisions: {
        main: commits.second,
        [commits.second]: commits.second,
        "release/1": commits.first,
        [commits.first]: commits.first,
      },
      files: { [commits.first]: files, [commits.second]: changed },
    };
    const template = async (source: string, revision?: string) => {
      const { folder, commit } = await resolveModel(source, { revision });
      return [commit, await Deno.readTextFile(join(folder, "chat_template.jinja"))];
    };
    const [old, current] = [[commits.first, "{{ messages }}"], [commits.second, "{{ new }}"]];
    assertEquals(await template(id), current);
    assertEquals(await template(id, "release/1"), old);
    assertEquals(await template(`${id}@release/1`), old);
    assertEquals(await template(`${id}@${commits.first}`), old);
    assertEquals(await template(id, commits.second), current);
    // Weights are the same in both and are there once.
    assertEquals((await namesIn(join(repository, "blobs"))).length, neededFiles.length + 1);
    assertEquals(await Deno.readTextFile(join(repository, "refs", "release", "1")), commits.first);
    assertEquals(await namesIn(join(repository, "refs")), ["main", "release"]);
    await assertRefused(`${id}@main`, { revision: "release/1" }, "release/1", "two revisions");
    await assertRefused(id, { revision: "release/9" }, id, '"release/9"', "commits/main");
    await assertRefused(id, { revision: "../main" }, '"../main"');
    // A branch that moves on is followed, until the hub is out of reach.
    hub.repositories[id]!.revisions.main = commits.first;
    assertEquals(await template(id), old);
    await hub.stop();
    assertEquals(await template(id), old);
    assertEquals(await template(id, commits.second), current);
  },
);

hubTest("offline only the cache is asked", async ({ hub, files, cache, repository }) => {
  await assertRefused(id, { offline: true }, id, cache, '"main"', "offline mode", "HF_HUB_OFFLINE");
  await placeLikePython(repository, files, neededFiles);
  const expected = { folder: join(repository, "snapshots", commits.first), commit: commits.first };
  assertEquals(await resolveModel(id, { offline: true }), expected);
  Deno.env.set("HF_HUB_OFFLINE", "1");
  assertEquals(await resolveModel(id), expected);
  assertEquals(await resolveModel(id, { revision: commits.first }), expected);
  await assertRefused(id, { revision: "v2" }, '"v2"', "offline");
  await Deno.remove(join(repository, "blobs", hashOf(weights, files[weights]!)));
  await assertRefused(id, {}, `without "${weights}"`);
  assertEquals(hub.seen, []);
});

Deno.test("a model in shards comes whole, and a missing shard is named", async () => {
  const { dir } = await golden("gemma2-bf16-sharded");
  const files: Record<string, Uint8Array<ArrayBuffer>> = {};
  for (const name of await namesIn(dir)) {
    if (/^(config\.json|model.*)$/.test(name)) files[name] = await Deno.readFile(join(dir, name));
  }
  const extra = { ...files, "model-fp16.safetensors": bytesOf("of no use") };
  await using hub = serveHub({ [id]: repositoryOf(extra) });
  await using place = await hubEnvironment(hub);
  using _ = setVariables(place.variables);
  const { folder } = await resolveModel(id);
  assertEquals(await namesIn(folder), Object.keys(files).sort());
  const shard = "model-00002-of-00003.safetensors";
  await Deno.remove(join(folder, shard));
  await assertRefused(id, { offline: true }, `without "${shard}"`);
  await resolveModel(id);
  assertEquals((await resolveModel(id, { offline: true })).folder, folder);
  delete (extra as Record<string, unknown>)[shard];
  await assertRefused(id, {}, shard, "model.safetensors.index.json");
});

hubTest("the token goes to the hub and nowhere else", async ({ hub, home }) => {
  const sent = (
    server: "hub" | "cdn",
  ) => [...new Set(hub.seen.filter((request) => request.server === server).map((r) => r.authorization))];
  await Deno.writeTextFile(join(home, "token"), "hf_fromlogin\n");
  await resolveModel(id);
  assertEquals([sent("hub"), sent("cdn")], [["Bearer hf_fromlogin"], [null]]);
  for (
    const [variables, expected] of [
      [{ HF_TOKEN: "hf_given" }, "Bearer hf_given"],
      [{ HF_TOKEN: "hf_given", HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }, null],
      [{ HF_TOKEN_PATH: join(home, "elsewhere") }, null],
    ] as const
  ) {
    using _ = setVariables({ HF_ENDPOINT: hub.endpoint, HF_HOME: home, ...variables });
    hub.seen.length = 0;
    await resolveModel(id);
    assertEquals(sent("hub"), [expected]);
  }
  Deno.env.set("HF_TOKEN", "hf_…");
  await assertRefused(id, {}, "HF_TOKEN", "character");
});

hubTest("a gated repository says how to get in", async ({ hub, files }) => {
  hub.repositories[id] = { ...repositoryOf(files), gatedFor: "hf_admitted" };
  await assertRefused(id, {}, "gated", `${hub.endpoint}/${id}`, "HF_TOKEN");
  Deno.env.set("HF_TOKEN", "hf_stranger");
  await assertRefused(id, {}, "gated", `${hub.endpoint}/${id}`, "your token");
  Deno.env.set("HF_TOKEN", "hf_admitted");
  assertEquals((await resolveModel(id)).commit, commits.first);
});

hubTest("what is neither a folder nor an id, or is missing, is refused", async ({ hub }) => {
  for (const source of ["no/such/model", "./someone/model", "/none", "tiny-llama", "a/b--c", "https://x/y"]) {
    await assertRefused(source, {}, `"${source}" does not exist`, "no Hugging Face id");
  }
  assertEquals(hub.seen, []);
  await assertRefused("someone/else", {}, '"someone/else"', "neither a folder nor", "HF_TOKEN");
  Deno.env.set("HF_TOKEN", "hf_any");
  await assertRefused("someone/else", {}, '"someone/else"', "your token");
});

hubTest("a folder wins over an id, and has no revisions", async ({ hub }) => {
  await using folder = await temporaryFolder();
  const before = Deno.cwd();
  Deno.chdir(folder.path);
  try {
    await Deno.mkdir(id, { recursive: true });
    assertEquals(await resolveModel(id), { folder: id });
    await assertRefused(id, { revision: "main" }, '"main"', id, "folder");
  } finally {
    Deno.chdir(before);
  }
  assertEquals(hub.seen, []);
});

hubTest("pickles are refused before anything is downloaded", async ({ hub, files, cache }) => {
  const { [weights]: _weights, "consolidated.safetensors": _other, ...pickled } = files;
  hub.repositories[id] = repositoryOf(pickled);
  await assertRefused(id, {}, id, "pytorch_model.bin", "safetensors");
  const { "pytorch_model.bin": _a, "training_args.bin": _b, ...nothing } = pickled;
  hub.repositories[id] = repositoryOf(nothing);
  await assertRefused(id, {}, id, weights);
  const { "config.json": _config, ...shapeless } = files;
  hub.repositories[id] = repositoryOf(shapeless);
  await assertRefused(id, {}, id, "config.json");
  assert(!await Deno.stat(cache).then(() => true, () => false), "something was written");
});

hubTest("a hub that cannot be reached, or is none, is refused", async ({ hub, cache }) => {
  await hub.stop();
  await assertRefused(id, {}, hub.endpoint, "cannot be reached", "Connection refused", "HF_ENDPOINT");
  const options = { port: 0, hostname: "127.0.0.1", onListen() {} };
  for (
    const [answer, part] of [
      [() => new Response("<html>Log in to the hotel's network</html>"), "does not answer like"],
      [() => Response.json({ id }), '"sha" is missing'],
      [() => new Response("", { status: 503 }), "503"],
      [() => new Response("", { status: 403 }), "forbids"],
    ] as const
  ) {
    await using other = Deno.serve(options, answer);
    Deno.env.set("HF_ENDPOINT", `http://127.0.0.1:${other.addr.port}/`);
    await assertRefused(id, {}, `127.0.0.1:${other.addr.port}"`, part);
  }
  Deno.env.set("HF_ENDPOINT", "huggingface");
  await assertRefused(id, {}, '"huggingface"', "no URL");
  assert(!await Deno.stat(cache).then(() => true, () => false), "something was written");
});

hubTest("a password in HF_ENDPOINT goes to the hub alone and into no message", async ({ hub }) => {
  const { host } = new URL(hub.endpoint);
  Deno.env.set("HF_ENDPOINT", `http://user:s3cret@${host}`);
  const { folder } = await resolveModel(id);
  assert(await Deno.stat(join(folder, "config.json")));
  const sent = hub.seen.filter(({ server }) => server === "hub");
  assertEquals(
    new Set(sent.map(({ authorization }) => authorization)),
    new Set([`Basic ${btoa("user:s3cret")}`]),
  );
  assert(hub.seen.every(({ server, authorization }) => server === "hub" || authorization === null));
  const messages: string[] = [];
  const refuse = async (endpoint: string, model: string) => {
    Deno.env.set("HF_ENDPOINT", endpoint);
    const error = await assertRejects(() => resolveModel(model), InputError);
    assert(!/s3cret|user:/.test(`${error.message}${error.stack}`), error.message);
    messages.push(error.message);
  };
  await refuse(`http://user:s3cret@${host}`, "nobody/nothing");
  await refuse(`http://user:s3cret%zz@${host}`, "nobody/nothing");
  for (
    const malformed of [
      ...[
        `http://user:s3cret@`,
        `user:s3cret@${host}`,
        `http://user:s3c/s3cret@${host}`,
        "//user:s3cret@hub",
      ],
      ...[`http://${host}?token=s3cret`, `http://${host}#s3cret`, `ftp://user:s3cret@${host}`],
      `http://user:7/s3cret@${host}`,
    ]
  ) {
    await refuse(malformed, id);
    assert(messages.at(-1)!.includes("HF_ENDPOINT"));
  }
  await hub.stop();
  await refuse(`http://user:s3cret@${host}`, "nobody/nothing");
  assert(messages.at(-1)!.includes(host), messages.at(-1));
});

hubTest("a cache that cannot be written is refused", async ({ home }) => {
  await Deno.writeTextFile(join(home, "file"), "in the way");
  Deno.env.set("HF_HUB_CACHE", join(home, "file", "hub"));
  await assertRefused(id, {}, join(home, "file", "hub"), "cannot be written", "HF_HOME");
});

hubTest("a rewritten checkpoint has every file that the links of a snapshot lead to", async ({ files }) => {
  const { folder } = await resolveModel(id);
  await using target = await temporaryFolder();
  using checkpoint = await Checkpoint.open(folder);
  await rewriteCheckpoint(checkpoint, target.path, new Map());
  assertEquals(await namesIn(target.path), neededFiles);
  for (const { name, isFile } of await Array.fromAsync(Deno.readDir(target.path))) {
    assert(isFile, name);
    if (name !== weights) assertEquals(await Deno.readFile(join(target.path, name)), files[name]);
  }
});

Deno.test("the cache is where Python looks for it", () => {
  const root = (variables: Record<string, string>) => {
    using _ = setVariables({ HOME: "/home/kim", ...variables });
    return new HubCache(id).root;
  };
  assertEquals(root({}), "/home/kim/.cache/huggingface/hub");
  assertEquals(root({ XDG_CACHE_HOME: "/x" }), "/x/huggingface/hub");
  assertEquals(root({ XDG_CACHE_HOME: "/x", HF_HOME: "~/hf" }), "/home/kim/hf/hub");
  assertEquals(
    root({ HF_HOME: "/hf", HF_HUB_CACHE: "$SCRATCH/${KIND}/$NONE", SCRATCH: "/s", KIND: "hub" }),
    "/s/hub/$NONE",
  );
  assertEquals(root({ HF_HOME: "/hf", HUGGINGFACE_HUB_CACHE: "/old" }), "/old");
});
