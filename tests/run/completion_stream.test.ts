/** Text that comes piece by piece: whole in the end, one sample after the other, and nothing that is taken back. */
import { assertEquals } from "@std/assert";
import { CompletionStream, settledPart } from "../../engine/run/completion_stream.ts";

Deno.test("samples that grow side by side are told one after the other, and each wholly", () => {
  const told: [string, number, boolean][] = [];
  const stream = new CompletionStream((part, sample, ended) => told.push([part, sample, ended]));
  stream.update(0, "one ", false);
  stream.update(1, "other te", false);
  stream.update(2, "third", true);
  stream.update(0, "one te", false);
  stream.update(1, "other text", true);
  stream.update(0, "one text ", true);
  assertEquals(told, [
    ["one", 0, false],
    [" te", 0, false],
    ["xt ", 0, true],
    ["other text", 1, true],
    ["third", 2, true],
  ]);
  stream.update(3, "a", false);
  stream.update(3, "a", true);
  assertEquals(told.slice(5), [["a", 3, false], ["", 3, true]]);
});

Deno.test("half characters, spaces at the end and beginnings of stop texts are held back", () => {
  for (
    const [text, stop, settled] of [
      ["a b", [], "a b"],
      ["a b \n", [], "a b"],
      ["caf\ufffd", [], "caf"],
      ["a\n\nQ", ["\n\nQ:"], "a"],
      ["a Q", ["\n\nQ:"], "a Q"],
      ["xaba", ["abac"], "x"],
      ["xab", ["abac", "b!"], "x"],
      ["", ["a"], ""],
    ] as const
  ) assertEquals(settledPart(text, stop), settled, JSON.stringify(text));
});
