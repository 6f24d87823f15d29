/** Faults of a device, put between the engine and WebGPU: what is patched is the device in use, or the API for all that follow. */
import type { Gpu } from "../../engine/gpu/gpu.ts";

/** When a device goes: before a submission, before a readback is mapped, while it is mapped, or when a buffer is made. */
export const lossPoints = ["submit", "map", "mapping", "allocate"] as const;

/** See lossPoints. */
export type LossPoint = (typeof lossPoints)[number];

/** Counts what a device is asked for, and loses it at the `at`th such call, from 1 on; 0 never. The device in use only. */
export function loseDevice({ device }: Pick<Gpu, "device">, point: LossPoint, at = 0): { calls: number } {
  const seen = { calls: 0 };
  const due = () => ++seen.calls === at;
  const { queue } = device;
  const submit = queue.submit.bind(queue), createBuffer = device.createBuffer.bind(device);
  if (point === "submit") {
    queue.submit = (buffers) => {
      if (due()) device.destroy();
      return submit(buffers);
    };
    return seen;
  }
  device.createBuffer = (descriptor) => {
    if (point === "allocate" && due()) device.destroy();
    const buffer = createBuffer(descriptor);
    const mapAsync = buffer.mapAsync.bind(buffer);
    buffer.mapAsync = (...range) => {
      const now = point !== "allocate" && due();
      if (now && point === "map") device.destroy();
      const mapped = mapAsync(...range);
      if (now && point === "mapping") device.destroy();
      return mapped;
    };
    return buffer;
  };
  return seen;
}
