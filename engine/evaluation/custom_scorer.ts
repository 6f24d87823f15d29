/**
 * A scorer from a file of the user's: its default export judges a completion. It runs in a worker without any permission.
 *
 *     export default ({ completion, row }: { completion: string; row: Record<string, unknown> }): number =>
 *       completion.trim() === row.answer ? 1 : 0;
 */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { InputError } from "../errors.ts";

/** What a scorer is given. */
export interface ScorerInput {
  /** What the model wrote, up to its end. */
  readonly completion: string;
  /** The row that was asked. */
  readonly row: Readonly<Record<string, unknown>>;
}

/** Milliseconds that a scorer's file may take to load. */
const loading = 60_000;

/** What a worker sends: that it has loaded, what it came to, or what went wrong. */
interface Reply {
  readonly value?: unknown;
  readonly error?: string;
}

/**
 * A scorer. Its worker starts with the first judgement and ends with `using`; a later judgement starts another.
 *
 * @example Judge a completion by a file
 * ```ts
 * import { CustomScorer } from "../../engine/evaluation/mod.ts";
 *
 * const file = `${await Deno.makeTempDir()}/scorer.ts`;
 * await Deno.writeTextFile(file, "export default ({ completion }: { completion: string }) => completion.length < 9;");
 * using scorer = new CustomScorer(file);
 * console.log(await scorer.score({ completion: "Paris", row: {} })); // 1
 * ```
 */
export class CustomScorer implements Disposable {
  private worker: Worker | undefined;

  /** `patience`: milliseconds that one judgement may take. */
  constructor(private readonly file: string, private readonly patience = 10_000) {}

  /**
   * How right a completion is, from 0 to 1.
   * @throws {InputError} for a file that cannot be run, fails, takes too long, or gives anything but a number from 0 to 1 or a boolean.
   */
  async score(input: ScorerInput): Promise<number> {
    if (!this.worker) {
      this.worker = startWorker(this.file);
      await this.reply(this.worker, loading);
    }
    this.worker.postMessage(input);
    const value = await this.reply(this.worker, this.patience);
    const number = typeof value === "boolean" ? Number(value) : value;
    if (typeof number === "number" && number >= 0 && number <= 1) return number;
    throw new InputError(
      `Scorer "${this.file}" gave ${Deno.inspect(value)}; it has to give a boolean or a number from 0 to 1.`,
      "scorer",
    );
  }

  /** The worker's next message; a worker that fails is ended. */
  private async reply(worker: Worker, patience: number): Promise<unknown> {
    const { promise, resolve } = Promise.withResolvers<Reply>();
    const timer = setTimeout(() => resolve({ error: `it took more than ${patience / 1000} s` }), patience);
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      resolve({ error: event.message });
    };
    const { value, error } = await promise;
    clearTimeout(timer);
    if (error === undefined) return value;
    this[Symbol.dispose]();
    const short = error.split("\n")[0]!.replace(/[.\s]+$/, "");
    throw new InputError(`Scorer "${this.file}" fails: ${short}.`, "scorer");
  }

  /** Ends the worker. */
  [Symbol.dispose]() {
    this.worker?.terminate();
    this.worker = undefined;
  }
}

function startWorker(file: string): Worker {
  // A static import is loaded with this program's permissions; the worker's own would not let it read the file.
  const program = `import * as scorer from ${JSON.stringify(pathToFileURL(resolve(file)).href)};
    self.onmessage = async ({ data }) => {
      try {
        const { default: score } = scorer;
        if (typeof score !== "function") throw new Error("it has no function as its default export");
        self.postMessage({ value: await score(data) });
      } catch (error) {
        self.postMessage({ error: String(error?.message ?? error) });
      }
    };
    self.postMessage({});`;
  const options = { type: "module", deno: { permissions: "none" } } as const; // "deno" is in no published type
  const url = URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
  const worker = new Worker(url, options);
  worker.addEventListener("message", () => URL.revokeObjectURL(url), { once: true }); // it has loaded
  return worker;
}
