/** Splits of problems into parts to learn from, to choose by and to measure on. */
import { InputError } from "../errors.ts";
import { seededRandom, shuffled } from "../random.ts";
import { noTemplate, type Problem } from "./data.ts";

/** A partition of problems: updates learn from `train`, steps are chosen on `validation`, claims rest on `test`. */
export interface Split {
  /** Updates learn from these. */
  readonly train: Problem[];
  /** Steps and settings are chosen on these. */
  readonly validation: Problem[];
  /** Claims rest on these. */
  readonly test: Problem[];
}

/** Shares of train, validation and test. */
export type SplitFractions = readonly [train: number, validation: number, test: number];

/**
 * Splits each template's own instances, so that every part holds every template in the same proportion.
 * With the default shares, 100 instances become exactly 52, 8 and 40. Parts keep the order of `problems`; which
 * part a problem falls into depends only on the seed and its template's instances, not on their order or on
 * other templates. Shares are rounded by largest remainder, then each part gets at least one instance.
 * Problems that repeat a question go where its first instance goes, and do not count in the shares.
 * Templates with fewer than 3 instances cannot fill three parts: they are pooled and split as one template.
 *
 * @throws InputError if the fractions are negative or do not add up to 1.
 *
 * @example Train, validation and test
 * ```ts
 * import { loadProblems, splitProblems } from "../../mod.ts";
 *
 * const { train, validation, test } = splitProblems(await loadProblems("fixtures/tasks/math.jsonl"), 0);
 * console.log(train.length, validation.length, test.length); // 624 96 480
 * ```
 */
export function splitProblems(
  problems: readonly Problem[],
  seed: number,
  fractions: SplitFractions = [0.52, 0.08, 0.40],
): Split {
  const sum = fractions[0] + fractions[1] + fractions[2];
  if (!(Math.abs(sum - 1) < 1e-9) || fractions.some((fraction) => fraction < 0)) {
    throw new InputError(
      `Split fractions ${fractions.join(", ")} must not be negative and must add up to 1.`,
    );
  }
  const repeated = Map.groupBy(problems.toSorted(byTemplateAndInstance), questionKey);
  const unique = [...repeated.values()].map(([first]) => first!);
  const templates = Map.groupBy(unique, (problem) => problem.templateId);
  const groups = Map.groupBy(
    unique,
    ({ templateId }) => templates.get(templateId)!.length < 3 ? "small templates" : `template ${templateId}`,
  );
  const partOf = new Map<Problem, keyof Split>();
  for (const [name, group] of groups) {
    const [train, validation] = partSizes(group.length, fractions);
    const order = shuffled(group.toSorted(byTemplateAndInstance), seededRandom(`${seed}/split/${name}`));
    order.forEach((problem, index) => {
      const part = index < train ? "train" : index < train + validation ? "validation" : "test";
      for (const same of repeated.get(questionKey(problem))!) partOf.set(same, part);
    });
  }
  const part = (name: keyof Split) => problems.filter((problem) => partOf.get(problem) === name);
  return { train: part("train"), validation: part("validation"), test: part("test") };
}

/** How many of `count` items each part gets: largest remainder, then none left empty if `count` allows. */
function partSizes(count: number, fractions: SplitFractions): [number, number, number] {
  const exact = fractions.map((fraction) => fraction * count);
  const sizes = exact.map(Math.floor) as [number, number, number];
  const byRemainder = [0, 1, 2].toSorted((i, j) => (exact[j]! - sizes[j]!) - (exact[i]! - sizes[i]!));
  const left = count - sizes[0] - sizes[1] - sizes[2];
  for (const index of byRemainder.slice(0, left)) sizes[index]! += 1;
  if (count < 3) return sizes;
  for (const index of [0, 1, 2]) {
    if (sizes[index] !== 0 || fractions[index] === 0) continue;
    sizes[sizes.indexOf(Math.max(...sizes))]! -= 1;
    sizes[index] = 1;
  }
  return sizes;
}

/** How rows with the same question are told: white space and the way accents are encoded do not matter. */
const questionKey = ({ question }: Problem) => question.normalize("NFC").trim().replace(/\s+/g, " ");

/**
 * How many problems repeat the question of another one.
 *
 * @example Questions that stand twice
 * ```ts
 * import { countDuplicates, loadProblems } from "../../engine/evaluation/mod.ts";
 *
 * console.log(countDuplicates(await loadProblems("fixtures/tasks/math.jsonl"))); // 0
 * ```
 */
export function countDuplicates(problems: readonly Problem[]): number {
  return problems.length - new Set(problems.map(questionKey)).size;
}

/**
 * What a user should know of data before it is split, a sentence each.
 *
 * @example What to tell a user about data
 * ```ts
 * import { loadProblems, splitNotices } from "../../engine/evaluation/mod.ts";
 *
 * const file = "fixtures/tasks/math.jsonl";
 * console.log(splitNotices(await loadProblems(file), file)); // []
 * ```
 */
export function splitNotices(problems: readonly Problem[], file: string): string[] {
  const duplicates = countDuplicates(problems);
  const notices: string[] = [];
  if (duplicates > 0) {
    notices.push(
      `${duplicates} of ${problems.length} problems in ${file} repeat the question of another one; repetitions stay in one part of the split.`,
    );
  }
  if (problems.length > 1 && problems.every(({ templateId }) => templateId === noTemplate)) {
    notices.push(`${file} names no "original_id", so its ${problems.length} problems count as one template.`);
  }
  return notices;
}

function byTemplateAndInstance(a: Problem, b: Problem): number {
  const [x, y] = a.templateId === b.templateId ? [a.instanceId, b.instanceId] : [a.templateId, b.templateId];
  // By code unit and not by locale, which would make the split depend on the machine.
  return x < y ? -1 : x > y ? 1 : 0;
}
