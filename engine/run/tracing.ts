/** Traces of problems and their pivotal tokens, as the settings say: for the first stage, for rounds, and for shards of either. */
import { branchingPivots, type Pivots, prefixPivots } from "../circuit/pivots.ts";
import { addContrast, greedyTraces, type ProblemTraces, type TraceOptions } from "../circuit/traces.ts";
import type { Problem } from "../evaluation/data.ts";
import { promptOptions } from "./prompt_settings.ts";
import type { RunContext } from "./run_context.ts";

/** Traces problems with the model as it is and searches the traces for pivotal tokens; `traced` gets the traces before that. */
export async function traceProblems(
  { model, settings, scoring, progress }: Pick<RunContext, "model" | "settings" | "scoring" | "progress">,
  problems: readonly Problem[],
  given: Pick<TraceOptions, "seed" | "sharedPrefix" | "journal" | "positions">,
  traced?: (traces: readonly ProblemTraces[]) => Promise<void>,
): Promise<{ traces: ProblemTraces[]; pivots: Pivots }> {
  const options = { ...promptOptions(settings), ...settings.traces, ...given, scoring };
  const greedy = await greedyTraces(model, problems, options, progress);
  const traces = await addContrast(model, greedy, options, progress);
  await traced?.(traces);
  const pivots = settings.traces.pivot === "branching"
    ? await branchingPivots(model, traces, options, progress)
    : prefixPivots(model, traces);
  return { traces, pivots };
}
