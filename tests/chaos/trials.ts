/**
 * Faults of every kind in a small amplify. Each must end with the bytes of the run that nothing disturbed, be it after the same
 * command was started again, or with one sentence.
 */
import { join } from "node:path";
import { DeviceError, InputError, NoAdapterError } from "../../engine/errors.ts";
import { sha256OfFile } from "../../engine/files.ts";
import { Gpu } from "../../engine/gpu/gpu.ts";
import { runAmplify, type RunOptions } from "../../engine/run/amplify_run.ts";
import { listedFiles } from "../../engine/run/manifest.ts";
import type { RunSettings } from "../../engine/run/settings/run.ts";
import { command } from "../cli/command_line.ts";
import { copyOf, embeddedModel, type TemporaryFolder, temporaryFolder } from "../model/model_fixture.ts";
import { tinyRun, writeSmallTask } from "../run/run_fixture.ts";
import { seededRandom } from "../../engine/random.ts";
import { type DiskFault, failWrites } from "./disk_faults.ts";
import { loseDevice, lossPoints } from "./device_faults.ts";

/** Kinds of faults. */
export const kinds = ["kill", "device", "disk", "folder", "damage", "second", "input"] as const;

/** See kinds. */
export type Kind = (typeof kinds)[number];

/** How a trial ended, in words. Anything else is thrown. */
export type Ending = string;

/** What is wrong with how a trial ended. */
export class Wrong extends Error {}

/** Draws of one trial. */
class Draws {
  private readonly random: () => number;
  constructor(seed: number) {
    this.random = seededRandom(`${seed}/chaos`);
  }
  /** An integer from 0 to `below` - 1. */
  number(below: number): number {
    return Math.floor(this.random() * below);
  }
  one<T>(of: readonly T[]): T {
    return of[this.number(of.length)]!;
  }
}

/** The run that is disturbed: its task and model, and what it leaves when nothing disturbs it. */
export class Chaos implements AsyncDisposable {
  private readonly folders = new AsyncDisposableStack();
  private gpu: Gpu | undefined;
  private work!: TemporaryFolder;
  private model!: TemporaryFolder;
  private settings!: RunSettings;
  /** What every file holds in the end, by its name. */
  private expected!: ReadonlyMap<string, string>;
  /** How often the undisturbed run comes to each point, and the milliseconds that it takes as a process. */
  private counts = { submit: 0, map: 0, mapping: 0, allocate: 0, writes: 0, reports: 0, ms: 0 };

  /** Does the run undisturbed. */
  static async open(): Promise<Chaos> {
    const chaos = new Chaos();
    chaos.work = chaos.folders.use(await temporaryFolder());
    chaos.model = chaos.folders.use(await copyOf(embeddedModel));
    await writeSmallTask(chaos.work.path, 3);
    chaos.settings = {
      ...tinyRun(chaos.work.path),
      model: { ...tinyRun(chaos.work.path).model, source: chaos.model.path },
    };
    await chaos.measure();
    return chaos;
  }

  async [Symbol.asyncDispose]() {
    this.gpu?.close();
    await this.folders.disposeAsync();
  }

  /** One fault of this kind, all else drawn by the seed. Throws Wrong for an end that is none of those that are right. */
  async try(kind: Kind, seed: number): Promise<Ending> {
    const out = join(this.work.path, `run-${kind}-${seed}`);
    const draws = new Draws(seed);
    const ending = await this[kind](out, draws);
    this.compare(await contents(out), kind);
    await Deno.remove(out, { recursive: true });
    return ending;
  }

  /** A file that is changed together with the manifest, which nothing can notice: must throw Wrong, or this sees nothing. */
  async forge(): Promise<void> {
    const out = join(this.work.path, "forged");
    await this.copyWhole(out);
    const [file, manifest] = [join(out, "mask.json"), join(out, "manifest.json")];
    const before = await sha256OfFile(file);
    await Deno.writeTextFile(file, " ", { append: true });
    const text = await Deno.readTextFile(manifest);
    await Deno.writeTextFile(manifest, text.replaceAll(before, await sha256OfFile(file)));
    await this.run(out);
    this.compare(await contents(out), "forged");
  }

  /** The process ends at any moment, and again. */
  private async kill(out: string, draws: Draws): Promise<Ending> {
    const kills = 1 + draws.number(3);
    const signals: string[] = [];
    const fresh = draws.number(3) === 0;
    if (fresh) await this.copyWhole(out);
    for (let i = 0; i < kills; i++) {
      const signal = draws.one(["SIGKILL", "SIGKILL", "SIGTERM", "SIGINT"] as const);
      const process = this.start(out, ...fresh ? ["--fresh"] : []);
      const timer = setTimeout(() => {
        try {
          process.kill(signal);
        } catch {
          // it has ended
        }
      }, draws.number(1000) / 1000 * this.counts.ms);
      const { code, stderr, signal: by } = await process.output();
      clearTimeout(timer);
      const text = new TextDecoder().decode(stderr);
      if (code !== 0 && by === null && code !== 130) throw new Wrong(`exit code ${code}: ${text}`);
      signals.push(code === 0 ? "ended before" : signal);
    }
    await this.run(out);
    return `${fresh ? "started over, " : ""}${signals.join(", ")}: the same bytes when started again`;
  }

  /** The device is lost at any command, and perhaps its successor, too. */
  private async device(out: string, draws: Draws): Promise<Ending> {
    const point = draws.one(lossPoints);
    const at = 1 + draws.number(this.counts[point]);
    using gpu = await Gpu.open();
    loseDevice(gpu, point, at);
    if (draws.number(3) === 0) {
      const renew = gpu.renew.bind(gpu);
      const next = draws.one(lossPoints);
      const then = 1 + draws.number(this.counts[next] / 4);
      gpu.renew = async () => {
        await renew();
        loseDevice(gpu, next, then);
      };
    }
    const said = await refusal(() => this.run(out, {}, gpu));
    if (said) await this.run(out);
    return `lost at ${point} ${at}: ${said ?? "went on"}`;
  }

  /** The disk refuses all writes from any one on. */
  private async disk(out: string, draws: Draws): Promise<Ending> {
    const fault = draws.one(["ENOSPC", "ENOSPC", "EROFS", "EIO"] as const satisfies readonly DiskFault[]);
    const at = 1 + draws.number(this.counts.writes);
    const said = await (async () => {
      using _ = failWrites(fault, at);
      return await refusal(() => this.run(out));
    })();
    if (!said) throw new Wrong(`${fault} at write ${at} went unnoticed`);
    await this.run(out);
    return `${fault} at write ${at}: ${said}`;
  }

  /** The folder is removed at any moment. */
  private async folder(out: string, draws: Draws): Promise<Ending> {
    let left = 1 + draws.number(this.counts.reports);
    const progress = () => {
      if (--left === 0) Deno.removeSync(out, { recursive: true });
    };
    const said = await refusal(() => this.run(out, { progress }));
    if (!said) throw new Wrong("a removed folder went unnoticed");
    await this.run(out);
    return said;
  }

  /** Files of a run are damaged: of a finished one, of one that lacks its last files, or of one that was stopped anywhere. */
  private async damage(out: string, draws: Draws): Promise<Ending> {
    const state = draws.one(["whole", "without its end", "stopped"] as const);
    if (state === "stopped") await this.stop(out, draws);
    else await this.copyWhole(out);
    if (state === "without its end") {
      for (const name of listedFiles.slice(1 + draws.number(listedFiles.length))) {
        await remove(join(out, name));
      }
    }
    const files = await filesIn(out);
    const damages: string[] = [];
    for (let i = 1 + draws.number(2); i > 0 && files.length > 0; i--) {
      const name = draws.one(files);
      const what = await damageFile(join(out, name), draws);
      if (what) damages.push(`${name} ${what}`);
    }
    const said = await refusal(() => this.run(out));
    if (said) {
      // Nothing can be told of such a run: it is started over.
      await this.run(out, { fresh: true });
    }
    return `${state}, ${damages.join(", ")}: ${said ?? "made again"}`;
  }

  /** Another process starts on the same folder, and perhaps afresh or with other settings. */
  private async second(out: string, draws: Draws): Promise<Ending> {
    const process = this.start(out);
    await new Promise((resolve) => setTimeout(resolve, draws.number(1000) / 1000 * this.counts.ms));
    const how = draws.one(["same", "fresh", "other seed"] as const);
    const settings = how === "other seed" ? { ...this.settings, seed: 1 } : this.settings;
    const options = { out, tune: false, fresh: how === "fresh" };
    // Another seed on a folder that is still empty is a run like any other, so it only comes when there is one.
    const come = how !== "other seed" || await exists(join(out, "config.json"));
    const gpu = this.gpu!;
    const said = come
      ? await refusal(async () => void await runAmplify(gpu, settings, options))
      : "came too early";
    const { code, stderr } = await process.output();
    const text = new TextDecoder().decode(stderr).trim();
    if (code !== 0 && !(code === 2 && /^error: "[^\n]* is in use by process[^\n]*\.$/.test(text))) {
      throw new Wrong(`the first ended with ${code}: ${text}`);
    }
    if (how === "other seed" && !said) throw new Wrong("a run of another seed went on in the same folder");
    await this.run(out);
    return `${how}: ${said ?? "one after the other"}`;
  }

  /** Data or model change between start and going on. */
  private async input(out: string, draws: Draws): Promise<Ending> {
    await this.stop(out, draws);
    const path = draws.one([
      ...["math.jsonl", "fact.jsonl"].map((name) => join(this.work.path, name)),
      ...["config.json", "tokenizer.json", "model.safetensors"].map((name) => join(this.model.path, name)),
    ]);
    const bytes = await Deno.readFile(path);
    const begun = await exists(join(out, "config.json"));
    const what = await damageFile(path, draws, 1);
    const said = await refusal(() => this.run(out));
    await Deno.writeFile(path, bytes);
    if (!said && begun) throw new Wrong(`${path} ${what} went unnoticed`);
    await this.run(out, { fresh: !begun });
    return `${path.split("/").at(-1)} ${what}: ${said ?? "before the run began"}`;
  }

  /** Begins the run and stops it anywhere. */
  private async stop(out: string, draws: Draws) {
    let left = 1 + draws.number(this.counts.reports);
    const stopped = new Error("stopped");
    const progress = () => {
      if (--left === 0) throw stopped;
    };
    await this.run(out, { progress }).catch((error) => {
      if (error !== stopped) throw error;
    });
  }

  /** The run, in this process. */
  private async run(out: string, options: Partial<RunOptions> = {}, gpu: Gpu = this.gpu!): Promise<void> {
    await runAmplify(gpu, this.settings, { out, tune: false, ...options });
  }

  /** The run as a user starts it. */
  private start(out: string, ...more: string[]): Deno.ChildProcess {
    const settings = join(this.work.path, "settings.json");
    return command("amplify", ["--config", settings, "--out", out, "--no-tune", "--quiet", ...more]).spawn();
  }

  /** Runs undisturbed, once to count and once as a process. */
  private async measure() {
    const whole = join(this.work.path, "whole"), apart = join(this.work.path, "process");
    this.gpu = await Gpu.open();
    let reports = 0;
    await (async () => {
      using gpu = await Gpu.open();
      const calls = loseDevice(gpu);
      using disk = failWrites("ENOSPC", 0);
      await this.run(whole, { progress: () => reports++ }, gpu);
      this.counts = { ...calls, writes: disk.writes, reports, ms: 0 };
    })();
    this.expected = await contents(whole);
    await Deno.copyFile(join(whole, "config.json"), join(this.work.path, "settings.json"));
    const start = performance.now();
    const { code, stderr } = await this.start(apart).output();
    this.counts.ms = performance.now() - start;
    if (code !== 0) throw new Wrong(new TextDecoder().decode(stderr));
    this.compare(await contents(apart), "process");
  }

  private compare(found: ReadonlyMap<string, string>, what: string) {
    for (const name of new Set([...this.expected.keys(), ...found.keys()])) {
      if (this.expected.get(name) !== found.get(name)) throw new Wrong(`${what}: ${name} holds other bytes`);
    }
  }

  private async copyWhole(out: string) {
    const whole = join(this.work.path, "whole");
    await Deno.mkdir(out);
    for await (const { name } of Deno.readDir(whole)) await Deno.copyFile(join(whole, name), join(out, name));
  }
}

/** What a run folder holds, by name, but for times. Nothing that is written for a moment may be left. */
async function contents(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const { name } of Deno.readDir(folder)) {
    if (/^\.|\.part$|\.lock$|\.journal\.jsonl$|^training$/.test(name)) {
      throw new Wrong(`"${name}" was left behind`);
    }
    if (!(listedFiles as readonly string[]).includes(name)) continue;
    const bytes = await Deno.readFile(join(folder, name));
    found.set(name, name === "summary.json" ? withoutSeconds(bytes) : bytes.toHex());
  }
  return found;
}

function withoutSeconds(bytes: Uint8Array): string {
  const { seconds: _, ...summary } = JSON.parse(new TextDecoder().decode(bytes));
  return JSON.stringify(summary);
}

/** The sentence that `work` ends with, undefined where it does not fail. Throws Wrong for any other error. */
async function refusal(work: () => Promise<void>): Promise<string | undefined> {
  try {
    await work();
  } catch (error) {
    const known = error instanceof InputError || error instanceof DeviceError ||
      error instanceof NoAdapterError;
    if (!known) throw new Wrong(`ended with ${(error as Error)?.stack ?? error}`);
    const { message } = error;
    if (!/^["A-Z][^\n]*\.$/.test(message)) throw new Wrong(`is no sentence: ${message}`);
    return message;
  }
}

/** Damages a file somehow; says how, or undefined where there is none. `least` bytes are left of it. */
async function damageFile(path: string, draws: Draws, least = 0): Promise<string | undefined> {
  const bytes = await Deno.readFile(path).catch(() => undefined);
  if (!bytes) return undefined;
  const at = draws.number(Math.max(1, bytes.length));
  switch (
    draws.one(
      least
        ? ["bit", "cut", "longer"] as const
        : ["bit", "bit", "cut", "longer", "zeros", "{}", "gone"] as const,
    )
  ) {
    case "bit":
      bytes[at]! ^= 1 << draws.number(8);
      await Deno.writeFile(path, bytes);
      return `has another bit in byte ${at}`;
    case "cut":
      await Deno.writeFile(path, bytes.slice(0, Math.max(at, least)));
      return `is cut at byte ${at}`;
    case "longer":
      await Deno.writeFile(path, Uint8Array.of(32), { append: true });
      return "is a byte longer";
    case "zeros":
      await Deno.writeFile(path, new Uint8Array(bytes.length));
      return "is zeros";
    case "{}":
      await Deno.writeTextFile(path, "{}");
      return "is {}";
    case "gone":
      await remove(path);
      return "is gone";
  }
}

/** Paths in a folder and the folders in it, sorted. */
async function filesIn(folder: string, above = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(join(folder, above))) {
    const path = join(above, name);
    if (isDirectory) found.push(...await filesIn(folder, path));
    else found.push(path);
  }
  return found.sort();
}

async function remove(path: string) {
  await Deno.remove(path).catch(() => {});
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
