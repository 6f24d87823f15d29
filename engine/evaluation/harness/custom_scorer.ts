/**
 * A scorer from a file of the user's: its default export judges a completion. It runs in a worker without any permission.
 *
 *     export default ({ completion, row }: { completion: string; row: Record<string, unknown> }): number =>
 *       completion.trim() === row.answer ? 1 : 0;
 */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { InputError } from "../../errors.ts";

/** What a scorer is given. */
export interface ScorerInput {
  /** What the model wrote, up to its end. */
  readonly completion: string;
  /** The row that was asked. */
  readonly row: Readonly<Record<string, unknown>>;
}

/** A scorer at work; end it with `using`. */
export class CustomScorer implements Disposable {
  private readonly program: string;
  private readonly worker: Worker;

  /** `patience`: milliseconds that one judgement may take. */
  constructor(private readonly file: string, private readonly patience = 10_000) {
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
      };`;
    this.program = URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
    const options = { type: "module", deno: { permissions: "none" } } as const; // "deno" is in no published type
    this.worker = new Worker(this.program, options);
  }

  /**
   * How right a completion is, from 0 to 1.
   * @throws {InputError} for a file that cannot be run, fails, takes too long, or gives anything but a number from 0 to 1 or a boolean.
   */
  async score(input: ScorerInput): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<{ value?: unknown; error?: string }>();
    const fail = (why: string) => reject(this.failure(why));
    const timer = setTimeout(() => fail(`it took more than ${this.patience / 1000} s`), this.patience);
    this.worker.onmessage = ({ data }) => resolve(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      fail(event.message);
    };
    this.worker.postMessage(input);
    try {
      const { value, error } = await promise;
      if (error !== undefined) throw this.failure(error);
      const number = typeof value === "boolean" ? Number(value) : value;
      if (typeof number === "number" && number >= 0 && number <= 1) return number;
      throw new InputError(
        `Scorer "${this.file}" gave ${
          Deno.inspect(value)
        }; it has to give a boolean or a number from 0 to 1.`,
        "scorer",
      );
    } finally {
      clearTimeout(timer);
    }
  }

  private failure(why: string): InputError {
    const short = why.split("\n")[0]!.replace(/[.\s]+$/, "");
    return new InputError(`Scorer "${this.file}" fails: ${short}.`, "scorer");
  }

  [Symbol.dispose]() {
    this.worker.terminate();
    URL.revokeObjectURL(this.program);
  }
}
