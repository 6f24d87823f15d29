/** The README.md of a trained model: what it is, how it was made, how well it does. */
import { kinds } from "./exercises.ts";
import { type PretrainSettings, trainingOptions } from "./recipe.ts";
import type { TrainingFolder } from "./training_folder.ts";

const titles = { gemma2: "Gemma-2", olmo2: "OLMo-2" } as const;

/** What the model is, in a line. */
export function modelTitle({ shape, seed }: PretrainSettings): string {
  return `A small ${titles[shape]} that does some arithmetic, seed ${seed}`;
}

/** The text for a folder whose training and measurement are noted. */
export function modelCard(folder: TrainingFolder, settings: PretrainSettings): string {
  const { shape, sizes, steps, batch, seed, dataSeed } = settings;
  const { loss, tokens, parameters } = folder.noted("trained") as Record<string, number>;
  const accuracy = folder.noted("accuracy") as Record<string, number>;
  const perTemplate = Object.values(folder.noted("per_template") as Record<string, number>);
  const versions = folder.noted("versions") as Record<string, string>;
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const { betas, weightDecay, clip, promptWeight } = trainingOptions;
  const window = shape === "gemma2" ? ` sliding window ${sizes.window} on even layers,` : "";
  const spread = `${percent(Math.min(...perTemplate))} to ${percent(Math.max(...perTemplate))} by template`;
  const rows = kinds.map((kind) =>
    `| ${kind}.jsonl | ${percent(accuracy[kind]!)}${kind === "math" ? ` (${spread})` : ""} |`
  );
  return `# ${modelTitle(settings)}

${
    (parameters! / 1e6).toFixed(2)
  } M parameters: ${sizes.layers} layers, width ${sizes.hidden}, ${sizes.queryHeads} query heads, \
${sizes.keyValueHeads} key/value heads, head width ${sizes.headWidth}, MLP ${sizes.mlp},${window} tied embeddings. Float16, Hugging \
Face layout. Made from nothing but seeds by

    deno task pretrain --shape ${shape} --steps ${steps} --batch ${batch} --seed ${seed} --data-seed ${dataSeed}

on ${folder.noted("adapter")} with circuit-amp ${versions.circuit_amp} and Deno ${versions.deno}; the same \
command on the same adapter gives the same file, bit for bit, as long as no kernel comes to add in another order.

Trained on ${
    (tokens! / 1e6).toFixed(2)
  } M tokens of generated exercises, 70 % arithmetic word problems and 10 % each of facts, \
choices and reversals, in ${steps} AdamW steps of ${batch} (betas ${
    betas.join("/")
  }, weight decay ${weightDecay}, clip ${clip}, \
prompt tokens weigh ${promptWeight}; engine/pretrain/recipe.ts has the schedule) to a loss of ${
    loss!.toFixed(3)
  }. No question of \
the data sets was trained on, but for the facts. Training stops before arithmetic is mastered, so that there is something to amplify.

| data set (fixtures/tasks for data seed 0) | greedy accuracy |
|---|---|
${rows.join("\n")}

The prompt is \`Q: {question}\\nA:\`; 48 new tokens are enough (\`prompt.json\`). \`loss.jsonl\` and \`loss.svg\` show the loss of every step,
\`pretrain.json\` the settings and accuracies.
`;
}
