/** Plans: recording and replaying, uniforms, temporaries, and what they hold on the GPU. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { folded, Plan } from "../../engine/gpu/plan.ts";
import type { Tensor } from "../../engine/gpu/tensor.ts";
import { DeviceError } from "../../engine/errors.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";

const threads = (body: string) => `
  struct Params { count: u32, factor: f32, offset: u32 }
  @group(0) @binding(0) var<uniform> params: Params;
  @group(0) @binding(1) var<storage, read_write> y: array<f32>;
  @compute @workgroup_size(64)
  fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    if (i < params.count) {
      ${body}
    }
  }`;
const affine = {
  name: "affine",
  template: threads("y[i] = y[i] * params.factor + f32(params.offset);"),
  values: {},
};
const constant = { name: "constant", template: threads("y[i] = params.factor;"), values: {} };

gpuTest("steps run in the order recorded, each with its own uniforms, as often as asked", async (trial) => {
  const y = trial.upload(new Float32Array(100).fill(1));
  const plan = trial.run((plan) => {
    plan.dispatch(affine, { y }, { count: 100, factor: 2, offset: 3 }, { workgroups: 2 });
    plan.dispatch(affine, { y }, { count: 50, factor: -0.5, offset: 0 }, { workgroups: 1 });
  }, 2);
  assertEquals(plan.length, 2);
  const twice = (value: number, factor: number) => ((value * 2 + 3) * factor * 2 + 3) * factor;
  const halves = (value: number) =>
    new Float32Array(100).fill(twice(value, 1)).fill(twice(value, -0.5), 0, 50);
  assertEquals(await trial.gpu.read(y), halves(1));
  trial.gpu.write(y, new Float32Array(100).fill(4));
  plan.run(2);
  assertEquals(await trial.gpu.read(y), halves(4));
});

gpuTest("a grid can come from the GPU", async (trial) => {
  const y = trial.upload(new Float32Array(192).fill(1));
  const grid = trial.upload(Uint32Array.of(2, 1, 1));
  const plan = trial.run((plan) =>
    plan.dispatch(affine, { y }, { count: 192, factor: 0, offset: 7 }, { indirect: grid })
  );
  assertEquals(await trial.gpu.read(y), new Float32Array(192).fill(7, 0, 128).fill(1, 128));
  trial.gpu.write(grid, Uint32Array.of(3));
  plan.run();
  assertEquals(await trial.gpu.read(y), new Float32Array(192).fill(7));
});

gpuTest("dispatches are counted, and recording after a run is refused", (trial) => {
  const y = trial.unwritten(4);
  const before = trial.gpu.dispatches;
  const plan = trial.run(
    (plan) => plan.dispatch(affine, { y }, { count: 4, factor: 1, offset: 0 }, { workgroups: 1 }),
    3,
  );
  assertEquals(trial.gpu.dispatches, before + 3);
  assertThrows(
    () => plan.dispatch(affine, { y }, { count: 4, factor: 1, offset: 0 }, { workgroups: 1 }),
    Error,
    "already run",
  );
});

gpuTest("a recycled temporary serves later ones that fit it, the tightest first", (trial) => {
  using plan = new Plan(trial.gpu, "temporaries");
  const before = trial.gpu.memory.liveBuffers;
  const [large, small] = [plan.temp([5000], "large"), plan.temp([3000], "small")];
  assert(large.handle !== small.handle);
  plan.recycle(large, undefined, small);
  const fits = plan.temp([2, 1500], "fits both");
  assert(fits.handle === small.handle);
  assertEquals(fits.shape, [2, 1500]);
  const rest = plan.temp([3000], "fits large");
  assert(rest.handle === large.handle);
  const third = plan.temp([3000], "nothing is left");
  assert(third.handle !== large.handle && third.handle !== small.handle);
  assertEquals(trial.gpu.memory.liveBuffers, before + 3);
});

gpuTest("a temporary is not recycled for one that is larger or less than half as large", (trial) => {
  using plan = new Plan(trial.gpu, "temporaries");
  const held = plan.temp([5000], "held");
  plan.recycle(held);
  assert(plan.temp([6000], "larger").handle !== held.handle);
  assert(plan.temp([2000], "much smaller").handle !== held.handle);
  assert(plan.temp([4000], "a little smaller").handle === held.handle);
});

gpuTest("a temporary in use is never given out twice", async (trial) => {
  using plan = new Plan(trial.gpu, "temporaries");
  const temps = Array.from({ length: 8 }, (_, i) => plan.temp([64], `temporary ${i}`));
  assertEquals(new Set(temps.map(({ handle }) => handle)).size, 8);
  temps.forEach((temp, i) => {
    plan.dispatch(constant, { y: temp }, { count: 64, factor: i, offset: 0 }, { workgroups: 1 });
  });
  plan.run();
  for (const [i, temp] of temps.entries()) {
    assertEquals(await trial.gpu.read(temp), new Float32Array(64).fill(i));
  }
});

gpuTest("fifty plans made, run and disposed of leave memory as it was", async (trial) => {
  const { gpu } = trial;
  const y = trial.upload(new Float32Array(1000));
  const cycle = () => {
    using plan = new Plan(gpu, "cycle");
    const temp = plan.temp([1000], "temporary");
    const other = plan.temp([70, 10], "other temporary");
    plan.dispatch(constant, { y: temp }, { count: 1000, factor: 1, offset: 0 }, { invocations: 1000 });
    plan.recycle(temp, other);
    const again = plan.temp([900], "recycled");
    plan.dispatch(affine, { y: again }, { count: 900, factor: 2, offset: 0 }, { invocations: 900 });
    plan.dispatch(affine, { y }, { count: 1000, factor: 1, offset: 1 }, { invocations: 1000 });
    plan.run();
  };
  cycle(); // the pool fills once
  await gpu.fence();
  const before = { ...gpu.memory };
  const compiled = gpu.compiled.length;
  for (let i = 0; i < 50; i++) cycle();
  await gpu.fence();
  assertEquals(gpu.memory, before);
  assertEquals(gpu.compiled.length, compiled);
  assertEquals(await gpu.read(y), new Float32Array(1000).fill(51));
});

gpuTest("a profile names every dispatch and its time, where the adapter has timestamps", async (trial) => {
  const y = trial.upload(new Float32Array(1000));
  const plan = trial.run((plan) => {
    for (let i = 0; i < 3; i++) {
      plan.dispatch(affine, { y }, { count: 1000, factor: 1, offset: 1 }, { invocations: 1000 });
    }
  }, 0);
  const times = await plan.profile();
  assertEquals(times !== undefined, trial.gpu.device.features.has("timestamp-query"));
  if (!times) return;
  assertEquals(times.map(({ name }) => name), ["affine", "affine", "affine"]);
  assert(times.every(({ ms }) => ms >= 0 && ms < 1000), JSON.stringify(times));
  assertEquals(await trial.gpu.read(y), new Float32Array(1000).fill(3));
});

gpuTest("whoever listens is told how far a submission is, which is otherwise one", async (trial) => {
  const { gpu } = trial;
  const y = trial.upload(new Float32Array(1000));
  const plan = trial.run((plan) => {
    for (let i = 0; i < 30; i++) {
      plan.dispatch(affine, { y }, { count: 1000, factor: 1, offset: 1 }, { invocations: 1000 });
    }
  }, 0);
  const run = async () => {
    const { submits, dispatches } = gpu;
    const copied: number[] = [];
    plan.run(3, (_, time) => copied.push(time));
    assertEquals(copied, [0, 1, 2]);
    assertEquals(gpu.dispatches - dispatches, 90);
    const made = gpu.submits - submits;
    await gpu.fence();
    return made;
  };
  assertEquals(await run(), 1);
  const told: number[] = [];
  gpu.onWork = (done, of) => {
    assertEquals(of, 90);
    told.push(done);
  };
  try {
    const submits = await run();
    // Quick dispatches go in ever longer parts.
    if (gpu.isSoftware) assert(told.length >= 2 && told[0] === 8 && submits <= 6, `${told} in ${submits}`);
    else assertEquals(submits, 1);
  } finally {
    gpu.onWork = undefined;
  }
  assertEquals(told, told.toSorted((a, b) => a - b));
  assertEquals(await gpu.read(y), new Float32Array(1000).fill(180));
});

Deno.test("grids beyond 65,535 workgroups are folded into two dimensions that cover them", () => {
  assertEquals(folded(0), [1, 1]);
  assertEquals(folded(2), [2, 1]);
  assertEquals(folded(65535), [65535, 1]);
  for (const count of [65535 + 1, 2 ** 24, 65535 * 9]) {
    const [x, y] = folded(count);
    assert(x <= 65535 && y <= 65535 && x * y >= count && (x * y - y) < count, `${count}: ${x} × ${y}`);
  }
});

gpuTest("what host and kernel do not agree on is refused when it is recorded", (trial) => {
  const y = trial.upload(new Float32Array(64));
  const ids = trial.upload(new Uint32Array(64));
  const right = { count: 64, factor: 0.5, offset: 1 };
  const cases: [string, Record<string, Tensor>, Record<string, number>][] = [
    ["kernel affine lacks its binding y", {}, right],
    ["kernel affine has no binding x", { y, x: y }, right],
    ["kernel affine lacks its parameter offset", { y }, { count: 64, factor: 1 }],
    ["kernel affine has no parameter scale", { y }, { ...right, scale: 1 }],
    ["kernel affine declares count as u32, not 1.5", { y }, { ...right, count: 1.5 }],
    ["kernel affine declares offset as u32, not -1", { y }, { ...right, offset: -1 }],
    ["kernel affine declares y as array<f32>, but", { y: ids }, right],
  ];
  for (const [message, bindings, parameters] of cases) {
    using plan = new Plan(trial.gpu, "disagreement");
    assertThrows(() => plan.dispatch(affine, bindings, parameters, { workgroups: 1 }), Error, message);
    assertEquals(plan.length, 0);
  }
});

gpuTest("a freed tensor cannot be bound", (trial) => {
  using plan = new Plan(trial.gpu, "freed");
  const y = trial.gpu.tensor([64], "gone");
  trial.gpu.free(y);
  const parameters = { count: 64, factor: 1, offset: 0 };
  assertThrows(() => plan.dispatch(affine, { y }, parameters, { workgroups: 1 }), Error, "which was freed");
});

gpuTest("only a plan's own temporaries can be recycled, and only once", (trial) => {
  using plan = new Plan(trial.gpu, "recycling");
  const temp = plan.temp([64], "temporary");
  assertThrows(() => plan.recycle(trial.unwritten(64)), Error, "which it did not make");
  plan.recycle(temp);
  assertThrows(() => plan.recycle(temp), Error, "back twice");
});

gpuTest("a kernel whose loops a software adapter would end is refused", (trial) => {
  const long = {
    ...affine,
    name: "long",
    template: `// iterations: count / 2 + 3 * (offset + 1)\n${affine.template}`,
  };
  using plan = new Plan(trial.gpu, "long loops");
  const y = trial.unwritten(64);
  const record = (count: number) =>
    plan.dispatch(long, { y }, { count, factor: 1, offset: 0 }, { workgroups: 1 });
  record(2 * (65535 - 3));
  if (trial.gpu.isSoftware) assertThrows(() => record(2 * 65535), DeviceError, "would loop 65538 times");
  else record(2 * 65535);
});
