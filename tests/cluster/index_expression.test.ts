/** Indices as job arrays write them. */
import { assertEquals } from "@std/assert";
import { arrayOption, indexExpression } from "../../engine/cluster/index_expression.ts";

Deno.test("indices are written as ranges, and a scheduler reads the same indices back", () => {
  assertEquals(indexExpression([0]), "0");
  assertEquals(indexExpression([0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
  assertEquals(arrayOption([3, 4, 9]), "--array=3-4,9");
  for (let bits = 1; bits < 512; bits++) {
    const indices = Array.from({ length: 9 }, (_, i) => i).filter((i) => bits & 2 ** i);
    const read = indexExpression(indices).split(",").flatMap((range) => {
      const [first, last = first] = range.split("-").map(Number);
      return Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);
    });
    assertEquals(read, indices);
  }
});
