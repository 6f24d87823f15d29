/**
 * What a run will do, stage by stage, before it has begun: for telling how far it is and how long it takes. Work is counted in
 * completions, and what is none in as many as take about as long; the speed itself is measured as the run goes.
 */
import { controlsOf } from "./controls.ts";
import { triedRates } from "./arm_update.ts";
import type { RunContext } from "./run_context.ts";

/** A stage that is to come. */
export interface ExpectedStage {
  /** How its progress is called, or how that begins. */
  readonly name: string;
  /** See file comment. */
  readonly work: number;
}

/** Completions that take as long as one example's gradient, or its step of the mask. */
const cost = { gradient: 0.3, maskStep: 0.05 } as const;
/** Share of the samples that are drawn: those of problems that still lack a contrast. */
const drawnShare = 0.6;
/** Pivotal tokens that a traced problem gives, about. */
const examplesPerProblem = 0.5;
/** Share of all epochs after which masks mostly settle. */
const settledShare = 0.4;

/** The stages of amplify, in order, or those of identify alone. */
export function expectedStages(
  { settings, split, abilities }: Pick<RunContext, "settings" | "split" | "abilities">,
  command: "amplify" | "identify" = "amplify",
): ExpectedStage[] {
  const { traces, rounds, update, mask, selection } = settings;
  const traced = split.train.length;
  const examples = examplesPerProblem * traced;
  const learns = selection.method === "dcm" || selection.method === "dcm-gradient";
  const arm = (name: string, validatesBase: boolean): ExpectedStage[] => {
    const validations = Math.ceil(update.steps / update.validateEvery);
    const perProblem = 1 + drawnShare * traces.samples;
    const fresh = rounds.count > 1 ? (rounds.count - 1) * rounds.problems * perProblem : 0;
    const pairs = rounds.count > 1 ? examplesPerProblem * rounds.problems : examples;
    const once = fresh + update.steps * pairs * cost.gradient +
      (validations - 1 + (validatesBase ? 1 : 0)) * split.validation.length;
    return triedRates(update.rate, update.tries).flatMap((rate) => {
      const tried = update.tries === 1 ? name : `${name}, rate ${Number(rate.toPrecision(6))}`;
      return [
        { name: tried, work: once },
        { name: `${tried}: last validation`, work: split.validation.length },
      ];
    });
  };
  const evaluation = (name: string) => [
    { name: `evaluate ${name}: test`, work: split.test.length },
    ...abilities.map((task) => ({ name: `evaluate ${name}: ${task.name}`, work: task.problems.length })),
  ];
  const identify = [
    { name: "greedy traces", work: traced },
    { name: "samples", work: traced * traces.samples * drawnShare },
    ...(traces.pivot === "branching" ? [{ name: "branches", work: traced }] : []),
    ...(learns
      ? [{ name: "component mask", work: settledShare * mask.epochs * examples * cost.maskStep }]
      : []),
  ];
  if (command === "identify") return identify;
  return [
    ...identify,
    ...arm("update", true),
    ...evaluation("base"),
    ...evaluation("amplified"),
    { name: "evaluate fused", work: split.test.length },
    ...controlsOf(settings.evaluation).flatMap(({ name }) => [
      ...arm(`control ${name}`, false),
      ...evaluation(name),
    ]),
  ];
}
