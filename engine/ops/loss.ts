/** Logits of single tokens, pair losses and cross-entropy. P positions, J pairs a position, K ids a position, D, V. */
import { f32, linearGrid, type Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import crossEntropyShader from "../../shaders/cross_entropy.wgsl" with { type: "text" };
import logitsBackward from "../../shaders/token_logits_backward.wgsl" with { type: "text" };
import logitsShader from "../../shaders/token_logits.wgsl" with { type: "text" };
import pairShader from "../../shaders/pair_loss.wgsl" with { type: "text" };
import weights from "../../shaders/weights.wgsl" with { type: "text" };
import type { Weight } from "./weight.ts";

/** `logit-difference`: -(desired - undesired), the paper's. `preference`: softplus of it, bounded below. */
export type Objective = "logit-difference" | "preference";

/** logits[P, K] = x[P, D] · table[ids[P, K]]: only the logits a loss needs, never the whole vocabulary. */
export function tokenLogits(plan: Plan, x: Tensor, table: Weight, ids: Tensor, logits: Tensor) {
  const vector = table.columns % 4 === 0;
  const width = vector ? table.columns / 4 : table.columns;
  for (const { tensor, firstRow, rows } of table.chunks) {
    plan.dispatch(
      {
        name: "token_logits",
        template: weights + logitsShader,
        values: { DTYPE: table.storage, VECTOR: vector },
      },
      [tensor, ids, x, logits],
      [ids.elements, ids.elements / x.shape[0]!, width, firstRow, rows],
      linearGrid(ids.elements, 64),
    );
  }
}

/** dx[P, D] = Σ_k dlogits[P, k] · table[ids[P, k]]. */
export function tokenLogitsBackward(plan: Plan, dlogits: Tensor, table: Weight, ids: Tensor, dx: Tensor) {
  table.chunks.forEach(({ tensor, firstRow, rows }, i) =>
    plan.dispatch(
      {
        name: "token_logits_backward",
        template: weights + logitsBackward,
        values: { DTYPE: table.storage, VECTOR: false, ACCUMULATE: i > 0 },
      },
      [tensor, ids, dlogits, dx],
      [dx.elements, ids.elements / dx.shape[0]!, table.columns, firstRow, rows],
      linearGrid(dx.elements, 64),
    )
  );
}

/**
 * Pair loss and gradient: logits and dlogits [P, J, 2] of (desired, undesired) before the final soft cap,
 * pairWeights [P, J], results [P, J, 2] of (weighted loss, difference).
 */
export function pairLoss(
  plan: Plan,
  objective: Objective,
  logits: Tensor,
  pairWeights: Tensor,
  finalSoftCap: number,
  dlogits: Tensor,
  results: Tensor,
) {
  plan.dispatch(
    { name: "pair_loss", template: pairShader, values: { OBJECTIVE: objective } },
    [logits, pairWeights, dlogits, results],
    [pairWeights.elements, f32(finalSoftCap)],
    linearGrid(pairWeights.elements, 64),
  );
}

/**
 * losses[P] of softmax(logits[P, V]) against targets u32 [P], times rowWeights [P]; logits become their gradient. Logits
 * that were capped (`finalSoftCap`) become the gradient of what they were before.
 */
export function crossEntropy(
  plan: Plan,
  logits: Tensor,
  targets: Tensor,
  rowWeights: Tensor,
  losses: Tensor,
  finalSoftCap = 0,
) {
  const [rows, width] = [logits.shape[0]!, logits.shape[1]!];
  plan.dispatch(
    { name: "cross_entropy", template: crossEntropyShader, values: { WG: 64, SOFT_CAP: finalSoftCap > 0 } },
    [targets, rowWeights, logits, losses],
    [rows, width, f32(finalSoftCap)],
    linearGrid(rows, 1),
  );
}
