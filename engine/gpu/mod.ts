/**
 * The GPU: buffers, kernels and recorded plans of dispatches, for kernels of one's own. A kernel is WGSL text; a dispatch
 * names its buffers and parameters as the text does, and a name, type or size that does not fit is an error when recorded.
 *
 * @example Double the numbers of a buffer
 * ```ts
 * import { Gpu, Plan } from "./mod.ts";
 *
 * using gpu = await Gpu.open();
 * const x = gpu.upload(Float32Array.of(1, 2, 3), [3], "numbers");
 * const template = `
 * struct Params { count: u32 }
 * @group(0) @binding(0) var<uniform> params: Params;
 * @group(0) @binding(1) var<storage, read_write> x: array<f32>;
 * @compute @workgroup_size(64)
 * fn main(@builtin(global_invocation_id) id: vec3u) { if (id.x < params.count) { x[id.x] *= 2.0; } }`;
 * using plan = new Plan(gpu, "double");
 * plan.dispatch({ name: "double", template, values: {} }, { x }, { count: 3 }, { invocations: 3 });
 * plan.run();
 * console.log(await gpu.read(x)); // [2, 4, 6]
 * ```
 *
 * @module
 */
export { DeviceError, DeviceLostError, NoAdapterError } from "../errors.ts";
export { Gpu } from "./gpu.ts";
export type { MemoryUse, OpenOptions, TensorOptions } from "./gpu.ts";
export { Plan } from "./plan.ts";
export type { Bindings, DispatchTime, Grid, Parameters } from "./plan.ts";
export type { Kernel, ShaderValues } from "./shader.ts";
export { memoryParts, Tensor } from "./tensor.ts";
export type { MemoryPart } from "./tensor.ts";
