/** Devices that go while they are at work, and commands that they refuse: one sentence, no wrong number, and a fresh device. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { DeviceError, DeviceLostError } from "../../engine/errors.ts";
import { DeviceWatch } from "../../engine/gpu/device_watch.ts";
import { onceMoreIfLost } from "../../engine/gpu/fresh_device.ts";
import { Gpu } from "../../engine/gpu/gpu.ts";
import { Plan } from "../../engine/gpu/plan.ts";
import { loseDevice, lossPoints } from "../chaos/device_faults.ts";
import "../ops/gpu_fixture.ts";

const doubling = {
  name: "double",
  template: "@group(0) @binding(1) var<storage, read_write> y: array<f32>;\n" +
    "@compute @workgroup_size(1) fn main() { y[0] *= 2.0; }",
  values: {},
};

/** Doubles 1 ten times, reading after each. */
async function powers(gpu: Gpu): Promise<number[]> {
  const y = gpu.upload(Float32Array.of(1), [1], "y");
  using plan = new Plan(gpu, "double");
  plan.dispatch(doubling, { y }, {}, { workgroups: 1 });
  const values: number[] = [];
  for (let i = 0; i < 10; i++) {
    plan.run();
    values.push((await gpu.read(y))[0]!);
  }
  gpu.free(y);
  return values;
}

const expected = Array.from({ length: 10 }, (_, i) => 2 ** (i + 1));

Deno.test("work whose device is lost anywhere is done once more, on a fresh one, and comes to the same", async () => {
  const all = await (async () => {
    using gpu = await Gpu.open();
    const seen = loseDevice(gpu);
    assertEquals(await powers(gpu), expected);
    return seen;
  })();
  for (const point of lossPoints) {
    const calls = all[point];
    assert(calls > 0, point);
    for (let at = 1; at <= calls; at += 3) {
      using gpu = await Gpu.open();
      loseDevice(gpu, point, at);
      const notices: string[] = [];
      const tries: boolean[] = [];
      const values = await onceMoreIfLost(gpu, (sentence) => notices.push(sentence), (again) => {
        tries.push(again);
        return powers(gpu);
      });
      assertEquals(values, expected, `${point} ${at}`);
      // Data that was mapped before the device went is right, so the last mapping may pass.
      if (at < calls) assertEquals(tries, [false, true], `${point} ${at}`);
      for (const sentence of notices) {
        assert(/^The GPU device was lost[^\n]*fresh one\.$/.test(sentence), sentence);
      }
      assertEquals([gpu.memory.liveBuffers, gpu.memory.liveBytes], [0, 0]);
    }
  }
});

Deno.test("work that loses its device twice ends in one sentence", async () => {
  using gpu = await Gpu.open();
  const { message } = await assertRejects(
    () =>
      onceMoreIfLost(gpu, undefined, () => {
        loseDevice(gpu, "submit", 2);
        return powers(gpu);
      }),
    DeviceLostError,
  );
  assert(/^The GPU device was lost twice[^\n]*\.$/.test(message), message);
});

Deno.test("an error that has nothing to do with the device is no reason to begin again", async () => {
  using gpu = await Gpu.open();
  let tries = 0;
  const work = () => {
    tries++;
    return Promise.reject(new RangeError("mine"));
  };
  await assertRejects(() => onceMoreIfLost(gpu, undefined, work), RangeError, "mine");
  assertEquals(tries, 1);
});

Deno.test("a read that the driver never answers ends when the device is lost", async () => {
  let lose = (_: unknown) => {};
  const device = { lost: new Promise((resolve) => lose = resolve), addEventListener: () => {} };
  const watch = new DeviceWatch(device as unknown as GPUDevice, () => "no memory");
  const read = watch.orLost(new Promise<never>(() => {}));
  lose({ reason: "unknown", message: "it was pulled out" });
  const { message } = await assertRejects(() => read, DeviceLostError);
  assertEquals(message, "The GPU device was lost (it was pulled out).");
  assert(await watch.lost());
});

Deno.test("tensors of a lost device can be freed on its successor, whose pool they do not enter", async () => {
  using gpu = await Gpu.open();
  const old = gpu.tensor([64], "old");
  gpu.device.destroy();
  await assertRejects(() => gpu.read(old), DeviceLostError);
  await gpu.renew();
  gpu.free(old);
  assertEquals(gpu.memory.idleBytes, 0);
  assertThrows(() => gpu.free(old), Error, "freed twice");
  assertEquals(await powers(gpu), expected);
});

Deno.test("what a device refuses is one sentence: a shader, a command, memory", async () => {
  const refused = async (cause: (gpu: Gpu) => void, ...says: string[]) => {
    using gpu = await Gpu.open();
    const y = gpu.tensor([4], "y");
    cause(gpu);
    const { message } = await assertRejects(() => gpu.read(y), DeviceError);
    for (const part of says) assert(message.includes(part), message);
    assert(/^[A-Z][^\n]*\.$/.test(message), message);
    assert(!await gpu.lost());
  };
  await refused(
    (gpu) => gpu.device.createShaderModule({ code: "@compute fn main() { let x: nope; }" }),
    "The GPU refused a command",
    "parsing error",
  );
  await refused((gpu) => {
    const size = gpu.device.limits.maxBufferSize + 4;
    gpu.device.createBuffer({ size, usage: GPUBufferUsage.STORAGE });
  }, "The GPU refused a command");
  await refused((gpu) => {
    const event = new Event("uncapturederror", { cancelable: true });
    gpu.device.dispatchEvent(Object.assign(event, { error: new GPUOutOfMemoryError("no") }));
  }, "ran out of memory with");
});
