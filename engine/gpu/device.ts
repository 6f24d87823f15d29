/** Acquiring an adapter and a device: limits, optional features, and what to say where there is none. */
import { NoAdapterError } from "../errors.ts";

/** wgpu's name for 64-bit integers in shaders, which WebGPU itself does not have. */
export const int64Feature = "wgpu-shader-int64" as GPUFeatureName;

/** What is used where it is to be had; everything works without. */
const optionalFeatures: readonly GPUFeatureName[] = ["timestamp-query", "subgroups", int64Feature];

/** How to get a WebGPU adapter where there is none. */
export const adapterRemedy =
  "On Debian or Ubuntu type: apt-get install -y mesa-vulkan-drivers libvulkan1 (software Vulkan); " +
  "with a GPU, install its Vulkan driver and libvulkan1.";

/** Limits that are asked for in full: their defaults are far below what adapters have. */
const limits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxStorageBuffersPerShaderStage",
  "minUniformBufferOffsetAlignment",
] as const;

/**
 * The adapter the system prefers, and a device of it with its full limits and those optional features it has.
 *
 * @throws {NoAdapterError} where there is none.
 */
export async function acquireDevice(): Promise<{ adapter: GPUAdapter; device: GPUDevice }> {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new NoAdapterError(`No WebGPU adapter was found. ${adapterRemedy}`);
  const requiredLimits = Object.fromEntries(limits.map((name) => [name, adapter.limits[name]]));
  return { adapter, device: await requestDevice(adapter, requiredLimits) };
}

/**
 * A device with those of the optional features that the adapter has. Deno hides some from adapter.features although it grants
 * them, so all are asked for, and where that is refused each by itself: a missing one must not cost the others.
 *
 * Throws NoAdapterError, with the adapter's own reason, where not even a device without them is granted.
 */
async function requestDevice(
  adapter: GPUAdapter,
  requiredLimits: Record<string, number>,
): Promise<GPUDevice> {
  const request = (requiredFeatures: readonly GPUFeatureName[]) =>
    adapter.requestDevice({ requiredLimits, requiredFeatures: [...requiredFeatures] });
  try {
    return await request(optionalFeatures);
  } catch {
    // At least one is missing.
  }
  let granted: GPUFeatureName[] = [];
  let device: GPUDevice | undefined;
  for (const feature of optionalFeatures) {
    try {
      const richer = await request([...granted, feature]);
      device?.destroy();
      device = richer;
      granted = [...granted, feature];
    } catch {
      continue;
    }
  }
  try {
    return device ?? await request([]);
  } catch (error) {
    throw new NoAdapterError(
      `The adapter ${describeAdapter(adapter)} grants no device (${
        (error as Error).message
      }). ${adapterRemedy}`,
      { cause: error },
    );
  }
}

/** An adapter in words, e.g. "llvmpipe (LLVM 15.0.6, 256 bits)". */
export function describeAdapter(adapter: GPUAdapter): string {
  const { description, vendor, architecture, device } = adapter.info;
  return description || [vendor, architecture, device].filter(Boolean).join(" ") || "unnamed adapter";
}
