/** Paths on a command line are relative to the folder that the user is in, also where a task has changed it. */
import { fileURLToPath } from "node:url";

/**
 * `deno task` runs in the folder of deno.json and leaves the caller's folder in INIT_CWD; goes back there. A process that was
 * started anywhere else is where it should be, whatever an outer task has left in that variable.
 */
export function enterCallersFolder() {
  const root = new URL("..", import.meta.url);
  const caller = Deno.env.get("INIT_CWD");
  if (!caller || root.protocol !== "file:") return;
  const same = (a: string, b: string) => Deno.realPathSync(a) === Deno.realPathSync(b);
  if (same(Deno.cwd(), fileURLToPath(root))) Deno.chdir(caller);
}
