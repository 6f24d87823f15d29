/** Cards: who is the second on one is told, and nobody else. */
import { assertEquals } from "@std/assert";
import { claimCard } from "../../engine/cluster/card.ts";
import { makeShardFolder } from "../../engine/cluster/shard_files.ts";
import { temporaryFolder } from "../model/model_fixture.ts";

Deno.test("the second claim on a card of one machine is shared, until the first ends", async () => {
  await using run = await temporaryFolder();
  await makeShardFolder(run.path);
  const card = { adapter: "Some GPU", device: "some, gpu", host: "node1" };
  {
    using first = await claimCard(run.path, card);
    using second = await claimCard(run.path, card);
    using elsewhere = await claimCard(run.path, { ...card, host: "node2" });
    using other = await claimCard(run.path, { ...card, device: "another" });
    assertEquals([first, second, elsewhere, other].map(({ shared }) => shared), [false, true, false, false]);
  }
  using again = await claimCard(run.path, card);
  assertEquals(again.shared, false);
});
