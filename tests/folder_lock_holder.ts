/** Takes the lock of the folder that it is given, says so, and keeps it until it is killed. */
import { FolderLock } from "../engine/folder_lock.ts";

const lock = await FolderLock.take(Deno.args[0]!);
console.log("locked");
setInterval(() => lock, 1000);
