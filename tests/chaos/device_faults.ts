/** Faults of a device, put between the engine and WebGPU: what is patched is the device in use, or the API for all that follow. */
import type { Gpu } from "../../engine/gpu/gpu.ts";

/** When a device goes: before a submission, before a readback is mapped, while it is mapped, or when a buffer is made. */
export const lossPoints = ["submit", "map", "mapping", "allocate"] as const;

/** See lossPoints. */
export type LossPoint = (typeof lossPoints)[number];

/** Counts what the device in use is asked for, and loses it at the `at`th call of this kind, from 1 on; 0 never. */
export function loseDevice(
  { device }: Pick<Gpu, "device">,
  lostAt: LossPoint = "submit",
  at = 0,
): Record<LossPoint, number> {
  const calls: Record<LossPoint, number> = { submit: 0, map: 0, mapping: 0, allocate: 0 };
  const pass = (point: LossPoint) => {
    if (++calls[point] === at && point === lostAt) device.destroy();
  };
  const { queue } = device;
  const submit = queue.submit.bind(queue), createBuffer = device.createBuffer.bind(device);
  queue.submit = (buffers) => {
    pass("submit");
    return submit(buffers);
  };
  device.createBuffer = (descriptor) => {
    pass("allocate");
    const buffer = createBuffer(descriptor);
    const mapAsync = buffer.mapAsync.bind(buffer);
    buffer.mapAsync = (...range) => {
      pass("map");
      const mapped = mapAsync(...range);
      pass("mapping");
      return mapped;
    };
    return buffer;
  };
  return calls;
}
