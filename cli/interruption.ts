/** Ctrl-C: answered between submissions to the GPU, and a second one at once whatever runs. */
import type { Listening, Signals } from "./interruption_listener.ts";

const flag = new Int32Array(new SharedArrayBuffer(4));

/** Ends the program with the exit code of a signal, when one of these comes. */
export function endOnSignals(signals: Signals) {
  const listener = new Worker(import.meta.resolve("./interruption_listener.ts"), { type: "module" });
  listener.onmessage = endIfInterrupted;
  listener.postMessage({ signals, flag: flag.buffer } satisfies Listening);
}

/** To be called where a long synchronous stretch of work can end: Ctrl-C is only seen there. */
export function endIfInterrupted() {
  const code = Atomics.load(flag, 0);
  if (code !== 0) Deno.exit(code);
}
