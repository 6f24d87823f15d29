/**
 * River Crossing: n actors, each with an agent of their own, cross a river in a boat. On neither bank nor in the boat may an actor be
 * with another's agent while the own one is absent. The boat holds two up to three pairs and three from four on, as in the paper;
 * from six pairs on there is no plan then (arXiv 2506.09250), which the search shows.
 *
 *     Puzzle: River Crossing. Actor a1 and agent A1, actor a2 and agent A2 are on the left bank of a river, with a boat that holds
 *     at most 2 and is never empty when it crosses. On no bank and not in the boat may an actor be together with the agent of
 *     another unless the actor's own agent, who has the same number, is there too. Bring all to the right bank. Write the plan as
 *     a list of crossings, left to right first and then by turns, each the list of those in the boat, [[person, person], [person],
 *     ...].
 *     Plan: [[a1, a2], [a1], [A1, A2], [a2], [a1, a2]]
 */
import { z } from "npm:zod@4.6.7";
import { numbers } from "./names.ts";
import { Illegal, type Puzzle } from "./puzzle.ts";

/** The numbers of the pairs, and how many the boat holds. */
const crossing = z.object({
  size: z.int().min(1),
  pairs: z.array(z.int().min(0)).refine(
    (pairs) => new Set(pairs).size === pairs.length,
    "names a pair twice",
  ),
  boat: z.int().min(1),
}).refine(({ size, pairs }) => pairs.length === size, {
  path: ["pairs"],
  error: "are not as many as the size",
});
type Crossing = z.infer<typeof crossing>;

/** Who is on the left bank; everyone else is on the right. */
interface Banks {
  readonly left: ReadonlySet<string>;
  readonly boatLeft: boolean;
}

/** See file comment. */
export const river: Puzzle<Crossing, Banks> = {
  name: "river",
  title: "River Crossing",
  dial: "pairs",
  besides: ({ boat }) => ` and a boat of ${boat}`,
  smallest: 1,
  largest: 10,
  instances: crossing,
  example: { size: 2, pairs: [1, 2], boat: 2 },
  draw: (size, random) => ({ size, pairs: numbers(size, 99, random), boat: size <= 3 ? 2 : 3 }),
  text: ({ pairs, boat }) =>
    `Puzzle: River Crossing. ${
      pairs.map((pair) => `${pair === pairs[0] ? "A" : "a"}ctor a${pair} and agent A${pair}`).join(", ")
    } are on the left bank of a river, with a boat that holds at most ${boat} and is never empty when it crosses. On no bank and ` +
    `not in the boat may an actor be together with the agent of another unless the actor's own agent, who has the same number, is ` +
    `there too. Bring all to the right bank. Write the plan as a list of crossings, left to right first and then by turns, each the ` +
    `list of those in the boat, [[person, person], [person], ...].\nPlan:`,
  start: ({ pairs }) => ({
    left: new Set(pairs.flatMap((pair) => [`a${pair}`, `A${pair}`])),
    boatLeft: true,
  }),
  solved: ({ left }) => left.size === 0,
  play({ left, boatLeft }, move, { pairs, boat }) {
    const side = boatLeft ? "left" : "right";
    const aboard = new Set(move);
    if (aboard.size === 0) return new Illegal("the boat is empty");
    if (aboard.size < move.length) return new Illegal("someone is in the boat twice");
    if (aboard.size > boat) return new Illegal(`the boat holds ${boat}, not ${aboard.size}`);
    for (const person of aboard) {
      if (!pairs.some((pair) => `a${pair}` === person || `A${pair}` === person)) {
        return new Illegal(`there is no ${person}`);
      }
      if (left.has(person) !== boatLeft) return new Illegal(`${person} is not on the ${side} bank`);
    }
    const after = boatLeft ? left.difference(aboard) : left.union(aboard);
    const right = new Set(pairs.flatMap((pair) => [`a${pair}`, `A${pair}`])).difference(after);
    const places = [["in the boat", aboard], ["on the left bank", after], [
      "on the right bank",
      right,
    ]] as const;
    for (const [place, people] of places) {
      const alone = unprotected(people, pairs);
      if (alone !== undefined) return new Illegal(`${place} actor a${alone} is with another's agent only`);
    }
    return { left: after, boatLeft: !boatLeft };
  },
  moves({ left, boatLeft }, { pairs, boat }) {
    const here = pairs.flatMap((pair) => [`A${pair}`, `a${pair}`]).filter((one) =>
      left.has(one) === boatLeft
    );
    return groups(here, boat);
  },
  // Pairs are alike, so that only how many are where counts.
  key({ left, boatLeft }, { pairs }) {
    const kinds = pairs.map((pair) => Number(left.has(`a${pair}`)) + 2 * Number(left.has(`A${pair}`)));
    return `${kinds.sort().join("")}${boatLeft ? "<" : ">"}`;
  },
};

/** The pair of an actor who is with agents, but not the own one. */
function unprotected(people: ReadonlySet<string>, pairs: readonly number[]): number | undefined {
  if (!pairs.some((pair) => people.has(`A${pair}`))) return undefined;
  return pairs.find((pair) => people.has(`a${pair}`) && !people.has(`A${pair}`));
}

/** All groups of one to `most`. */
function groups(people: readonly string[], most: number): string[][] {
  if (most === 0) return [];
  return people.flatMap((first, i) => [
    [first],
    ...groups(people.slice(i + 1), most - 1).map((others) => [first, ...others]),
  ]);
}
