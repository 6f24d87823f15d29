/** Activations captured and patched by Model.run, against the float64 twin. Shapes as in sites.ts. */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { InputError } from "../../engine/errors.ts";
import type { Model } from "../../engine/model/model.ts";
import { type SiteKind, siteKinds, type SiteName, siteWidth } from "../../engine/model/sites.ts";
import { assertClose, gpuTest } from "../ops/gpu_fixture.ts";
import type { ForwardResult } from "../../engine/reference/transformer.ts";
import { goldenArchitectures, loadTwins, type Twins } from "./model_fixture.ts";

/** [T, width] of a site as the twin computed it. */
function expectedAt(forward: ForwardResult, layer: number, kind: SiteKind): Float64Array {
  const own = forward.layers[layer]!;
  return {
    residual_before: own.input,
    residual_after: forward.layers[layer + 1]?.input ?? forward.final,
    q: own.maskedQueries,
    k: own.maskedKeys,
    v: own.values,
    attention_output: own.attended,
    mlp_neurons: own.neurons,
  }[kind];
}

/** Rows of x [T, width]. */
function rowsOf(x: Float64Array, rows: readonly number[], tokens: number): Float64Array {
  const width = x.length / tokens;
  return Float64Array.from(rows.flatMap((row) => [...x.subarray(row * width, (row + 1) * width)]));
}

/** Every site of a model. */
function allSites(model: Model): SiteName[] {
  return Array.from({ length: model.config.layers }, (_, l) => l)
    .flatMap((l) => siteKinds.map((kind): SiteName => `layers.${l}.${kind}`));
}

/** A sequence longer than the sliding windows of the golden models. */
const sequenceOf = ({ golden }: Twins, row = 0) =>
  golden.cases.logits.input_ids[row]!.slice(golden.cases.logits.left_padding[row]);

for (const name of goldenArchitectures) {
  gpuTest(`every site of ${name} is captured as the reference computes it`, async ({ gpu }) => {
    using twins = await loadTwins(gpu, name);
    const { model, reference } = twins;
    const ids = sequenceOf(twins);
    const positions = [ids.length - 1, 0, 7];
    const forward = reference.forward(ids);
    const capture = allSites(model).map((site) => ({ site, positions }));
    const { captured, logits } = await model.run(ids, { positions, capture });
    assertEquals([...captured.keys()], allSites(model));
    for (const [site, values] of captured) {
      const [, layer, kind] = site.split(".");
      const expected = expectedAt(forward, Number(layer), kind as SiteKind);
      assertClose(site, values, rowsOf(expected, positions, ids.length), 1e-4);
    }
    assertClose("logits", logits, rowsOf(forward.logits, positions, ids.length), 1e-4);
  });

  gpuTest(`patching what was captured in ${name} changes no bit of its logits`, async ({ gpu }) => {
    using twins = await loadTwins(gpu, name);
    const { model } = twins;
    const ids = sequenceOf(twins);
    const plain = await model.run(ids, { capture: allSites(model).map((site) => ({ site })) });
    const all = ids.map((_, i) => i);
    const patch = [...plain.captured].map(([site, values]) => ({ site, positions: all, values }));
    assertEquals((await model.run(ids, { patch })).logits, plain.logits);
  });

  gpuTest(`the last residual of another prompt gives ${name} that prompt's last logits`, async ({ gpu }) => {
    using twins = await loadTwins(gpu, name);
    const { model } = twins;
    const [ids, other] = [sequenceOf(twins, 0), sequenceOf(twins, 1)];
    const site: SiteName = `layers.${model.config.layers - 1}.residual_after`;
    const [last, otherLast] = [[ids.length - 1], [other.length - 1]];
    const wanted = await model.run(other, {
      positions: otherLast,
      capture: [{ site, positions: otherLast }],
    });
    const plain = await model.run(ids, { positions: last });
    const patch = [{ site, positions: last, values: wanted.captured.get(site)! }];
    assertEquals((await model.run(ids, { positions: last, patch })).logits, wanted.logits);
    assertNotEquals(plain.logits, wanted.logits);
  });
}

gpuTest("a patch in the last layer reaches later positions through keys and values only", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "llama-tiny");
  const { model } = twins;
  const ids = sequenceOf(twins);
  const vocab = model.config.vocabSize;
  const plain = (await model.run(ids)).logits;
  const at = 9;
  for (const kind of siteKinds) {
    const site: SiteName = `layers.2.${kind}`;
    const values = new Float32Array(siteWidth(kind, model.config)).fill(0.25);
    const { logits, captured } = await model.run(ids, {
      patch: [{ site, positions: [at], values }],
      capture: [{ site, positions: [at] }],
    });
    assertEquals(captured.get(site), values);
    const changed = (from: number, to: number) =>
      plain.subarray(from * vocab, to * vocab).some((value, i) => value !== logits[from * vocab + i]);
    assert(!changed(0, at), `${kind}: earlier positions changed`);
    assert(changed(at, at + 1), `${kind}: the position itself did not change`);
    assertEquals(changed(at + 1, ids.length), ["residual_before", "k", "v"].includes(kind), kind);
  }
});

gpuTest("sites, sizes and positions that do not exist are refused", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "gemma2-tiny");
  const { model } = twins;
  const ids = sequenceOf(twins);
  const values = new Float32Array(model.config.hiddenSize);
  const refused: [Parameters<Model["run"]>[1], string][] = [
    [{ capture: [{ site: "layers.0.gate" as SiteName }] }, 'Unknown site "layers.0.gate"'],
    [{ capture: [{ site: "layers.x.q" as SiteName }] }, 'Unknown site "layers.x.q"'],
    [{ capture: [{ site: "layers.3.q" }] }, "layers 0 to 2"],
    [{ patch: [{ site: "layers.9.v", positions: [0], values }] }, "layers 0 to 2"],
    [{ patch: [{ site: "layers.0.residual_before", positions: [0, 1], values }] }, "2 × 32"],
    [{ patch: [{ site: "layers.0.mlp_neurons", positions: [0], values }] }, "1 × 48"],
    [{ capture: [{ site: "layers.0.q", positions: [ids.length] }] }, `Position ${ids.length}`],
    [{ positions: [-1] }, "Position -1"],
    [{ positions: [0.5] }, "Position 0.5"],
  ];
  const { liveBuffers } = gpu.memory;
  for (const [options, part] of refused) {
    await assertRejects(() => model.run(ids, options), InputError, part);
    assertEquals(gpu.memory.liveBuffers, liveBuffers, part);
  }
  await assertRejects(() => model.run([]), InputError, "no tokens");
  await assertRejects(() => model.run([model.config.vocabSize]), InputError, "vocabulary");
});
