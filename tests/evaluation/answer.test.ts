import { assertEquals } from "@std/assert";
import { referenceNumber, statedNumber } from "../../engine/evaluation/answer.ts";
import { toDouble } from "../../engine/evaluation/number.ts";
import { cutTrace, isCorrectNumber, isExactMatch } from "../../engine/evaluation/scoring.ts";

const reference = (answer: string) => {
  const read = referenceNumber(answer);
  return "value" in read ? toDouble(read.value) : read.fault;
};
const stated = (completion: string) => {
  const read = statedNumber(completion);
  return read && toDouble(read);
};

Deno.test("a reference answer is one number, or it says why it is none", () => {
  const cases: [string, number | "none" | "several" | "unreadable"][] = [
    ["2 + 3 = <<2+3=5>>5.\n#### 5", 5],
    ["#### 1,200", 1200],
    ["#### 1/2", 0.5],
    ["#### 18 dollars", 18],
    ["#### x = 7", 7],
    ["####\n7", 7],
    ["#### 3\nchecked on day 4", 3],
    ["5", 5],
    ["1e-7", 1e-7],
    ["9 (apples)", 9],
    ["Tom has 3 + 4 = 7 pens", 7],
    ["It is \\boxed{\\frac{3}{4}} of 8.", 0.75],
    ["First 3, then 4. The answer is 12.", 12],
    ["4 then 9", "several"],
    ["#### 5 or 6", "several"],
    ["#### 3 hours 20 minutes", "several"],
    ["#### 12,5", "unreadable"],
    ["#### 3:30", "unreadable"],
    ["#### \\sqrt{2}", "unreadable"],
    ["2 + 3 #### none", "none"],
    ["green", "none"],
  ];
  for (const [answer, expected] of cases) assertEquals(reference(answer), expected, answer);
});

Deno.test("a completion states the number of its first statement, else its last box, else its last number", () => {
  const cases: [string, number | undefined][] = [
    [" 2 + 5 = 7.\n#### 7\n\nQ: Tom has 9 pens.\nA: 9\n#### 9", 7],
    ["#### 7 and so on, 8", 7],
    ["The answer is 7. But what if 8? The answer is 8.", 7],
    ["the answer is 2.5 + 3.7 = 6.2.", 6.2],
    ["the answer is 15 gallons * 8 pints / gallon = 120 pints.", 120],
    ["The answer is 5 because 2 + 3 = 5.", 5],
    ["The answer is 12 apples for 3 days.", 12],
    ["The answer is that Tom has 3 bags of 12 cups, so 36.", 36],
    ["The answer is not clear. 3 + 4 = 7. The answer is 7.", 7],
    ["The final answer is: $\\boxed{\\frac{1}{2}}$", 0.5],
    ["THE ANSWER IS 7", 7],
    ["**Final Answer:** 7\n\nCheck: 3 + 5 = 8", 7],
    ["Answer: 3 + 4, which is 7, or with 2 more 9", 9],
    ["<answer>7</answer> 8", 7],
    ["So \\boxed{3} and \\boxed{9{,}500}. Done at 5.", 9500],
    ["\\boxed{5, 7}", undefined],
    ["3 + 4 = 7\n\nQuestion: Ann has 12 pens.", 7],
    ["3 + 4 = 7\n\nProblem 2. Ann has 12 pens.", 7],
    ["Question: 12", 12],
    ["so 12,5", undefined],
    ["The answer is 64 24.", undefined],
    ["3 + 5 = 8. The answer is x8.", undefined],
    ["none", undefined],
    ["", undefined],
  ];
  for (const [completion, expected] of cases) assertEquals(stated(completion), expected, completion);
});

Deno.test("thinking is no part of the answer", () => {
  const right = (completion: string, options = {}) => isCorrectNumber(completion, "#### 7", options);
  const cases: [string, boolean][] = [
    ["<think>The answer is 9.</think>\nIt is 7.", true],
    ["<think>It is 7.</think>\nThe answer is 9.", false],
    ["It is 9, no, 7.</think> So 7", true],
    ["<think>It is 7.", false],
    ["7 <think> or 9", true],
    ["[THINK]9[/THINK] 7", true],
    ["<think>9</think> or <think>8</think> 7", true],
  ];
  for (const [completion, expected] of cases) assertEquals(right(completion), expected, completion);
  assertEquals(right("so it is 7", { beginsThinking: true }), false);
  assertEquals(right("it is 9</think> 7", { beginsThinking: true }), true);
  assertEquals(right("<w>9</w> 7 <w>", { thinkingTags: ["<w> </w>"] }), true);
  assertEquals(isExactMatch("<think>cups?</think> pens.", "pens"), true);
});

Deno.test("a trace is not cut inside of thinking, but after the statement that follows", () => {
  const thinking = "<think>The answer is 9. The answer is 8.</think>";
  assertEquals(cutTrace(`${thinking} The answer is 7. Next`), `${thinking} The answer is 7.`);
  assertEquals(
    cutTrace("<think>The answer is 9. The answer is 8."),
    "<think>The answer is 9. The answer is 8.",
  );
  assertEquals(cutTrace("The answer is 9. So 8", { beginsThinking: true }), "The answer is 9. So 8");
  assertEquals(cutTrace("3 + 4\n#### 7\n\nQ: Tom"), "3 + 4\n#### 7");
  assertEquals(cutTrace("3 + 4\n#### 7"), "3 + 4\n#### 7");
});
