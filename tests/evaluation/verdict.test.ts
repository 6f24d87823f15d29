/** Verdicts: hand-computed corrections, and how often they claim something where there is nothing to claim. */
import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { clusterBootstrap, detectable, holm, rankP, verdict } from "../../engine/evaluation/verdict.ts";
import { seededRandom } from "../../engine/random.ts";

const templates = Array.from({ length: 240 }, (_, i) => String(i % 12));
const none = { controls: [], abilities: {}, templates, seed: 0 };
const right = (from: number, to: number) => templates.map((_, i) => i >= from && i < to);

Deno.test("Holm's correction is the hand-computed one", () => {
  const close = (ps: number[], expected: number[]) =>
    holm(ps).forEach((p, i) => assertAlmostEquals(p, expected[i]!, 1e-12));
  close([0.01, 0.04], [0.02, 0.04]);
  close([0.04, 0.01, 0.03], [0.06, 0.03, 0.06]);
  close([0.5, 0.9], [1, 1]);
  close([0.2], [0.2]);
});

Deno.test("ranks count the value among the draws", () => {
  assertEquals(rankP(5, [1, 2, 3]), 1 / 4);
  assertEquals(rankP(2, [1, 2, 3]), 3 / 4);
  assertEquals(rankP(1, Array(19).fill(0)), 0.05);
});

Deno.test("a bootstrap by cluster sees that all of a gain lies in one template", () => {
  const inOne = templates.map((template) => template === "0" ? 1 : 0);
  const everywhere = templates.map((_, i) => i < 24 ? 1 : 0);
  assertEquals(clusterBootstrap(inOne, templates, { seed: 1 })[0], 0);
  const [low, high] = clusterBootstrap(everywhere, templates, { seed: 1 });
  assertAlmostEquals(low, 0.1, 1e-9);
  assertAlmostEquals(high, 0.1, 1e-9);
});

Deno.test("power follows the items and the share of outcomes that change", () => {
  assertAlmostEquals(detectable(480, 0.13), 0.0461, 1e-3);
  assert(detectable(1920, 0.13) < detectable(480, 0.13));
});

Deno.test("a verdict claims a gain and a beaten control, and names a control that wins", () => {
  const base = right(0, 120), amplified = right(0, 180);
  const control = (name: string, family: string, correct: boolean[]) => ({ name, family, correct });
  const won = verdict({
    ...none,
    base,
    amplified,
    controls: [control("random", "random", base), control("random-2", "random", right(0, 125))],
    abilities: { same: { base: Array(2400).fill(true), amplified: Array(2400).fill(true) } },
  });
  assertEquals([won.gained, won.beaten, won.beaten_by, won.kept], [true, ["random"], [], ["same"]]);
  assertMatch(
    won.sentences.join("\n"),
    /gained \+25\.0 points.*\n.*beats control random.*19 draws are needed/,
  );

  const lost = verdict({
    ...none,
    base,
    amplified,
    controls: [control("unmasked", "unmasked", right(0, 240))],
  });
  assertEquals([lost.gained, lost.beaten, lost.beaten_by], [true, [], ["unmasked"]]);
  assertMatch(lost.sentences.join("\n"), /Control unmasked beats the circuit by 25\.0 points/);
});

Deno.test("one answer's difference is claimed by nobody, and few items prove no ability kept", () => {
  const base = right(0, 120);
  const { gained, beaten, beaten_by, kept, sentences } = verdict({
    ...none,
    base,
    amplified: right(0, 121),
    controls: [{ name: "random", family: "random", correct: right(0, 122) }],
    abilities: { fact: { base: Array(72).fill(true), amplified: Array(72).fill(true) } },
  });
  assertEquals([gained, beaten, beaten_by, kept], [false, [], [], []]);
  assertMatch(sentences.join("\n"), /No gain may be claimed: \+0\.4 points.*240 problems can see/);
  assertMatch(
    sentences.join("\n"),
    /may not be claimed that the circuit is better or worse than control random/,
  );
  assertMatch(sentences.join("\n"), /may not be claimed that fact kept within 0\.5 points/);
});

Deno.test("where labels are shuffled, the whole verdict claims anything in at most 5 % of 1,000 runs", () => {
  const random = seededRandom("shuffled labels");
  let claims = 0;
  for (let run = 0; run < 1000; run++) {
    // Every arm answers with the same chance, problem by problem: which outcome is whose is arbitrary.
    const difficulty = templates.map(() => random());
    const arm = () => difficulty.map((chance) => random() < chance);
    const controls = ["random", "random-2", "random-3", "unmasked"].map((name) => ({
      name,
      family: name.replace(/-\d+$/, ""),
      correct: arm(),
    }));
    const { gained, beaten, beaten_by } = verdict({ ...none, base: arm(), amplified: arm(), controls });
    if (gained || beaten.length > 0 || beaten_by.length > 0) claims++;
  }
  assert(claims <= 50, `${claims} of 1,000`);
});
