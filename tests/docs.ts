/**
 * Runs the examples of the documentation, a process for each room. A process that has opened many devices one after the other
 * sometimes aborts with a corrupted heap while it exits, after all its examples passed (Deno 2.9.6, Mesa 22.3; a command, which
 * opens one, has never): a room whose process a signal ended is run once more, and has to end by itself.
 */
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const rooms: string[] = [];
for await (const { name, isDirectory } of Deno.readDir(`${root}/engine`)) {
  if (isDirectory) rooms.push(`engine/${name}/`);
}

async function runExamples(room: string): Promise<Deno.CommandStatus> {
  return await new Deno.Command(Deno.execPath(), {
    args: ["test", "--quiet", "--doc", "--permit-no-files", "-P=test", room],
    cwd: root,
  }).spawn().status;
}

const failed: string[] = [];
for (const room of ["mod.ts", ...rooms.sort()]) {
  let status = await runExamples(room);
  if (status.signal !== null) {
    console.error(`${room}: ended by ${status.signal}, once more`);
    status = await runExamples(room);
  }
  if (!status.success) failed.push(room);
}
if (failed.length > 0) console.error(`Examples failed in ${failed.join(", ")}.`);
Deno.exit(failed.length > 0 ? 1 : 0);
