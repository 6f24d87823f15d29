/** Commands on models from the Hugging Face hub: what works, and exit code 2 with one sentence where it cannot. */
import { join } from "node:path";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  commits,
  type Files,
  hashOf,
  hubEnvironment,
  type HubServer,
  llamaFiles,
  repositoryOf,
  serveHub,
} from "../checkpoint/hub_server.ts";
import { embeddedModel, temporaryFolder } from "../model/model_fixture.ts";
import { writeSmallTask } from "../run/run_fixture.ts";
import { assertRefused, onlyLine, run, taskPermissions } from "./command_line.ts";

const id = "someone/tiny-llama";
const permissions = (name: string) => taskPermissions(name, "127.0.0.1");

/** What a test changes before the command runs. */
interface Setting {
  readonly hub: HubServer;
  readonly files: Files;
  readonly home: string;
  readonly cache: string;
  /** Environment of the command. */
  readonly variables: Record<string, string>;
}

/** `generate` must be refused with a message naming `parts`; CACHE and HUB stand for the test's. */
function refused(
  what: string,
  args: readonly string[],
  parts: readonly string[],
  before: (setting: Setting) => void | Promise<void> = () => {},
  allow: readonly string[] = permissions("generate"),
) {
  Deno.test(`${what} ends generate with exit code 2`, async () => {
    const files = await llamaFiles();
    await using hub = serveHub({ [id]: repositoryOf(files) });
    await using place = await hubEnvironment(hub);
    const { home, cache, variables } = place;
    await before({ hub, files, home, cache, variables });
    const outcome = await run(
      "generate",
      [...args, "--prompt", "Q:", "--no-tune", "--quiet"],
      variables,
      allow,
    );
    assertRefused(
      outcome,
      2,
      ...parts.map((part) => part.replace("CACHE", cache).replace("HUB", hub.endpoint)),
    );
  });
}

const model = ["--model", id];
refused("a gated model", model, [id, "gated", `HUB/${id}`, "HF_TOKEN"], ({ hub, files }) => {
  hub.repositories[id] = { ...repositoryOf(files), gatedFor: "hf_admitted" };
});
refused("a token without access", model, [id, "gated", "your token"], ({ hub, files, variables }) => {
  hub.repositories[id] = { ...repositoryOf(files), gatedFor: "hf_admitted" };
  variables.HF_TOKEN = "hf_stranger";
});
refused("a model that nobody has", ["--model", "someone/else"], ["someone/else", "neither a folder nor"]);
refused("a revision that nobody made", [...model, "--revision", "v9"], [id, '"v9"', "branch, tag"]);
refused("a revision of a folder", ["--model", embeddedModel, "--revision", "v9"], [embeddedModel, '"v9"']);
refused("what is neither folder nor id", ["--model", "no/such/model"], [
  "no/such/model",
  "does not exist",
  "id",
]);
refused("no network", model, ["HUB", "cannot be reached", "connection"], ({ hub }) => hub.stop());
refused("offline mode without the model", [...model, "--offline"], ["offline", "CACHE", id]);
refused("HF_HUB_OFFLINE without the model", model, ["offline", "CACHE", id], ({ variables }) => {
  variables.HF_HUB_OFFLINE = "1";
});
refused("a model of pickles", model, [id, "pytorch_model.bin", "safetensors"], ({ hub, files }) => {
  const { "model.safetensors": _, ...pickled } = files;
  hub.repositories[id] = repositoryOf(pickled);
});
refused(
  "a cache that cannot be written",
  model,
  ["CACHE", "cannot be written", "HF_HOME"],
  async ({ cache }) => {
    await Deno.writeTextFile(cache, "a file in its place");
  },
);
refused(
  "a full disk",
  model,
  ["CACHE", "is full", "HF_HOME", "same command"],
  async ({ cache, files }) => {
    const blobs = join(cache, "models--someone--tiny-llama", "blobs");
    await Deno.mkdir(blobs, { recursive: true });
    const hash = hashOf("model.safetensors", files["model.safetensors"]!);
    // Whatever is written to this device fails as on a full disk.
    await Deno.symlink("/dev/full", join(blobs, `${hash}.incomplete`));
  },
  ["--allow-all"],
);
refused(
  "a hub that Deno may not reach",
  model,
  ["permission", "127.0.0.1", "--allow-net"],
  undefined,
  taskPermissions("generate"),
);

Deno.test("amplify, evaluate, generate, identify and patch may reach the hub's hosts and no others", () => {
  for (const name of ["amplify", "evaluate", "generate", "identify", "patch"]) {
    const hosts = "huggingface.co,*.huggingface.co,*.hf.co";
    assertEquals(taskPermissions(name).filter((flag) => flag.includes("net")), [`--allow-net=${hosts}`]);
  }
});

Deno.test("commands take a Hugging Face id, and runs stay on the commit they began with", async () => {
  const files: Record<string, Uint8Array<ArrayBuffer>> = {};
  for (const name of ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]) {
    files[name] = await Deno.readFile(join(embeddedModel, name));
  }
  await using hub = serveHub({ [id]: repositoryOf(files) });
  await using place = await hubEnvironment(hub);
  await using folder = await temporaryFolder();
  await writeSmallTask(folder.path, 3);
  // What an id leaves out is few-shot chain of thought, too long for this model.
  const asked = ["--prompt-template", "Q: {question}\\nA:", "--shots", "none", "--max-new-tokens", "24"];
  const data = ["--data", join(folder.path, "math.jsonl"), "--json", "--no-tune", ...asked];
  const out = join(folder.path, "run");
  const short = [
    "--limit",
    "6",
    "--samples",
    "2",
    "--mask-epochs",
    "1",
    "--out",
    out,
  ];
  const identify = (...flags: string[]) =>
    run("identify", [...model, ...data, ...short, ...flags], place.variables, permissions("identify"));

  const first = await identify();
  assertEquals(first.code, 0, first.stderr);
  assertStringIncludes(first.stderr, "download (MiB)");
  const config = JSON.parse(await Deno.readTextFile(join(out, "config.json")));
  assertEquals([config.settings.model.source, config.settings.model.revision, config.model_commit], [
    id,
    undefined,
    commits.first,
  ]);

  // The branch moves on to a commit with other weights, which the run does not follow.
  hub.repositories[id] = {
    revisions: { main: commits.second, [commits.second]: commits.second, [commits.first]: commits.first },
    files: {
      [commits.first]: files,
      [commits.second]: { ...files, "config.json": new TextEncoder().encode("{}") },
    },
  };
  const again = await identify();
  assertEquals([again.code, onlyLine(again)], [0, onlyLine(first)], again.stderr);
  assert(!again.stderr.includes("download"), again.stderr);
  assertRefused(await identify("--revision", "v2", "--quiet"), 2, '"v2"');
  await hub.stop();
  const evaluation = await run(
    "evaluate",
    [...data, "--model", `${id}@${commits.first}`, "--offline"],
    place.variables,
    permissions("evaluate"),
  );
  assertEquals(evaluation.code, 0, evaluation.stderr);
  assertEquals(onlyLine(evaluation).model_commit, commits.first);
});
