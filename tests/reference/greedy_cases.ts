/**
 * Makes a model's greedy_cases.json with the float64 reference, which shares nothing with the GPU's kernels:
 *
 *   deno run --allow-read --allow-write tests/reference/greedy_cases.ts MODEL_DIR
 *
 * Two word problems of each template. Problems where two tokens come so close that float32 might choose another are
 * passed over.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { plainTemplate } from "../../engine/evaluation/prompt.ts";
import { readConfig } from "../../engine/model/config.ts";
import { Tokenizer } from "../../engine/model/tokenizer.ts";
import { ReferenceModel } from "../../engine/reference/transformer.ts";
import { readTensors } from "./golden.ts";

/** One prompt and its greedy continuation, the end-of-sequence token included. */
export interface GreedyCase {
  readonly question: string;
  readonly prompt_ids: number[];
  readonly greedy_ids: number[];
  readonly text: string;
}

const tasks = fileURLToPath(new URL("../../fixtures/tasks/math.jsonl", import.meta.url));
const casesPerTemplate = 2;
const maxNewTokens = 48;
/** Least difference between the two largest logits. */
const clearMargin = 1e-2;

/** The reference model of a folder with one weight file. */
export async function loadReference(dir: string): Promise<ReferenceModel> {
  const weights = readTensors(join(dir, "model.safetensors"));
  const data = new Map([...weights].map(([name, tensor]) => [name, tensor.data]));
  return new ReferenceModel(await readConfig(dir), data);
}

/** Greedy ids after a prompt, and the least difference between the two largest logits on the way. */
export function greedyContinuation(model: ReferenceModel, prompt: readonly number[]) {
  const { vocabSize, eosTokens } = model.config;
  const ids: number[] = [];
  let margin = Infinity;
  while (ids.length < maxNewTokens && !eosTokens.includes(ids.at(-1)!)) {
    const last = model.forward([...prompt, ...ids]).logits.subarray(-vocabSize);
    const [first, second] = [...last].sort((a, b) => b - a);
    margin = Math.min(margin, first! - second!);
    ids.push(last.indexOf(first!));
  }
  return { ids, margin };
}

async function makeCases(dir: string): Promise<GreedyCase[]> {
  const [model, tokenizer] = [await loadReference(dir), await Tokenizer.load(dir)];
  const rows = (await Deno.readTextFile(tasks)).trim().split("\n").map((line) =>
    JSON.parse(line) as { original_id: number; question: string }
  );
  return [...Map.groupBy(rows, ({ original_id }) => original_id).values()].flatMap((problems) => {
    const cases: GreedyCase[] = [];
    for (const { question } of problems) {
      if (cases.length === casesPerTemplate) break;
      const prompt = tokenizer.encode(plainTemplate.replace("{question}", question));
      const { ids, margin } = greedyContinuation(model, prompt);
      if (margin < clearMargin) continue;
      const text = tokenizer.decode(ids, { skipSpecialTokens: true });
      cases.push({ question, prompt_ids: prompt, greedy_ids: ids, text });
    }
    return cases;
  });
}

if (import.meta.main) {
  const [dir] = Deno.args;
  if (!dir) throw new Error("Give the folder of a model.");
  const cases = await makeCases(dir);
  const lines = cases.map((one) => JSON.stringify(one)).join(",\n");
  await Deno.writeTextFile(join(dir, "greedy_cases.json"), `[\n${lines}\n]\n`);
  console.log(`${cases.length} cases in ${join(dir, "greedy_cases.json")}`);
}
