/** Journals: what was put comes back, and a line that is not whole ends what is read. */
import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { Journal, journalLine, readJournal, within } from "../../engine/run/journal.ts";
import { temporaryFolder } from "../model/model_fixture.ts";

Deno.test("completions come back from a journal that was opened again", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "stage.journal.jsonl");
  {
    using journal = await Journal.open(path);
    journal.put("greedy 0", [3, 1]);
    within(journal, "base").put("test 2", []);
  }
  using journal = await Journal.open(path, new Map([["elsewhere", [7]], ["greedy 0", [3, 1]]]));
  assertEquals(journal.get("greedy 0"), [3, 1]);
  assertEquals(within(journal, "base").get("test 2"), []);
  assertEquals(journal.get("elsewhere"), [7]);
  assertEquals([journal.get("test 2"), within(journal, "b").get("greedy 0")], [undefined, undefined]);
  await journal.remove();
  await journal.remove();
  assertEquals(await Array.fromAsync(Deno.readDir(folder.path)), []);
});

Deno.test("wherever a journal is cut off, whole lines count and new ones go on after them", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "stage.journal.jsonl");
  const items = [["greedy 0", [3, 1]], ["größer 1", [12]], ["greedy 2", []]] as const;
  {
    using journal = await Journal.open(path);
    for (const [key, ids] of items) journal.put(key, ids);
  }
  const whole = await Deno.readFile(path);
  for (let length = 0; length <= whole.length; length++) {
    await Deno.writeFile(path, whole.subarray(0, length));
    const lines = whole.subarray(0, length).filter((byte) => byte === 10).length;
    {
      using journal = await Journal.open(path);
      assertEquals([...journal.completions], items.slice(0, lines).map(([key, ids]) => [key, [...ids]]));
      for (const [key, ids] of items.slice(lines)) journal.put(key, ids);
    }
    assertEquals(await Deno.readFile(path), whole);
  }
});

Deno.test("a line that is damaged ends what is read of a journal", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "stage.journal.jsonl");
  const [a, b, c] = ["a", "b", "c"].map((item) => journalLine(item, [1, 7]));
  for (const damaged of ["\0\0\0\n", '{"item":"b"}\n', "[]\n", "\n", b!.replace("[1,7]", "[1,3]")]) {
    await Deno.writeTextFile(path, a + damaged + c);
    assertEquals([...(await readJournal(path)).items.keys()], ["a"]);
  }
});
