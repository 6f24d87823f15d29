/** What an anchored update keeps: the tokens of greedy traces that the unchanged model had right, but for pivotal ones. */
import { z } from "npm:zod@4.6.7";
import type { AnchorSequence } from "../circuit/anchor_passes.ts";
import type { LocalizationExample } from "../circuit/localization.ts";
import { InputError } from "../errors.ts";
import { encodePrompt } from "../evaluation/prompt.ts";
import { seededRandom, shuffled } from "../random.ts";
import { promptOptions } from "./prompt_settings.ts";
import type { RunContext } from "./run_context.ts";

/** Traces that are kept at most, drawn by the run's seed. */
const mostTraces = 128;

const traceSchema = z.looseObject({
  template_id: z.string(),
  instance_id: z.string(),
  question: z.string(),
  kind: z.enum(["greedy", "sample"]),
  correct: z.boolean(),
  ids: z.array(z.int().nonnegative()),
});

/**
 * Sequences with the positions whose next token's distribution is kept.
 * @throws {InputError} where no greedy trace was right.
 */
export async function anchorSequences(
  { model, settings, folder }: Pick<RunContext, "model" | "settings" | "folder">,
  examples: readonly LocalizationExample[],
): Promise<AnchorSequence[]> {
  const path = await folder.intact("traces.jsonl");
  if (path === undefined) {
    throw new InputError(`"${folder.path}" holds no traces to keep; start over.`, "fresh");
  }
  const rows = (await Deno.readTextFile(path)).trim().split("\n").map((line) =>
    traceSchema.parse(JSON.parse(line))
  );
  const key = (of: { template_id: string; instance_id: string }) =>
    JSON.stringify([of.template_id, of.instance_id]);
  const pivots = new Map(examples.map((example) => [key(example), example.prefix_ids.length - 1]));
  const right = rows.filter(({ kind, correct }) => kind === "greedy" && correct);
  if (right.length === 0) {
    throw new InputError("No greedy trace was right, so there is nothing for the anchor to keep.", "anchor");
  }
  const drawn = shuffled(right, seededRandom(`${settings.seed}/anchor`)).slice(0, mostTraces);
  return drawn.map((row) => {
    const prompt = encodePrompt(model, row.question, promptOptions(settings));
    const pivot = pivots.get(key(row));
    return {
      ids: [...prompt, ...row.ids],
      positions: row.ids.map((_, i) => prompt.length - 1 + i).filter((position) => position !== pivot),
    };
  });
}
