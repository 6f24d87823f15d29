/** Rounds of an update: fresh problems, traced by the model as it is, and the pivotal tokens they give. */
import type { LocalizationExample } from "../circuit/localization.ts";
import type { Problem } from "../evaluation/data.ts";
import type { CompletionJournal } from "../model/generate.ts";
import { within } from "./journal.ts";
import { promptPrefix } from "../evaluation/prompt.ts";
import { arePuzzles, freshPuzzles } from "../evaluation/puzzles/fresh.ts";
import { sampleFolder } from "../evaluation/templates/folder.ts";
import { seededRandom, shuffled } from "../random.ts";
import type { Progress } from "../progress.ts";
import { promptOptions } from "./prompt_settings.ts";
import type { RunContext } from "./run_context.ts";
import { traceProblems } from "./tracing.ts";

/**
 * Pivotal tokens of a round's problems, the same problems for every arm, traced by the model as it is. `name` is the arm,
 * for progress and events; `journal` that of its update.
 */
export async function roundExamples(
  context: RunContext,
  name: string,
  round: number,
  journal: CompletionJournal,
): Promise<LocalizationExample[]> {
  const { model, settings, folder, scoring, progress } = context;
  const problems = await roundProblems(context, round);
  using sharedPrefix = promptPrefix(model, promptOptions(settings));
  const seed = Math.floor(seededRandom(`${settings.seed}/round ${round} samples`)() * 2 ** 32);
  const { update: { steps }, rounds: { stepsPerRound } } = settings;
  const report: Progress = (stage, done, total) =>
    progress(name, (round - 1) * stepsPerRound, steps, `round ${round}: ${stage}, ${done} of ${total}`);
  const { traces, pivots: { examples } } = await traceProblems(
    { model, settings, scoring, progress: report },
    problems,
    { sharedPrefix, seed, journal: within(journal, `round ${round}`) },
  );
  await folder.event("round", {
    arm: name,
    round,
    problems: problems.length,
    correct: traces.filter((trace) => trace.greedy.correct).length,
    examples: examples.length,
  });
  return examples;
}

/** The problems of a round: fresh ones, or training problems where neither templates nor the rules of puzzles make any. */
export async function roundProblems(
  { settings, split }: Pick<RunContext, "settings" | "split">,
  round: number,
): Promise<Problem[]> {
  const { templates, problems } = settings.rounds;
  if (templates !== undefined) return await freshProblems(settings, split, `round ${round}`, problems);
  const puzzles = roundPuzzles(settings.seed, split, round, problems);
  if (puzzles.length > 0) return puzzles;
  return shuffled(split.train, seededRandom(`${settings.seed}/round ${round} problems`)).slice(0, problems);
}

/** Fresh puzzles of the training part's kinds; none where not all of it is puzzles as we word them, or no others are left. */
export function roundPuzzles(
  seed: number,
  split: RunContext["split"],
  round: number,
  count: number,
): Problem[] {
  if (!arePuzzles(split.train)) return [];
  return freshPuzzles(split.train, Object.values(split).flat(), { count, name: `round ${round}`, seed });
}

/**
 * Problems sampled from the settings' templates, none of which the data file has. Equal names and seeds give equal problems. A template
 * without as many instances is left out, and fewer problems than asked for come of narrow ones: both is told to `notice`.
 */
export async function freshProblems(
  { seed, rounds: { templates } }: Pick<RunContext["settings"], "seed" | "rounds">,
  split: RunContext["split"],
  name: string,
  count: number,
  notice?: (sentence: string) => void,
): Promise<Problem[]> {
  const known = new Set(Object.values(split).flat().map(({ question }: Problem) => question.trim()));
  const sample = (instances: number, notice?: (sentence: string) => void) =>
    sampleFolder(templates!, { instances, seed: `${seed}/${name}`, ...(notice && { notice }) });
  const kinds = new Set((await sample(1)).map(templateOf)).size;
  // Half as many again, since some are problems of the data file.
  const sampled = (await sample(Math.ceil(1.5 * count / kinds), notice))
    .filter(({ question }) => !known.has(question.trim()));
  if (sampled.length < count) {
    notice?.(
      `The templates in "${templates}" make ${sampled.length} fresh problems for ${name}, not ${count}.`,
    );
  }
  return shuffled(sampled, seededRandom(`${seed}/${name} problems`)).slice(0, count).map((row, id) => ({
    id,
    question: row.question,
    answer: row.answer,
    templateId: templateOf(row),
    instanceId: `${name}, ${row.instance}`,
  }));
}

const templateOf = ({ original_id }: { readonly original_id: number | string }) => String(original_id);
