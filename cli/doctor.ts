/** doctor: what GPU there is, what it can do, what is missing with the remedy, and whether a model fits. */
import { NoAdapterError } from "../engine/errors.ts";
import { Gpu } from "../engine/gpu/gpu.ts";
import { inspectAdapter, memoryPlanDefinitions, memoryRecord, reportMemory } from "../engine/run/doctor.ts";
import { describeRun, inspectRun, runSetting } from "../engine/run/run_check.ts";
import { describeAdapter, describeMemory } from "../engine/run/summary_text.ts";
import { defineCommand, runCommand } from "./command.ts";
import { exitCodes } from "./exit_codes.ts";
import { print, printJson } from "./terminal.ts";

export const doctor = defineCommand({
  name: "doctor",
  summary:
    "Prints adapter, driver, limits and features, and what is missing; with --model what each stage holds on the GPU; with --run what is wrong with a run folder.",
  settings: { ...memoryPlanDefinitions, run: runSetting },
  async run({ json, quiet: _quiet, config: _, run, ...settings }) {
    if (run !== undefined) return await reportRun(run, json);
    using gpu = await Gpu.open().catch((error) => {
      if (error instanceof NoAdapterError) print("adapter   none");
      throw error;
    });
    const report = await inspectAdapter(gpu);
    const model = settings.model.source;
    const memory = model === undefined ? undefined : await reportMemory(gpu, model, settings);
    print(describeAdapter(report));
    if (memory) print(describeMemory(model!, memory.plan));
    if (memory) {
      print(`fits      ${memory.refusal ? `no: ${memory.refusal}` : "yes, as far as the adapter tells"}`);
    }
    // What was asked is answered; that the answer is no is no wrong input.
    const { code } = memory?.refusal ? exitCodes.failed : exitCodes.done;
    if (json) {
      printJson({
        ...report,
        ...(memory && { model, memory: memoryRecord(memory.plan) }),
        ...(memory && { fits: memory.refusal === undefined }),
        ...(memory?.refusal && { why_not: memory.refusal }),
      });
    }
    return code;
  },
});

/** Needs no GPU, and changes nothing. */
async function reportRun(folder: string, json: boolean): Promise<number> {
  const runs = await inspectRun(folder);
  for (const run of runs) print(describeRun(run));
  if (json) printJson({ runs });
  return (runs.some(({ problems }) => problems.length > 0) ? exitCodes.failed : exitCodes.done).code;
}

if (import.meta.main) await runCommand(doctor);
