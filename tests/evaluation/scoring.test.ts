import { assert, assertEquals } from "@std/assert";
import {
  cutAtStop,
  cutTrace,
  finalNumber,
  isCorrectNumber,
  isExactMatch,
} from "../../engine/evaluation/scoring.ts";

Deno.test("a trace ends with its first answer sentence", () => {
  assertEquals(cutTrace(" 2 + 3 = 5. The answer is 5. The answer is 7."), " 2 + 3 = 5. The answer is 5.");
  assertEquals(cutTrace("The answer is 5 because 2 + 3 = 5. Check."), "The answer is 5 because 2 + 3 = 5.");
  assertEquals(cutTrace("So the answer is\n(5). Next"), "So the answer is\n(5).");
});

Deno.test("a trace without an answer sentence, or with an open one, stays whole", () => {
  for (const text of ["", "2 + 3 = 5. So 5.", "The answer is 5", "The answer is", "THE ANSWER IS 5. Next"]) {
    assertEquals(cutTrace(text), text);
  }
});

Deno.test("a decimal point does not end the answer sentence", () => {
  assertEquals(cutTrace("The answer is 12.5. Next"), "The answer is 12.5.");
  assertEquals(cutTrace("The answer is $5.99.\nQ: 3 pens"), "The answer is $5.99.");
  assertEquals(cutTrace("The answer is 2.5 + 3.7 = 6.2. Let"), "The answer is 2.5 + 3.7 = 6.2.");
  assertEquals(cutTrace("The answer is .5. Next"), "The answer is .5.");
});

Deno.test("a forgotten period does not let the next question in", () => {
  assertEquals(cutTrace("The answer is 12\n\nQ: Tom has 3 pens."), "The answer is 12");
  assertEquals(cutTrace("The answer is:\n\n12\nQ: Tom has 3 pens."), "The answer is:\n\n12");
});

Deno.test("the reference's cut stops at the decimal point when asked for", () => {
  const referenceCompat = true;
  assertEquals(cutTrace("The answer is 12.5. Next", { referenceCompat }), "The answer is 12.");
  assertEquals(
    cutTrace("The answer is 5\n\nQ: 3 pens. A", { referenceCompat }),
    "The answer is 5\n\nQ: 3 pens.",
  );
  assert(isCorrectNumber("The answer is 1/2.", "#### 2", { referenceCompat }));
  assert(isCorrectNumber("The answer is 12.5.", "#### 12", { referenceCompat }));
  assert(!isCorrectNumber("The answer is 12.5.", "#### 12.5", { referenceCompat }));
});

Deno.test("the final number reads as people read it", () => {
  const cases: [string, number | undefined][] = [
    [" 18 + 14 = 32. The answer is 32.", 32],
    ["no digits here", undefined],
    ["", undefined],
    ["it costs $1,234,567.50.", 1234567.5],
    ["1,234", 1234],
    ["1, 2, 3", 3],
    ["1,2", undefined],
    ["12,3456", undefined],
    ["$.50", 0.5],
    ["70%", 70],
    ["007", 7],
    ["3... 4...", 4],
  ];
  for (const [text, expected] of cases) assertEquals(finalNumber(text), expected, text);
});

Deno.test("a minus is a sign only where nothing before it could be subtracted from", () => {
  const cases: [string, number][] = [
    ["- 5", -5],
    ["= \u2013 5", -5],
    ["-5", -5],
    ["= -5", -5],
    ["(-5)", -5],
    ["-$5", -5],
    ["$-5", -5],
    ["\u22125", -5],
    ["-1,000.5.", -1000.5],
    ["7 - 5", 5],
    ["7-5", 5],
    ["$7-$5", 5],
    ["(7)-5", 5],
    ["step-5", 5],
    ["-0", 0],
  ];
  for (const [text, expected] of cases) assertEquals(finalNumber(text), expected, text);
});

Deno.test("a number is right when it equals the gold number, rounding aside", () => {
  assert(isCorrectNumber(" 9 + 9 = 18. The answer is 18. So 20.", "9 + 9 = 18.\n#### 18"));
  assert(isCorrectNumber("The answer is $1,200.00.", "#### 1200"));
  assert(isCorrectNumber("The answer is 0.3333333.", "#### 0.33333333"));
  assert(!isCorrectNumber("The answer is 0.33.", "#### 0.33333333"));
  assert(!isCorrectNumber("The answer is 10000001.", "#### 10000000"));
  assert(!isCorrectNumber("The answer is unknown.", "#### 0"));
  assert(!isCorrectNumber("The answer is 5.", "green"));
});

Deno.test("exact match ignores case, white space and a final period", () => {
  assert(isExactMatch(" pens.", "pens"));
  assert(isExactMatch(" beads  Mia\ncoins .", "Beads Mia coins"));
  assert(!isExactMatch(" pens and cups.", "pens"));
  assert(!isExactMatch("", "pens"));
});

Deno.test("a worked solution matches exactly by what its answer sentence states", () => {
  assert(isExactMatch(" Third comes after cups. The answer is Pens.", "pens"));
  assert(isExactMatch("So the answer is: U.S. Grant.\nNext", "U.S. Grant"));
  assert(!isExactMatch("The answer is pens and cups.", "pens"));
  assert(!isExactMatch("Not pens. The answer is cups.", "pens"));
});

Deno.test("a stop text cuts at the first place where one of them stands", () => {
  assertEquals(cutAtStop("5.\n\nQ: 3 pens", ["\n\nQ:"]), "5.");
  assertEquals(cutAtStop("a b c b", ["c", "b"]), "a ");
  assertEquals(cutAtStop("a b", ["x"]), "a b");
  assertEquals(cutAtStop("a b"), "a b");
});
