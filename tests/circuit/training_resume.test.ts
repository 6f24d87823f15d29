/** Trainings that are ended after any of their steps and go on from their last snapshot come to the same bits. */
import { assert, assertEquals } from "@std/assert";
import { amplify, type AmplifyOptions } from "../../engine/circuit/amplify.ts";
import { allRows } from "../../engine/circuit/components.ts";
import { learnMask, type MaskOptions } from "../../engine/circuit/mask_training.ts";
import type { TrainingSnapshot, TrainingStore } from "../../engine/circuit/training_store.ts";
import { TrainingState } from "../../engine/run/training_state.ts";
import { loadTwins, temporaryFolder, type Twins } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { goldenSelection, plain } from "./update_fixture.ts";

class Killed extends Error {}

/** Keeps every snapshot and ends the training after each, until it has gone on `most` times. */
class EndingStore implements TrainingStore {
  kept: TrainingSnapshot | undefined;
  ends = 0;

  constructor(private readonly most: number) {}

  load() {
    // Through text and bytes, as a file would.
    const { kept } = this;
    return Promise.resolve(
      kept && {
        facts: JSON.parse(JSON.stringify(kept.facts)),
        tensors: kept.tensors.map((tensor) => tensor.slice()),
      },
    );
  }

  async offer(bytes: number, take: () => Promise<TrainingSnapshot>) {
    if (this.ends >= this.most) return;
    this.kept = await take();
    assertEquals(this.kept.tensors.reduce((sum, { byteLength }) => sum + byteLength, 0), bytes);
    this.ends++;
    throw new Killed();
  }
}

async function untilDone<T>(work: () => Promise<T>): Promise<T> {
  while (true) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
    }
  }
}

const courses: Readonly<Record<string, Partial<MaskOptions>>> = {
  "all its epochs": { epochs: 20, patience: 0, batch: 1 },
  "standing still": { epochs: 400, patience: 1, batch: 1, rate: 0.1 },
  "the reference's stop": { epochs: 40, patience: 0.5, referenceStop: true, batch: 1 },
};
for (const [name, course] of Object.entries(courses)) {
  gpuTest(
    `a mask whose training is ended between submissions is the same, up to ${name}`,
    async ({ gpu }) => {
      using twins = await loadTwins(gpu, "gemma2-tiny");
      const { model, examples } = twins;
      const options = { rate: 0.05, strength: 0.02, ...course };
      const whole = await learnMask(model, examples, options);
      const store = new EndingStore(40);
      assertEquals(await untilDone(() => learnMask(model, examples, { ...options, store })), whole);
      assert(store.ends > 1, `${store.ends}`);
    },
  );
}

/** Scores that make steps 2 and 5 the best so far. */
const scores = [0.5, 0.4, 0.6, 0.3, 0.6, 0.7, 0.2];

async function update(twins: Twins, changes: Partial<AmplifyOptions>, rows: "circuit" | "all" = "circuit") {
  const { model, examples } = twins;
  const selection = rows === "circuit" ? goldenSelection(twins) : allRows(model);
  const options = { ...plain, steps: 6, validateEvery: 1, ...changes };
  const { values, ...rest } = await amplify(
    model,
    selection,
    examples,
    options,
    (step) => Promise.resolve(scores[step]!),
  );
  return {
    ...rest,
    values: [...values!.values()],
    logits: (await model.run(examples[0]!.prefix_ids)).logits,
  };
}

const updates: Readonly<Record<string, Partial<AmplifyOptions>>> = {
  "sgd": {},
  "AdamW with decay, validated every second step": {
    optimizer: "adamw",
    weightDecay: 0.1,
    rate: 0.01,
    validateEvery: 2,
  },
  "a normalized step and patience": { normalize: true, patience: 2 },
};
for (const [name, changes] of Object.entries(updates)) {
  gpuTest(`an update by ${name} that is ended after every step keeps the same rows`, async ({ gpu }) => {
    using twins = await loadTwins(gpu, "gemma2-tiny");
    const whole = await update(twins, changes);
    const store = new EndingStore(20);
    assertEquals(await untilDone(() => update(twins, { ...changes, store })), whole);
    assert(store.ends >= 3, `${store.ends}`);
  });
}

gpuTest("low-rank factors that are ended after every step go on with their moments", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "gemma2-tiny");
  const lora = { optimizer: "adamw", rate: 0.01, lora: { rank: 2, seed: 3 } } as const;
  const whole = await update(twins, lora, "all");
  assertEquals(await untilDone(() => update(twins, { ...lora, store: new EndingStore(0) }, "all")), whole);
  const store = new EndingStore(20);
  assertEquals(await untilDone(() => update(twins, { ...lora, store }, "all")), whole);
  assertEquals(store.ends, 6);
});

gpuTest("rounds that are ended after every step go on with their own examples", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "gemma2-tiny");
  const asked: number[] = [];
  // The third round has none of its own and goes on with those of the second.
  const rounds = {
    stepsPerRound: 2,
    examples(round: number) {
      asked.push(round);
      return Promise.resolve(round === 3 ? [] : twins.examples.slice(round - 1));
    },
  };
  const whole = await update(twins, { rounds });
  assertEquals(asked, [2, 3]);
  const store = new EndingStore(20);
  assertEquals(await untilDone(() => update(twins, { rounds, store })), whole);
  assertEquals(store.ends, 6);
});

Deno.test("a snapshot comes back from its file, and none that is damaged or of another training", async () => {
  await using folder = await temporaryFolder();
  const tensors = [Float32Array.of(1.5, -0, 1e-40), Float32Array.of(NaN), new Float32Array(0)];
  const facts = { step: 3, loss: 0.1 + 0.2 };
  const state = new TrainingState(folder.path, "update");
  assertEquals(await state.load(), undefined);
  await state.offer(16, () => Promise.resolve({ facts, tensors }));
  assertEquals(await state.load(), { facts, tensors });
  assertEquals(await new TrainingState(folder.path, "control random").load(), undefined);
  // Not again at once, and never more than a disk should take.
  let taken = 0;
  const take = () => (taken++, Promise.resolve({ facts, tensors }));
  await state.offer(16, take);
  await new TrainingState(folder.path, "large").offer(2 ** 32, take);
  assertEquals(taken, 0);
  const [{ name }] = await Array.fromAsync(Deno.readDir(`${folder.path}/training`)) as [Deno.DirEntry];
  const path = `${folder.path}/training/${name}`;
  const bytes = await Deno.readFile(path);
  for (const at of [0, 20, bytes.length - 1]) {
    await Deno.writeFile(path, bytes.with(at, bytes[at]! ^ 1));
    assertEquals(await state.load(), undefined);
  }
  await Deno.writeFile(path, bytes.subarray(0, -1));
  assertEquals(await state.load(), undefined);
});
