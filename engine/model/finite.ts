/** Where a forward pass leaves the numbers: NaN and infinity, by site. */
import { NonFiniteError } from "../errors.ts";
import type { Model } from "./model.ts";
import type { SiteKind, SiteName } from "./sites.ts";

/** The sites of a layer in the order in which they are computed. */
const inOrder: readonly SiteKind[] = ["q", "k", "v", "attention_output", "mlp_neurons", "residual_after"];

/** Tokens that are looked at: the last ones, which see all before them. */
const mostTokens = 16;

/** The first site of a sequence's last tokens that holds NaN or infinity, or its logits; undefined where all are numbers. */
export async function firstNonFinite(
  model: Model,
  ids: readonly number[],
): Promise<SiteName | "logits" | undefined> {
  const positions = ids.map((_, i) => i).slice(-mostTokens);
  // A layer's few sites at a time, so that nothing much is held beside the pass itself.
  for (let layer = 0; layer < model.config.layers; layer++) {
    const sites = inOrder.map((kind): SiteName => `layers.${layer}.${kind}`);
    const capture = sites.map((site) => ({ site, positions }));
    const { captured, logits } = await model.run(ids, { positions: positions.slice(-1), capture });
    const bad = sites.find((site) => !captured.get(site)!.every(Number.isFinite));
    if (bad) return bad;
    if (layer === model.config.layers - 1 && !logits.every(Number.isFinite)) return "logits";
  }
}

/** What is wrong with a model whose forward pass over these ids came to something that is no number. */
export async function nonFiniteActivations(model: Model, ids: readonly number[]): Promise<NonFiniteError> {
  const site = await firstNonFinite(model, ids);
  return new NonFiniteError(
    `${
      site ? `The activations at ${site}` : "Activations of the model"
    } are NaN or infinite after ${ids.length} tokens; ` +
      "use weights, or a patch, that keep them finite.",
  );
}
