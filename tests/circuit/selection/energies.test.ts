/** Squared gradients by component against the float64 twins' gradients. */
import { assertEquals, assertRejects } from "@std/assert";
import { languageEnergies, taskEnergies } from "../../../engine/circuit/selection/energies.ts";
import { gainForHarmScores } from "../../../engine/circuit/selection/gain_for_harm.ts";
import { InputError } from "../../../engine/errors.ts";
import { updateLossAndGradients } from "../../../engine/reference/objectives.ts";
import { goldenArchitectures, loadTwins, type Twins } from "../../model/model_fixture.ts";
import { assertClose, gpuTest } from "../../ops/gpu_fixture.ts";
import { languageLoss } from "../../reference/training.ts";

/** Squared gradient of each component from gradients by checkpoint name: C rows a head, one row of up_proj a neuron. */
function expectedEnergies({ model }: Twins, gradients: ReadonlyMap<string, ArrayLike<number>>): number[] {
  const { layers, headWidth: C, hiddenSize: D } = model.config;
  return Array.from(
    { length: layers },
    () =>
      [["self_attn.q_proj", C], ["self_attn.k_proj", C], ["self_attn.v_proj", C], [
        "mlp.up_proj",
        1,
      ]] as const,
  )
    .flatMap((parts, l) =>
      parts.flatMap(([part, height]) => {
        const gradient = Array.from(gradients.get(`model.layers.${l}.${part}.weight`)!);
        const size = height * D;
        return Array.from(
          { length: gradient.length / size },
          (_, c) => gradient.slice(c * size, (c + 1) * size).reduce((sum, value) => sum + value ** 2, 0),
        );
      })
    );
}

for (const name of goldenArchitectures) {
  gpuTest(`task energies of ${name} are the squared gradients of the reference`, async ({ gpu }) => {
    using twins = await loadTwins(gpu, name);
    const { gradients } = updateLossAndGradients(twins.reference, twins.referenceExamples, "preference");
    const energies = await taskEnergies(twins.model, twins.examples, "preference");
    assertClose("energies", energies, expectedEnergies(twins, gradients), 1e-3);
    assertEquals(twins.model.weights.layers.some(({ qkv, gateUp }) => qkv.overlay ?? gateUp.overlay), false);
  });

  gpuTest(`text energies of ${name} are those of the reference, sequence by sequence`, async ({ gpu }) => {
    using twins = await loadTwins(gpu, name);
    const sequences = [{ ids: [1, 7, 9, 30, 30, 7, 12], skip: 3 }, { ids: [1, 60, 7, 2], skip: 1 }];
    const each = sequences.map(({ ids, skip }) =>
      languageLoss(twins.reference, [{ ids, promptLength: skip }], 0).gradients
    );
    const { fisher, mean } = await languageEnergies(twins.model, sequences);
    const energies = each.map((gradients) => expectedEnergies(twins, gradients));
    assertClose("fisher", fisher, energies[0]!.map((value, i) => (value + energies[1]![i]!) / 2), 1e-3);
    const average = new Map(
      [...each[0]!].map(([key, values]) => [
        key,
        Array.from(values, (value: number, i: number) => (value + each[1]!.get(key)![i]!) / 2),
      ]),
    );
    assertClose("mean", mean, expectedEnergies(twins, average), 1e-3);
  });
}

gpuTest("text without a token to predict is refused", async ({ gpu }) => {
  using twins = await loadTwins(gpu, "llama-tiny");
  await assertRejects(() => languageEnergies(twins.model, [{ ids: [1], skip: 0 }]), InputError, "no text");
});

Deno.test("gain for harm prefers what disturbs less, and nothing wins by harm near zero alone", () => {
  const scores = gainForHarmScores([4, 4, 1e-6, 0], [1, 9, 0, 0]);
  assertEquals(scores[0]! > scores[1]!, true);
  assertEquals(scores[1]! > scores[2]!, true);
  assertEquals(scores[3], 0);
});
