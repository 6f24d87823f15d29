/** Python's generator: figures that CPython gives. */
import { assertEquals, assertThrows } from "@std/assert";
import { PythonRandom } from "../../../engine/evaluation/harness/python_random.ts";

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);

Deno.test("few-shot examples of GSM8K's first rows are those that Python draws", () => {
  const random = new PythonRandom(1234);
  const rows = upTo(7473);
  assertEquals(random.sample(rows, 5), [6374, 3610, 957, 61, 742]);
  assertEquals(random.sample(rows, 5), [7462, 6610, 4769, 286, 5501]);
});

Deno.test("samples of few and of many hold each item once, and more than there are is an error", () => {
  for (const [n, count] of [[5, 5], [21, 3], [22, 3], [100, 40], [1000, 6], [1, 1]] as const) {
    const drawn = new PythonRandom(7).sample(upTo(n), count);
    assertEquals(new Set(drawn).size, count);
    assertEquals(drawn.every((i) => i >= 0 && i < n), true);
    assertEquals(drawn, new PythonRandom(7).sample(upTo(n), count));
  }
  assertThrows(() => new PythonRandom(7).sample([1], 2), RangeError);
});
