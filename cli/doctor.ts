/** deno task doctor: what GPU there is, what it can do, what is missing with the remedy, and whether a model fits. */
import { adapterRemedy, Gpu, mebibytes } from "../engine/gpu/gpu.ts";
import { Plan } from "../engine/gpu/plan.ts";
import { NoAdapterError } from "../engine/errors.ts";
import { fill } from "../engine/ops/elementwise.ts";
import { runCommand } from "./command.ts";
import { memoryFlags, memoryLines, reportMemory } from "./memory_report.ts";

const limitNames = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxStorageBuffersPerShaderStage",
] as const;
/** Most storage buffers a kernel of ours binds. */
const storageBuffersNeeded = 8;

await runCommand({
  name: "doctor",
  summary:
    "Prints adapter, driver, limits and features, and what is missing; with --model what each stage holds on the GPU.",
  flags: memoryFlags,
  async run(values) {
    let gpu: Gpu;
    try {
      gpu = await Gpu.open();
    } catch (error) {
      if (!(error instanceof NoAdapterError)) throw error;
      console.log("adapter   none");
      throw error;
    }
    using device = gpu;
    const { info } = device.adapter;
    const limits = Object.fromEntries(limitNames.map((name) => [name, device.device.limits[name]]));
    const features = (["timestamp-query", "shader-f16", "subgroups"] as const).map((name) => ({
      name,
      granted: device.device.features.has(name),
    }));
    const problems: string[] = [];
    if (device.isSoftware) {
      problems.push(
        "This is software Vulkan: right but slow; a GPU's Vulkan, Metal or D3D12 driver makes it fast.",
      );
    }
    if (limits.maxStorageBuffersPerShaderStage! < storageBuffersNeeded) {
      problems.push(
        `Kernels bind ${storageBuffersNeeded} storage buffers; this adapter allows ${limits.maxStorageBuffersPerShaderStage}; update its driver.`,
      );
    }
    for (const { name, granted } of features) {
      if (!granted) problems.push(`${name} is not available; everything works without it.`);
    }
    const roundTripMs = await roundTrip(device);
    const memory = values.model === undefined ? undefined : await reportMemory(values, device);
    const report = {
      adapter: device.adapterName,
      vendor: info.vendor,
      architecture: info.architecture,
      driver: info.device,
      software: device.isSoftware,
      deno: Deno.version.deno,
      limits,
      features: features.filter(({ granted }) => granted).map(({ name }) => name),
      round_trip_ms: Number(roundTripMs.toFixed(2)),
      notes: problems,
      ...(memory && { model: values.model, memory: memory.plan }),
      ...(memory?.refusal && { error: memory.refusal, exit_code: 2 }),
    };
    console.log(`adapter   ${report.adapter}${report.software ? " (software)" : ""}`);
    console.log(
      `driver    vendor ${info.vendor || "?"}, architecture ${info.architecture || "?"}, device ${
        info.device || "?"
      }`,
    );
    console.log(`deno      ${report.deno}`);
    for (const [name, value] of Object.entries(limits)) {
      console.log(`limit     ${name} ${value >= 2 ** 20 ? mebibytes(value) : value}`);
    }
    console.log(`features  ${report.features.join(", ") || "none"}`);
    console.log(`check     a kernel ran and its result came back in ${report.round_trip_ms} ms`);
    for (const problem of problems) console.log(`note      ${problem}`);
    if (memory) memoryLines(values.model as string, memory.plan).forEach((line) => console.log(line));
    if (memory?.refusal) console.error(`error: ${memory.refusal}`);
    if (values.json) console.log(JSON.stringify(report));
    return memory?.refusal ? 2 : 0;
  },
});

/** Runs one kernel and checks what it wrote. */
async function roundTrip(gpu: Gpu): Promise<number> {
  const tensor = gpu.tensor([256], "doctor");
  using plan = new Plan(gpu, "doctor");
  fill(plan, tensor, 42);
  plan.run();
  await gpu.fence();
  const start = performance.now();
  plan.run();
  const values = await gpu.read(tensor);
  const elapsed = performance.now() - start;
  gpu.free(tensor);
  if (!values.every((value) => value === 42)) {
    throw new Error(`The adapter computes wrongly. ${adapterRemedy}`);
  }
  return elapsed;
}
