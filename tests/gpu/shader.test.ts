/** Shader templates: directives, substitution, and clear errors for mistakes in them. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { expandShader, type ShaderValues } from "../../engine/gpu/shader.ts";

/** Expands the lines and gives back what is left of them, without empty ones. */
function expand(lines: readonly string[], values: ShaderValues = {}): string[] {
  return expandShader("test", lines.join("\n"), values).split("\n").map((line) => line.trim()).filter(
    Boolean,
  );
}

Deno.test("names are replaced by their values, wherever they stand in code", () => {
  assertEquals(expand(["a[$N + $N2] = $kind$N;"], { N: 3, N2: 4, kind: "vec" }), ["a[3 + 4] = vec3;"]);
  assertEquals(expand(["sum$i_$j"], { i: 1, j: 2 }), ["sum1_2"]);
});

Deno.test("comments may name what has no value, for they are left out", () => {
  assertEquals(expand(["x = 1; // $NOWHERE"]), ["x = 1;"]);
  assertEquals(expand(["// $NOWHERE else"]), []);
});

Deno.test("if keeps its lines when the value holds, else the others", () => {
  const lines = ["//: if WIDE", "wide", "//: else", "narrow", "//: end", "after"];
  assertEquals(expand(lines, { WIDE: true }), ["wide", "after"]);
  assertEquals(expand(lines, { WIDE: false }), ["narrow", "after"]);
  assertEquals(expand(lines, { WIDE: 0 }), ["narrow", "after"]);
});

Deno.test("if ! turns the condition round, and if == compares with a word", () => {
  const negated = ["//: if !WIDE", "narrow", "//: end"];
  assertEquals(expand(negated, { WIDE: true }), []);
  assertEquals(expand(negated, { WIDE: false }), ["narrow"]);
  const compared = ["//: if TYPE == f16", "half", "//: else", "other", "//: end"];
  assertEquals(expand(compared, { TYPE: "f16" }), ["half"]);
  assertEquals(expand(compared, { TYPE: "bf16" }), ["other"]);
  assertEquals(expand(["//: if N == 4", "four", "//: end"], { N: 4 }), ["four"]);
});

Deno.test("nested blocks belong to the innermost if", () => {
  const lines = [
    "//: if A",
    "//: if B",
    "both",
    "//: else",
    "a only",
    "//: end",
    "//: else",
    "//: if B",
    "b only",
    "//: end",
    "neither or b",
    "//: end",
  ];
  assertEquals(expand(lines, { A: true, B: true }), ["both"]);
  assertEquals(expand(lines, { A: true, B: false }), ["a only"]);
  assertEquals(expand(lines, { A: false, B: true }), ["b only", "neither or b"]);
  assertEquals(expand(lines, { A: false, B: false }), ["neither or b"]);
});

Deno.test("for repeats its lines, nested and with bounds that are names", () => {
  const lines = ["//: for i in 0..ROWS", "r$i", "//: for j in 1..3", "c$i_$j", "//: end", "//: end", "after"];
  assertEquals(expand(lines, { ROWS: 2 }), ["r0", "c0_1", "c0_2", "r1", "c1_1", "c1_2", "after"]);
  assertEquals(expand(lines, { ROWS: 0 }), ["after"]);
});

Deno.test("if works inside for, and for inside if", () => {
  const inner = ["//: for i in 0..3", "//: if i == 1", "one", "//: else", "not $i", "//: end", "//: end"];
  assertEquals(expand(inner), ["not 0", "one", "not 2"]);
  const outer = ["//: if A", "//: for i in 0..2", "x$i", "//: end", "//: else", "none", "//: end"];
  assertEquals(expand(outer, { A: true }), ["x0", "x1"]);
  assertEquals(expand(outer, { A: false }), ["none"]);
});

Deno.test("line numbers stay those of the template outside its blocks", () => {
  assertEquals(expandShader("test", "a\n\n$B", { B: "b" }).split("\n"), ["a", "", "b"]);
});

Deno.test("an unknown name throws and says where, in code, conditions and bounds", () => {
  const inCode = assertThrows(() => expand(["fine", "x = $MISSING;"]), Error, "MISSING");
  assertStringIncludes(inCode.message, "Shader test: line 2");
  assertThrows(() => expand(["//: if MISSING", "x", "//: end"]), Error, "line 1 uses MISSING");
  assertThrows(() => expand(["//: if MISSING == 1", "x", "//: end"]), Error, "line 1 uses MISSING");
  assertThrows(() => expand(["//: for i in 0..MISSING", "x", "//: end"]), Error, "line 1 uses MISSING");
  assertThrows(() => expand(["//: for i in 0..2", "x", "//: end", "$i"]), Error, "line 4 uses i");
});

Deno.test("blocks that are not closed or never opened throw, and so does an unknown directive", () => {
  assertThrows(() => expand(["a", "//: if A", "b"], { A: true }), Error, "block of line 2 is never closed");
  assertThrows(() => expand(["//: for i in 0..2", "b"]), Error, "block of line 1 is never closed");
  assertThrows(() => expand(["a", "//: end"]), Error, "line 2 closes a block that was never opened");
  assertThrows(() => expand(["//: unless A"], { A: true }), Error, 'unknown directive "unless A"');
});
