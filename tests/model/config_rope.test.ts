/** How config.json describes rotary positions, and which descriptions are refused. */
import { assertEquals } from "@std/assert";
import { ropeOf } from "../../engine/model/architecture.ts";
import { assertRefused, gemma2, llama, plainRope, read } from "./config_fixture.ts";

const noFactor = (type: string) => `a positive number, because rope_type is "${type}"`;
const llama3Needs = 'a positive number, because rope_type is "llama3"';

Deno.test("the rotary base is read from either place, the newer one first", async () => {
  const theta = async (config: unknown) => (await read(config)).rope.theta;
  assertEquals(await theta({ ...llama, rope_theta: 500 }), 500);
  const rope_parameters = { rope_theta: 700, rope_type: "default" };
  assertEquals(await theta({ ...llama, rope_parameters }), 700);
  assertEquals(await theta({ ...llama, rope_theta: 500, rope_parameters }), 700);
  assertEquals(await theta({ ...llama, rope_theta: 500, rope_scaling: null }), 500);
});

Deno.test("stretched rotary positions are read in every spelling", async () => {
  const linear = { type: "linear" as const, factor: 2 };
  assertEquals((await read({ ...llama, rope_scaling: linear })).rope.scaling, linear);
  assertEquals(
    (await read({ ...llama, rope_scaling: { rope_type: "linear", factor: 2 } })).rope.scaling,
    linear,
  );
  const llama3 = {
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  };
  const scaling = {
    type: "llama3" as const,
    factor: 8,
    lowFrequencyFactor: 1,
    highFrequencyFactor: 4,
    originalPositions: 8192,
  };
  assertEquals((await read({ ...llama, rope_scaling: llama3 })).rope.scaling, scaling);
  const rope_parameters = { ...llama3, rope_theta: 700 };
  assertEquals((await read({ ...llama, rope_parameters })).rope, { theta: 700, scaling });
});

Deno.test("Gemma-3 has rotary positions of its own for sliding layers, in either spelling", async () => {
  const gemma3 = { ...gemma2, model_type: "gemma3_text", num_hidden_layers: 7 };
  const global = { theta: 1e6, scaling: { type: "linear" as const, factor: 8 } };
  const old = await read({ ...gemma3, rope_scaling: { rope_type: "linear", factor: 8 } });
  assertEquals([old.rope, old.slidingRope], [global, plainRope(10000)]);
  assertEquals(old.windows.map((window) => window > 0), [true, true, true, true, true, false, true]);
  assertEquals([old.attentionSoftCap, old.finalSoftCap], [0, 0]);
  const rope_parameters = {
    full_attention: { rope_type: "linear", factor: 8, rope_theta: 1e6 },
    sliding_attention: { rope_type: "default", rope_theta: 10000 },
  };
  const recent = await read({ ...gemma3, rope_parameters });
  assertEquals([recent.rope, recent.slidingRope], [global, plainRope(10000)]);
  assertEquals(ropeOf(recent, 5), global);
  assertEquals(ropeOf(recent, 6), plainRope(10000));
});

Deno.test("stretched rotary positions without their factor are refused", async () => {
  for (const type of ["linear", "dynamic", "yarn"]) {
    await assertRefused(
      `Field "rope_scaling.factor" is missing from file "DIR/config.json"; it must be ${noFactor(type)}.`,
      { ...llama, rope_scaling: { rope_type: type } },
    );
  }
});

Deno.test("two descriptions of rotary positions that contradict each other are refused", async () => {
  const rope_scaling = { rope_type: "linear", factor: 2 };
  assertEquals(
    (await read({ ...llama, rope_scaling, rope_parameters: { rope_theta: 10000 } })).rope.scaling.type,
    "linear",
  );
  await assertRefused(
    'Field "rope_parameters.rope_type" in file "DIR/config.json" is "default"; ' +
      'it must be "linear" or absent, because "rope_scaling" beside it takes the place of "rope_parameters".',
    { ...llama, rope_scaling, rope_parameters: { rope_type: "default" } },
  );
  await assertRefused(
    'Field "rope_parameters.rope_theta" in file "DIR/config.json" is 5; ' +
      'it must be 10000 or absent, because "rope_scaling" beside it takes the place of "rope_parameters".',
    { ...llama, rope_scaling, rope_parameters: { rope_theta: 5 } },
  );
});

Deno.test("stretched rotary positions without their numbers are refused", () =>
  assertRefused(
    `Field "rope_scaling.low_freq_factor" is missing from file "DIR/config.json"; it must be ${llama3Needs}.`,
    { ...llama, rope_scaling: { rope_type: "llama3", factor: 8 } },
  ));
