/** A small run folder made by hand, with all that a report reads; texts in it try to be markup. */
import { join } from "node:path";
import { writeSafetensors } from "../../engine/checkpoint/checkpoint.ts";
import { writeJson } from "../../engine/files.ts";

/** What a completion says that would end the data block, run a script or break an attribute if it were not escaped. */
export const hostile = `</script><script>document.title="taken"</script><!-- "'&<b onclick=x>`;

/** What both traces of a pivot begin with. */
export const traceBefore = `\n${hostile}`;

const layout = { layers: 2, per_layer: { q: 2, k: 1, v: 1, mlp: 60 }, head_width: 2 };
/** Components of a layer. */
export const perLayer = 64;

const arm = (gain: number) => ({
  components: 3,
  parameters: 40,
  parameter_share: 0.02,
  capture_ratio: 1.5,
  overlap: { components: 0.1, parameters: 0.1 },
  gain,
  ci95: [gain - 0.02, gain + 0.02],
  update_norm: 0.5,
  negative_flips: 1,
  tries: 1,
});
const control = (gain: number) => ({
  ...arm(gain),
  amplified: 0.5 + gain,
  best_step: 2,
  other_abilities: { fact: 0.75 },
  flips_against: { positive: 2, negative: 1 },
  p: 0.5,
});
const capture = { draws: 1000, mean: 1, interval: [0.8, 1.2], rank_p: 0.01 };

/** summary.json of the folder. */
export const summary = {
  model: "fixtures/none",
  data: "none.jsonl",
  seed: 3,
  localization_examples: 2,
  components: { selected: 3, total: 128, percent: 2.3, by_kind: { q: 1, k: 0, v: 1, mlp: 1 } },
  circuit: { ...arm(0.1), p: 0.02 },
  verdict: ["The update gained +10.0 points on the task.", `It may not be claimed that ${hostile} was kept.`],
  selection: {
    method: "dcm",
    circuit: arm(0.1),
    squared_gradient_share: 0.2,
    random_capture: { same_composition: capture, same_parameters: capture },
  },
  accuracy: { base: 0.5, amplified: 0.6, gain: 0.1, ci95: [0.02, 0.18] },
  per_template: { "0": { base: 0.5, amplified: 0.75 }, "1": { base: 0.5, amplified: 0.25 } },
  flips: { positive: 2, negative: 1, mcnemar_p: 1 },
  other_abilities: { fact: { base: 0.75, amplified: 0.7 } },
  controls: { "random": control(0.04), "random-2": control(0.12), "inverted": control(-0.03) },
  best_step: 2,
  changed_parameters_percent: 2,
  seconds: { identify: 2, mask: 30, update: 60, evaluate: 3, controls: 5, total: 100 },
  adapter: "none",
};

/** Test problems with their answers before and after: became right twice, became wrong once, changed nothing once. */
export const outcomes = [
  { template_id: "0", before: false, after: true },
  { template_id: "0", before: false, after: true },
  { template_id: "1", before: true, after: false },
  { template_id: "1", before: true, after: true },
];

const lines = (rows: readonly unknown[]) => rows.map((row) => JSON.stringify(row) + "\n").join("");

/** Writes the folder, or only its summary. */
export async function writeRunFolder(folder: string, { onlySummary = false, seed = 3 } = {}): Promise<void> {
  const at = (name: string) => join(folder, name);
  await Deno.mkdir(folder, { recursive: true });
  await writeJson(at("summary.json"), { ...summary, seed });
  if (onlySummary) return;
  await writeJson(at("config.json"), {
    settings: { seed, prompt: { template: hostile }, mask: { epochs: 3 } },
    inputs: {},
    versions: { circuit_amp: "0", deno: "0" },
    adapter: "none",
    kernels: {},
  });
  const mask = (l: number) =>
    Float32Array.from({ length: perLayer }, (_, i) => Number(i === l || i === 3 + 40 * l));
  const energies = Float32Array.from({ length: perLayer }, (_, i) => i);
  const tensors = (name: string, of: (l: number) => Float32Array<ArrayBuffer>) =>
    Object.fromEntries([0, 1].map((l) => [
      `${name}.layers.${l}`,
      { dtype: "F32" as const, shape: [perLayer], data: of(l) },
    ]));
  await writeSafetensors(at("mask.safetensors"), tensors("mask", mask));
  await writeSafetensors(at("energies.safetensors"), tensors("energy", () => energies));
  await writeJson(at("mask.json"), { layout, losses: [3, 2, 1], selected: [128, 20, 3], steps: 3 });
  await writeJson(at("update.json"), {
    best_step: 2,
    trainable: 40,
    history: [{ step: 0, accuracy: 0.5, loss: 1 }, { step: 2, accuracy: 0.625, loss: 0.5 }],
    tries: [{ rate: 0.1, best_step: 2, accuracy: 0.625 }, { rate: 1, best_step: 0, accuracy: null }],
  });
  const matrix = (name: string, rows: number[], delta: number[]) => ({
    [`${name}.rows`]: { dtype: "I32" as const, shape: [rows.length], data: Int32Array.from(rows) },
    [`${name}.delta`]: {
      dtype: "F32" as const,
      shape: [rows.length, delta.length / rows.length],
      data: Float32Array.from(delta),
    },
  });
  await writeSafetensors(at("patch.safetensors"), {
    ...matrix("model.layers.1.self_attn.q_proj.weight", [2, 3], [3, 0, 0, 4]),
    ...matrix("model.layers.0.mlp.up_proj.weight", [7], [6, 8]),
  }, { format: "circuit-amp-patch-2", base_sha256: "0".repeat(64) });
  const problem = (i: number) => ({ template_id: outcomes[i]!.template_id, instance_id: String(i) });
  const example = (i: number) => ({
    ...problem(i),
    prefix: "Q: 1 + 1",
    prefix_ids: [1, 2],
    desired_token: 3,
    undesired_token: 4,
    greedy_correct: i === 0,
  });
  await writeJson(at("localization.json"), [example(0), example(2)]);
  await Deno.writeTextFile(
    at("pivots.jsonl"),
    lines(
      [0, 2].map((i) => ({
        omitted: 5 * i,
        tokens: ["Q:", " 1", "\n", hostile],
        desired: { text: " 2", probability: i === 0 ? 0.2 : 0.6 },
        undesired: { text: " 3", probability: i === 0 ? 0.7 : 0.3 },
      })),
    ),
  );
  await Deno.writeTextFile(
    at("traces.jsonl"),
    lines(
      [0, 2].flatMap((i) =>
        [true, false].map((correct) => ({
          ...problem(i),
          correct,
          text: `${traceBefore} ${correct ? 2 : 3}, so ${correct}`,
        }))
      ),
    ),
  );
  const answers = (which: "before" | "after") =>
    lines(outcomes.map((outcome, i) => ({
      ...problem(i),
      question: `Question ${i}?`,
      answer: `#### ${i}`,
      completion: `${which} ${i} ${hostile}`,
      correct: outcome[which],
    })));
  await Deno.writeTextFile(at("answers_base.jsonl"), answers("before"));
  await Deno.writeTextFile(at("answers_amplified.jsonl"), answers("after"));
  await writeJson(at("evaluations.json"), {
    base: {},
    amplified: { pivots: { desired: [0.6, 0.7], undesired: [0.3, 0.2] } },
    random: {},
  });
}
