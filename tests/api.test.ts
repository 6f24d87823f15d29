/** The whole way through the public API, as a script outside of the repository would go it: mod.ts and nothing else. */
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import {
  addContrast,
  amplify,
  applyPatch,
  componentAt,
  countSelected,
  encodePrompt,
  evaluateTask,
  extractPatch,
  generate,
  Gpu,
  greedyTraces,
  InputError,
  learnMask,
  loadProblems,
  Model,
  plainTemplate,
  prefixPivots,
  readPatch,
  selectComponents,
  SparseUpdate,
  splitProblems,
  traceDefaults,
  writePatch,
} from "../mod.ts";

const folder = fileURLToPath(new URL("../fixtures/tiny-model", import.meta.url));

Deno.test("a script amplifies a circuit, saves the patch and applies it with mod.ts alone", async () => {
  using gpu = await Gpu.open();
  using model = await Model.load(gpu, folder);

  // Generate.
  const question = "Kim has 24 cups. Kim buys 17 more. How many cups does Kim have?";
  const ids = encodePrompt(model, question, { template: plainTemplate });
  const [tokens] = await generate(model, [{ ids }], { maxNewTokens: 48 });
  const text = model.tokenizer.decode(tokens!, { skipSpecialTokens: true });
  assertEquals(text, " 24 + 17 = 41. The answer is 41.");

  // Capture an activation.
  const site = "layers.1.mlp_neurons";
  const last = ids.length - 1;
  const { logits, captured } = await model.run(ids, {
    positions: [last],
    capture: [{ site, positions: [last] }],
  });
  assertEquals(captured.get(site)!.length, model.config.mlpWidth);
  assertEquals(logits.indexOf(Math.max(...logits)), tokens![0]);

  // Find pivotal tokens and the components that decide them.
  const { train, validation } = splitProblems(await loadProblems(`${folder}/math.jsonl`), 0);
  const prompt = { template: plainTemplate, maxNewTokens: 48 };
  const options = { ...traceDefaults, ...prompt, seed: 0, samples: 4 };
  const traces = await addContrast(model, await greedyTraces(model, train.slice(0, 60), options), options);
  const { examples } = prefixPivots(model, traces);
  assertGreater(examples.length, 5);
  const learned = await learnMask(model, examples, { rate: 0.1, epochs: 3, patience: 0 });
  assertLess(learned.losses.at(-1)!, learned.losses[0]!);
  const selection = selectComponents(learned.mask);
  const { selected, by_kind } = countSelected(model.config, selection);
  assert(selected > 0 && selected < selection.length, `${selected} of ${selection.length} selected`);
  assertEquals(componentAt(model.config, selection.length - 1), { layer: 3, kind: "mlp", number: 383 });
  assertEquals(Object.values(by_kind).reduce((a, b) => a + b), selected);

  // Update them, scoring each step.
  const settings = { objective: "preference", optimizer: "sgd", rate: 0.05, weightDecay: 0 } as const;
  const lossNow = async () => {
    using update = new SparseUpdate(model, selection, examples, settings);
    return (await update.gradient()).loss;
  };
  const before = await lossNow();
  const task = { name: "math", problems: validation.slice(0, 24), scoring: "number" } as const;
  const loop = { ...settings, steps: 2, validateEvery: 1, mustChange: true };
  const scores: number[] = [];
  const { bestStep, history } = await amplify(model, selection, examples, loop, async () => {
    scores.push((await evaluateTask(model, task, prompt)).accuracy);
    return scores.at(-1)!;
  });
  assertEquals(history.map(({ accuracy }) => accuracy), scores);
  assertEquals(scores[bestStep], Math.max(...scores.slice(1)));

  // Save the change, take it back, and apply it again.
  const patches = await Deno.makeTempDir({ prefix: "circuit-amp-test-" });
  try {
    await writePatch(patches, await extractPatch(model), { step: bestStep });
    const amplified = (await model.run(ids)).logits;
    model.revert();
    assertEquals((await model.run(ids, { positions: [last] })).logits, logits);
    assertEquals(await lossNow(), before);
    model.revert();
    await applyPatch(model, await readPatch(patches));
    assertEquals((await model.run(ids)).logits, amplified);
    assertEquals((await evaluateTask(model, task, prompt)).accuracy, scores[bestStep]);
  } finally {
    await Deno.remove(patches, { recursive: true });
  }
});

Deno.test("mistakes come as errors that a script can tell from defects", async () => {
  using gpu = await Gpu.open();
  const error = await Model.load(gpu, "no/such/model").catch((error) => error);
  assert(error instanceof InputError);
  assertEquals(error.name, "InputError");
});
