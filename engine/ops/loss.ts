/** Logits of single tokens, pair losses and cross-entropy. P positions, J pairs a position, K ids a position, D, V. */
import type { Plan } from "../gpu/plan.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { kernel } from "./kernels.ts";
import { variantFor } from "./variants.ts";
import type { Weight } from "./weight.ts";

/** `logit-difference`: -(desired - undesired), the paper's. `preference`: softplus of it, bounded below. */
export type Objective = "logit-difference" | "preference";

/** logits[P, K] = x[P, D] · table[ids[P, K]]: only the logits a loss needs, never the whole vocabulary. */
export function tokenLogits(plan: Plan, x: Tensor, table: Weight, ids: Tensor, logits: Tensor) {
  const vector = table.columns % 4 === 0;
  const width = vector ? table.columns / 4 : table.columns;
  for (const { tensor, firstRow, rows } of table.chunks) {
    plan.dispatch(
      kernel("token_logits", { DTYPE: table.storage, VECTOR: vector }),
      { weights: tensor, ids, x, logits },
      { count: ids.elements, per_row: ids.elements / x.shape[0]!, width, first_row: firstRow, rows },
      { invocations: ids.elements },
    );
  }
}

/** dx[P, D] = Σ_k dlogits[P, k] · table[ids[P, k]]. */
export function tokenLogitsBackward(plan: Plan, dlogits: Tensor, table: Weight, ids: Tensor, dx: Tensor) {
  table.chunks.forEach(({ tensor, firstRow, rows }, i) =>
    plan.dispatch(
      kernel("token_logits_backward", { DTYPE: table.storage, VECTOR: false, ACCUMULATE: i > 0 }),
      { weights: tensor, ids, dlogits, dx },
      {
        count: dx.elements,
        per_row: ids.elements / dx.shape[0]!,
        width: table.columns,
        first_row: firstRow,
        rows,
      },
      { invocations: dx.elements },
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
    kernel("pair_loss", { OBJECTIVE: objective }),
    { logits, pair_weights: pairWeights, dlogits, results },
    { count: pairWeights.elements, soft_cap: finalSoftCap },
    { invocations: pairWeights.elements },
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
    kernel("cross_entropy", { WG: 64, SOFT_CAP: finalSoftCap > 0 }),
    { targets, row_weights: rowWeights, logits, losses },
    { rows, width, soft_cap: finalSoftCap },
    { workgroups: rows },
  );
}

/**
 * losses[P] of how far softmax(logits[P, V]) is from softmax(anchor[P, V]), KL(anchor || logits), times rowWeights [P]; logits become
 * their gradient. Both are capped where `finalSoftCap` says so; the gradient is that of what logits were before.
 */
export function klDivergence(
  plan: Plan,
  anchor: Tensor,
  logits: Tensor,
  rowWeights: Tensor,
  losses: Tensor,
  finalSoftCap = 0,
) {
  const [rows, width] = [logits.shape[0]!, logits.shape[1]!];
  plan.dispatch(
    kernel("kl_divergence", { WG: 64, SOFT_CAP: finalSoftCap > 0 }),
    { anchor, row_weights: rowWeights, logits, losses },
    { rows, width, soft_cap: finalSoftCap },
    { workgroups: rows },
  );
}

/**
 * picked[P, 2]: the log-probability of targets u32 [P] under softmax(logits[P, V]), and 1 where the target is the largest
 * logit, the lowest id among equals, else 0.
 */
export function logProbability(plan: Plan, logits: Tensor, targets: Tensor, picked: Tensor) {
  const [rows, width] = [logits.shape[0]!, logits.shape[1]!];
  // llvmpipe ends all loops of an invocation after 65,535 iterations; 16 threads reach vocabularies of 524,280.
  const WG = variantFor(plan.gpu) === "parallel" ? 256 : 16;
  plan.dispatch(
    kernel("log_probability", { WG }),
    { logits, targets, picked },
    { rows, width },
    { workgroups: rows },
  );
}
