/** Components: their order, their rows in the checkpoint, and the random control. Legend as in components.ts. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import {
  componentAt,
  componentKinds,
  countSelected,
  kindCounts,
  randomLike,
  selectComponents,
  selectedRows,
} from "../../engine/circuit/components.ts";
import { readBaseRows } from "../../engine/circuit/overlay.ts";
import { seededRandom } from "../../engine/random.ts";
import { golden, goldenArchitectures, loadTwins } from "../model/model_fixture.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";

Deno.test("a layer's components are its query heads, key heads, value heads and neurons in this order", async () => {
  const { config } = await golden("gemma2-tiny"); // H 4, K 2, F 48: 56 a layer
  assertEquals(kindCounts(config), { q: 4, k: 2, v: 2, mlp: 48 });
  assertEquals(componentAt(config, 0), { layer: 0, kind: "q", number: 0 });
  assertEquals(componentAt(config, 3), { layer: 0, kind: "q", number: 3 });
  assertEquals(componentAt(config, 4), { layer: 0, kind: "k", number: 0 });
  assertEquals(componentAt(config, 6), { layer: 0, kind: "v", number: 0 });
  assertEquals(componentAt(config, 8), { layer: 0, kind: "mlp", number: 0 });
  assertEquals(componentAt(config, 55), { layer: 0, kind: "mlp", number: 47 });
  assertEquals(componentAt(config, 56), { layer: 1, kind: "q", number: 0 });
  assertEquals(componentAt(config, 56 * 2 + 7), { layer: 2, kind: "v", number: 1 });
});

Deno.test("components above one half are selected, one half itself is not", () => {
  assertEquals(selectComponents(Float32Array.of(0, 0.5, 0.50001, 1)), [false, false, true, true]);
});

Deno.test("selected components are counted by kind", async () => {
  const { config } = await golden("gemma2-tiny");
  const selection = new Array<boolean>(168).fill(false);
  for (const i of [0, 5, 7, 60, 64, 65, 167]) selection[i] = true;
  assertEquals(countSelected(config, selection), {
    selected: 7,
    total: 168,
    percent: 100 * 7 / 168,
    by_kind: { q: 1, k: 2, v: 1, mlp: 3 },
  });
});

for (const name of goldenArchitectures) {
  gpuTest(`the rows of each component of ${name} are those of its projection`, async ({ gpu }) => {
    using twins = await loadTwins(gpu, name);
    const { model, golden: { config, weights } } = twins;
    const total = config.layers * model.componentsPerLayer;
    const matrices = {
      q: "self_attn.q_proj",
      k: "self_attn.k_proj",
      v: "self_attn.v_proj",
      mlp: "mlp.up_proj",
    };
    for (let i = 0; i < total; i += 5) {
      const selected = selectedRows(model, Array.from({ length: total }, (_, c) => c === i));
      assertEquals(selected.length, 1);
      const [{ layer, weight, rows }] = selected as [typeof selected[number]];
      const component = componentAt(config, i);
      const own = weights.get(`model.layers.${component.layer}.${matrices[component.kind]}.weight`)!;
      const size = (component.kind === "mlp" ? 1 : config.headWidth) * config.hiddenSize;
      const expected = own.subarray(component.number * size, (component.number + 1) * size);
      assertEquals(layer, component.layer);
      assertEquals(
        Float64Array.from(await readBaseRows(model, weight, rows)),
        expected.slice(),
        JSON.stringify(component),
      );
    }
  });
}

gpuTest("rows of several components come ascending and matrix by matrix", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "gemma2-tiny");
  const selection = new Array<boolean>(168).fill(false);
  for (const i of [1, 6, 8, 10, 112 + 55]) selection[i] = true; // q1, v0, neurons 0 and 2; neuron 47 of layer 2
  const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
  assertEquals(selectedRows(twins.model, selection).map((r) => [r.layer, r.matrix, [...r.rows]]), [
    [0, "qkv", [...range(16, 16), ...range((4 + 2) * 16, 16)]],
    [0, "gateUp", [48 + 0, 48 + 2]],
    [2, "gateUp", [48 + 47]],
  ]);
});

Deno.test("a random control has as many components of each kind in each layer", async () => {
  const { config } = await golden("olmo2-tiny");
  const perLayer = 4 + 4 + 4 + 56;
  const random = seededRandom("selection");
  const selection = Array.from({ length: 3 * perLayer }, (_, i) => {
    const { layer, kind } = componentAt(config, i);
    if (layer === 1 && kind === "v") return true; // a full group
    if (layer === 2 && kind === "k") return false; // an empty one
    return random() < 0.3;
  });
  const countByGroup = (flags: readonly boolean[]) => {
    const counts: Record<string, number> = {};
    for (let layer = 0; layer < 3; layer++) {
      for (const kind of componentKinds) counts[`${layer} ${kind}`] = 0;
    }
    flags.forEach((flag, i) => {
      const { layer, kind } = componentAt(config, i);
      if (flag) counts[`${layer} ${kind}`]!++;
    });
    return counts;
  };
  const drawn = Array.from({ length: 40 }, (_, n) => randomLike(config, selection, seededRandom(n)));
  for (const control of drawn) assertEquals(countByGroup(control), countByGroup(selection));
  assertEquals(randomLike(config, selection, seededRandom(0)), drawn[0]);
  assertNotEquals(drawn[0], drawn[1]);
  // Every member of a partly selected group is drawn sooner or later, and none always.
  const neurons = drawn[0]!.map((_, i) => i).filter((i) => componentAt(config, i).kind === "mlp");
  const times = neurons.map((i) => drawn.filter((control) => control[i]).length);
  assert(times.every((count) => count > 0 && count < drawn.length), times.join());
});
