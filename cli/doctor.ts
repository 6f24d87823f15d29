/** doctor: what GPU there is, what it can do, what is missing with the remedy, and whether a model fits. */
import { NoAdapterError } from "../engine/errors.ts";
import { Gpu } from "../engine/gpu/gpu.ts";
import { inspectAdapter, memoryPlanDefinitions, memoryRecord, reportMemory } from "../engine/run/doctor.ts";
import { describeRun, inspectRun, runSetting } from "../engine/run/run_check.ts";
import { describeAdapter, describeMemory } from "../engine/run/summary_text.ts";
import { defineCommand, runCommand } from "./command.ts";
import { exitCodes } from "./exit_codes.ts";
import { print, printAside } from "./terminal.ts";

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
    if (memory?.refusal) printAside(`error: ${memory.refusal}`);
    const code = memory?.refusal ? exitCodes.wrongInput.code : exitCodes.done.code;
    if (json) {
      print(JSON.stringify({
        ...report,
        ...(memory && { model, memory: memoryRecord(memory.plan) }),
        ...(memory?.refusal && { error: memory.refusal, exit_code: code }),
      }));
    }
    return code;
  },
});

/** Needs no GPU, and changes nothing. */
async function reportRun(folder: string, json: boolean): Promise<number> {
  const runs = await inspectRun(folder);
  for (const run of runs) console.log(describeRun(run));
  if (json) console.log(JSON.stringify({ runs }));
  return (runs.some(({ problems }) => problems.length > 0) ? exitCodes.failed : exitCodes.done).code;
}

if (import.meta.main) await runCommand(doctor);
