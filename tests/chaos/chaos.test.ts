/** The quick form of deno task chaos: a fault of each kind, and a harness that sees what is wrong. */
import "../../cli/quiet_vulkan.ts";
import { assertEquals, assertRejects } from "@std/assert";
import { tally, tryFaults } from "./chaos.ts";
import { Chaos, kinds, Wrong } from "./trials.ts";

Deno.test("faults of every kind end in the bytes of the undisturbed run, or in a sentence", async () => {
  await using chaos = await Chaos.open();
  const results = await tryFaults(chaos, kinds.map((_, seed) => seed));
  assertEquals(results.filter(({ ending }) => ending === undefined), []);
  assertEquals(tally(results), `${kinds.length} tried, ${kinds.length} recovered or refused, 0 wrong`);
  await assertRejects(() => chaos.forge(), Wrong, "mask.json holds other bytes");
  assertEquals(
    tally([...results, { seed: 7, kind: "kill", ending: undefined, wrong: "it" }]),
    `${kinds.length + 1} tried, ${kinds.length} recovered or refused, 1 wrong`,
  );
});
