/**
 * Listens for signals in a thread of its own, since the program's own is blocked for as long as the GPU works on what was
 * submitted. On the first it says so, sets a flag that is looked at between submissions, and stops listening: the system then
 * ends the program at once on a second.
 */

import { printAside } from "./terminal.ts";

/** Signals by name: what is said, and the exit code. */
export type Signals = Readonly<
  Partial<Record<Deno.Signal, { readonly said: string; readonly code: number }>>
>;

/** What the listener is begun with. */
export interface Listening {
  readonly signals: Signals;
  /** One Int32: 0, or the exit code of the signal that came. */
  readonly flag: SharedArrayBuffer;
}

/** Milliseconds after which a program that has not ended says why. */
const patience = 1000;

globalThis.onmessage = ({ data: { signals, flag } }: MessageEvent<Listening>) => {
  const listeners = Object.entries(signals).map(([signal, { said, code }]) => {
    const listener = () => {
      printAside(`\n${said}`);
      Atomics.store(new Int32Array(flag), 0, code);
      for (const { signal, listener } of listeners) Deno.removeSignalListener(signal, listener);
      globalThis.postMessage(code);
      setTimeout(() => printAside("Waiting for the GPU; once more ends it at once."), patience);
    };
    return { signal: signal as Deno.Signal, listener };
  });
  for (const { signal, listener } of listeners) Deno.addSignalListener(signal, listener);
};
