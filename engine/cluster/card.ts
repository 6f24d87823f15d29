/**
 * Which card a shard works on, as far as anyone can tell, and whether another shard works on it at the same time. Schedulers hand
 * out cards by CUDA_VISIBLE_DEVICES, which Vulkan does not know, and WebGPU neither lists cards nor says which one it gave.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { hostName } from "../folder_lock.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { shardFolder } from "./shard_files.ts";

/** What a part says of where it was made. */
export interface Card {
  readonly adapter: string;
  /** What the driver says of itself and the card. */
  readonly device: string;
  readonly host: string;
}

/** The card of a Gpu. */
export function cardOf(gpu: Gpu): Card {
  const { vendor, architecture, device, description } = gpu.adapter.info;
  return {
    adapter: gpu.adapterName,
    device: [vendor, architecture, device, description].filter(Boolean).join(", "),
    host: hostName(),
  };
}

/** A claim on a card; `shared` where another process of the same run had it already. */
export interface CardClaim extends Disposable {
  readonly shared: boolean;
}

/**
 * Claims a card for the time that a shard is at work. Cards are told apart by what the driver says and by the device nodes of this
 * machine or container, so equal cards of an undivided machine count as one: there every process gets the first of them.
 */
export async function claimCard(run: string, card: Card): Promise<CardClaim> {
  const nodes = await deviceNodes();
  const key = createHash("sha256").update(JSON.stringify([card.host, card.device, nodes])).digest("hex");
  const path = join(run, shardFolder, `card-${key.slice(0, 16)}.lock`);
  const file = await Deno.open(path, { read: true, write: true, create: true });
  // Where the file system has no locks nothing can be told.
  const locked = await file.tryLock(true).catch(() => true);
  return {
    shared: !locked,
    [Symbol.dispose]() {
      file.close();
      if (!locked) return;
      try {
        Deno.removeSync(path);
      } catch {
        // gone, or of a system that removes no open file
      }
    },
  };
}

/** Names of the nodes by which cards are reached here; empty where they cannot be listed. */
async function deviceNodes(): Promise<string[]> {
  try {
    const names = (await Array.fromAsync(Deno.readDir("/dev"))).map(({ name }) => name);
    return names.filter((name) => /^(nvidia\d+|dxg|kfd)$/.test(name)).sort();
  } catch {
    return [];
  }
}
