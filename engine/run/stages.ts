/** The stages of a run, each reading what earlier ones left in the run folder and leaving its own results there. */
import { countSelected, type Selection } from "../circuit/components.ts";
import type { CompletionJournal } from "../model/generate.ts";
import { updateArm } from "./arm_update.ts";
import { Fusion } from "../patch/fusion.ts";
import type { LocalizationExample } from "../circuit/localization.ts";
import { applyPatch, extractPatch, type Patch, readPatch, writePatch } from "../patch/patch.ts";
import { describePivots, pivotProbabilities } from "../circuit/pivot_tokens.ts";
import type { ProblemTraces } from "../circuit/traces.ts";
import { InputError } from "../errors.ts";
import { CustomScorer } from "../evaluation/custom_scorer.ts";
import type { Scoring } from "../evaluation/scorers.ts";
import { shotsNotices } from "../evaluation/shots.ts";
import { type Split, splitNotices, splitProblems } from "../evaluation/split.ts";
import { promptPrefix } from "../evaluation/prompt.ts";
import { evaluateTask, type Task } from "../evaluation/tasks.ts";
import { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { SharedPrefix } from "../model/shared_prefix.ts";
import { controlSelection, controlsOf } from "./controls.ts";
import { within } from "./journal.ts";
import { loadAbilities, loadMainTask, type MainTask } from "./load_tasks.ts";
import { freshProblems, roundPuzzles } from "./rounds.ts";
import { openJournal, type RunContext, timed } from "./run_context.ts";
import { promptOptions } from "./prompt_settings.ts";
import {
  type EvaluationRecord,
  evaluationsSchema,
  localizationSchema,
  type UpdateRecord,
  updateSchema,
} from "./records.ts";
import { type Circuit, findCircuit } from "./selection_stage.ts";
import type { ListedName } from "./manifest.ts";
import type { RunFolder } from "./run_folder.ts";
import type { PromptSettings } from "./settings/prompt.ts";
import type { RunSettings } from "./settings/run.ts";
import { traceProblems } from "./tracing.ts";
import { removeTrainingStates } from "./training_state.ts";

/** Loads and checks all data of a run: the main task's split, how it is judged and asked, and the other abilities. */
export async function loadData(
  settings: RunSettings,
  notice?: (sentence: string) => void,
): Promise<{ split: Split; scoring: Scoring; prompt: PromptSettings; abilities: Task[] }> {
  const { file } = settings.data;
  const main = await loadMainTask(settings.data, settings.prompt, notice);
  const { problems, scoring, prompt } = main;
  const said = [...splitNotices(problems, file), ...shotsNotices(problems, prompt.shots)];
  said.forEach((sentence) => notice?.(sentence));
  const split = splitProblems(problems, settings.seed);
  for (const part of ["train", "validation", "test"] as const) {
    if (split[part].length === 0) {
      throw new InputError(
        `${file} has too few problems (${problems.length}) for its ${part} part; add more.`,
      );
    }
  }
  const abilities = await loadAbilities(
    settings.evaluation.abilities,
    { general: settings.prompt, main: prompt },
    notice,
  );
  const { limit } = settings.traces;
  const used = { ...split, train: limit ? split.train.slice(0, limit) : split.train };
  const { count, templates, validation } = settings.rounds;
  if (templates !== undefined && (count > 1 || validation > 0)) requireFitForTemplates(main);
  const puzzlesAlone = count > 1 && templates === undefined && used.train.some(({ puzzle }) => puzzle);
  if (puzzlesAlone && roundPuzzles(settings.seed, used, 2, 1).length === 0) {
    notice?.(
      `Rounds trace training problems again, as ${file} is not all puzzles in the words of the command data, or has every instance.`,
    );
  }
  // Templates that cannot be sampled are found before anything is computed.
  const told = new Set<string>();
  const tell = (sentence: string) => told.has(sentence) || (told.add(sentence), notice?.(sentence));
  if (count > 1 && templates !== undefined) {
    await freshProblems(settings, used, "round 2", settings.rounds.problems, tell);
  }
  const fresh = validation > 0 && await freshProblems(settings, used, "validation", validation, tell);
  return { split: fresh ? { ...used, validation: fresh } : used, scoring, prompt, abilities };
}

/** Fresh problems are asked and judged as the main task's are. */
function requireFitForTemplates({ scoring, ownPrompt }: MainTask) {
  const byNumber = scoring === "number" || scoring instanceof CustomScorer;
  if (byNumber && !ownPrompt) return;
  const why = byNumber
    ? "are not asked with the prompt of a task file"
    : "have numbers for answers, which this scorer does not judge";
  throw new InputError(
    `Problems from templates ${why}; use data of your own without templates.`,
    "data",
    "templates",
  );
}

/** Stages 1 and 2 on the unchanged model: what prompts begin with is computed once for both. */
export async function localize(
  context: RunContext,
): Promise<{ examples: LocalizationExample[]; circuit: Circuit }> {
  using sharedPrefix = promptPrefix(context.model, promptOptions(context.settings));
  const examples = await identify(context, sharedPrefix);
  return { examples, circuit: await findCircuit(context, examples, sharedPrefix) };
}

/** Stage 1: traces and localization examples. Leaves traces.jsonl and localization.json. */
async function identify(context: RunContext, sharedPrefix: SharedPrefix): Promise<LocalizationExample[]> {
  const { settings, folder, split } = context;
  const stored = await folder.read("localization.json", localizationSchema);
  if (stored) {
    await writePivots(context, stored);
    return stored;
  }
  return await timed(context, "identify", async () => {
    using journal = await openJournal(context, "identify");
    const { traces, pivots } = await traceProblems(
      context,
      split.train,
      { sharedPrefix, journal, seed: settings.seed },
      (traces) => folder.writeLines("traces.jsonl", traces.flatMap(traceRows)),
    );
    await folder.event("pivots", {
      method: settings.traces.pivot,
      problems: traces.length,
      examples: pivots.examples.length,
      from_wrong_greedy_traces: pivots.examples.filter(({ greedy_correct }) => !greedy_correct).length,
      forward_tokens: pivots.forwardTokens,
      forward_tokens_one_generation_per_position: pivots.forwardTokensPerPosition,
    });
    if (pivots.examples.length === 0) {
      throw new InputError(
        `No problem gave both a right and a wrong trace, so there is nothing to localize; use more or harder problems, or more samples.`,
        "samples",
      );
    }
    await folder.writeJson("localization.json", pivots.examples);
    await writePivots(context, pivots.examples);
    await journal.remove();
    return pivots.examples;
  });
}

/** Leaves pivots.jsonl: localization.json for people. */
async function writePivots({ model, folder }: RunContext, examples: readonly LocalizationExample[]) {
  if (await folder.has("pivots.jsonl")) return;
  await folder.writeLines("pivots.jsonl", await describePivots(model, examples));
}

function traceRows({ problem, greedy, contrast }: ProblemTraces) {
  const common = {
    template_id: problem.templateId,
    instance_id: problem.instanceId,
    question: problem.question,
  };
  const rows: Record<string, unknown>[] = [
    { ...common, kind: "greedy", correct: greedy.correct, text: greedy.text, ids: greedy.ids },
  ];
  if (contrast) {
    const { sample, temperature, correct, text, ids } = contrast;
    rows.push({ ...common, kind: "sample", sample, temperature, correct, text, ids });
  }
  return rows;
}

/**
 * Stage 3: the update. Leaves update.json and, when a step beat step 0, patch.safetensors and patch.json.
 * The model carries the amplified rows afterwards.
 */
export async function updateCircuit(
  context: RunContext,
  selection: Selection,
  examples: readonly LocalizationExample[],
): Promise<UpdateRecord> {
  const { model, settings, folder } = context;
  const stored = await folder.read("update.json", updateSchema);
  if (stored) {
    model.revert();
    if (stored.best_step > 0) await applyPatch(model, await storedPatch(folder));
    return stored;
  }
  return await timed(context, "update", async () => {
    using journal = await openJournal(context, "update");
    const result = await updateArm(context, { name: "update", selection, examples, journal });
    if (result.values) {
      const patch = await extractPatch(model);
      const card = {
        model: settings.model.source,
        ...(model.commit !== undefined && { commit: model.commit }),
        objective: settings.update.objective,
        optimizer: settings.update.optimizer,
        rate: result.rate,
        step: result.bestStep,
        components: countSelected(model.config, selection),
      };
      await folder.putAll(["patch.safetensors", "patch.json"], (path) => writePatch(path, patch, card));
    }
    const record = {
      best_step: result.bestStep,
      trainable: result.trainable,
      history: result.history,
      tries: result.tries,
    } satisfies UpdateRecord;
    await folder.writeJson("update.json", record);
    await journal.remove();
    await removeTrainingStates(folder.path);
    return record;
  });
}

/** The patch that the update left. */
async function storedPatch(folder: RunFolder): Promise<Patch> {
  const path = await folder.intact("patch.safetensors");
  if (path === undefined) throw new InputError(`"${folder.path}" holds no patch; start over.`, "fresh");
  return await readPatch(path);
}

/** Norm of all that a patch changes. */
function patchNorm({ tensors }: Patch): number {
  let squares = 0;
  for (const { delta } of tensors) for (const value of delta) squares += value * value;
  return Math.sqrt(squares);
}

/** Evaluates the model as it is on the test split and the other abilities; what is `kept` of it is for people to look at. */
async function evaluateModel(
  context: RunContext,
  name: string,
  journal: CompletionJournal,
  abilities: readonly Task[] = context.abilities,
  kept: { readonly answers?: ListedName; readonly pivots?: readonly LocalizationExample[] } = {},
): Promise<EvaluationRecord> {
  const { model, settings, split, scoring, progress, folder } = context;
  const test: Task = { name: "test", problems: split.test, scoring };
  const update_norm = patchNorm(await extractPatch(model)); // before the prefix, which it would outdate
  const pivots = kept.pivots && await pivotProbabilities(model, kept.pivots);
  using sharedPrefix = promptPrefix(model, promptOptions(settings));
  const options = { ...promptOptions(settings), sharedPrefix };
  const report = (task: string) => (done: number, total: number) =>
    progress(`evaluate ${name}: ${task}`, done, total);
  const result = await evaluateTask(
    model,
    test,
    { ...options, journal: within(journal, name) },
    report("test"),
  );
  const other_abilities: Record<string, number> = {};
  const correct_abilities: Record<string, readonly boolean[]> = {};
  for (const task of abilities) {
    const own = { ...options, journal: within(journal, `${name}/ability`) };
    const { accuracy, correct } = await evaluateTask(model, task, own, report(task.name));
    other_abilities[task.name] = accuracy;
    correct_abilities[task.name] = correct;
  }
  const { accuracy, perTemplate: per_template, correct, completions } = result;
  if (kept.answers) {
    await folder.writeLines(
      kept.answers,
      split.test.map(({ templateId, instanceId, question, answer }, i) => ({
        template_id: templateId,
        instance_id: instanceId,
        question,
        answer,
        completion: completions[i],
        correct: correct[i],
      })),
    );
  }
  const record = { accuracy, per_template, correct, other_abilities, correct_abilities, update_norm };
  return pivots ? { ...record, pivots } : record;
}

/**
 * The test split as a checkpoint of the model's own 16-bit type would answer it after patch fuse, rounded to nearest.
 * Undefined where the patch changes no 16-bit matrix, or where a value would not fit its type.
 */
async function evaluateFused(
  context: RunContext,
  journal: CompletionJournal,
): Promise<EvaluationRecord | undefined> {
  const { model, folder } = context;
  const patch = await storedPatch(folder);
  using checkpoint = await Checkpoint.open(model.directory);
  const fusion = new Fusion(checkpoint, patch);
  if (!fusion.rounds) return;
  try {
    await applyPatch(model, patch, fusion.rows);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    await folder.event("not fused", { reason: error.message });
    return;
  }
  const { dtype, survives } = fusion;
  return { ...await evaluateModel(context, "fused", journal, []), fusion: { dtype, survives } };
}

/** Stage 4: base, amplified, fused and controls. Leaves evaluations.json; the model is as it was afterwards. */
export async function evaluateAll(
  context: RunContext,
  { selection, energies }: Circuit,
  examples: readonly LocalizationExample[],
  updated: UpdateRecord,
): Promise<Record<string, EvaluationRecord>> {
  const { model, settings, folder } = context;
  const records = await folder.read("evaluations.json", evaluationsSchema) ?? {};
  using journal = await openJournal(context, "evaluations");
  const evaluate = async (name: string, prepare: () => Promise<number | undefined>) => {
    if (records[name]) return;
    const kept = name === "base"
      ? { answers: "answers_base.jsonl" } as const
      : name === "amplified"
      ? { answers: "answers_amplified.jsonl", pivots: examples } as const
      : undefined;
    await timed(context, kept ? "evaluate" : "controls", async () => {
      const best_step = await prepare();
      const record = await evaluateModel(context, name, journal, context.abilities, kept);
      records[name] = best_step === undefined ? record : { ...record, best_step };
      await folder.writeJson("evaluations.json", records);
      await removeTrainingStates(folder.path);
    });
  };
  const restore = async () => {
    model.revert();
    if (updated.best_step > 0) await applyPatch(model, await storedPatch(folder));
    return undefined;
  };
  await evaluate("base", () => {
    model.revert();
    return Promise.resolve(undefined);
  });
  // Nothing changed: the amplified model is the base model, and saying so costs no second evaluation.
  if (updated.best_step === 0) records.amplified ??= records.base!;
  else {
    await evaluate("amplified", restore);
    if (!records.fused) {
      const fused = await timed(context, "evaluate", () => evaluateFused(context, journal));
      if (fused) await folder.writeJson("evaluations.json", Object.assign(records, { fused }));
    }
  }
  for (const control of controlsOf(settings.evaluation)) {
    await evaluate(control.name, async () => {
      const chosen = controlSelection(model, control, selection, energies, settings.seed);
      // All updates start from the same unchanged model, which is validated once.
      const base = updated.history[0]?.accuracy;
      const name = `control ${control.name}`;
      const arm = {
        name,
        selection: chosen,
        control: control.control,
        examples,
        journal: within(journal, name),
        baseAccuracy: base,
      };
      return (await updateArm(context, arm)).bestStep;
    });
  }
  await restore();
  await journal.remove();
  return records;
}
