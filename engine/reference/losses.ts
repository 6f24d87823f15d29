/**
 * Float64 twins of the losses, each with its gradient.
 * Legend: N rows (examples or tokens), V vocabulary.
 */

type Numbers = ArrayLike<number>;

/** What a pair of desired and undesired token is asked to do; METHOD section "Targeted update". */
export type PairObjective = "logit-difference" | "preference";

/** log Σ exp of one row of logits [N,V]. */
function logSumExpOf(logits: Numbers, row: number, vocabulary: number): number {
  let peak = -Infinity;
  for (let v = 0; v < vocabulary; v++) peak = Math.max(peak, logits[row * vocabulary + v]!);
  let total = 0;
  for (let v = 0; v < vocabulary; v++) total += Math.exp(logits[row * vocabulary + v]! - peak);
  return peak + Math.log(total);
}

/**
 * Cross-entropy: logits [N,V], targets [N], weights [N] → loss = Σ weight · −log p(target), rowLosses [N] without
 * the weights, dlogits [N,V]. For a mean put 1 / N into the weights; a weight of 0 leaves a row out.
 */
export function crossEntropy(
  logits: Numbers,
  targets: Numbers,
  weights: Numbers,
  vocabulary: number,
): { loss: number; rowLosses: Float64Array; dlogits: Float64Array } {
  const rows = targets.length;
  const rowLosses = new Float64Array(rows);
  const dlogits = new Float64Array(rows * vocabulary);
  let loss = 0;
  for (let n = 0; n < rows; n++) {
    const weight = weights[n]!;
    if (weight === 0) continue;
    const lse = logSumExpOf(logits, n, vocabulary);
    rowLosses[n] = lse - logits[n * vocabulary + targets[n]!]!;
    loss += weight * rowLosses[n]!;
    for (let v = 0; v < vocabulary; v++) {
      const probability = Math.exp(logits[n * vocabulary + v]! - lse);
      dlogits[n * vocabulary + v] = weight * (probability - (v === targets[n] ? 1 : 0));
    }
  }
  return { loss, rowLosses, dlogits };
}

/** KL(softmax(anchor) || softmax(logits)) of rows [N,V], each times its weight, and its gradient with respect to logits. */
export function klDivergence(
  anchor: Numbers,
  logits: Numbers,
  weights: Numbers,
  vocabulary: number,
): { loss: number; rowLosses: Float64Array; dlogits: Float64Array } {
  const rows = weights.length;
  const rowLosses = new Float64Array(rows);
  const dlogits = new Float64Array(rows * vocabulary);
  for (let n = 0; n < rows; n++) {
    const [wantedLse, lse] = [logSumExpOf(anchor, n, vocabulary), logSumExpOf(logits, n, vocabulary)];
    for (let v = n * vocabulary; v < (n + 1) * vocabulary; v++) {
      const [wantedLog, log] = [anchor[v]! - wantedLse, logits[v]! - lse];
      rowLosses[n]! += Math.exp(wantedLog) * (wantedLog - log);
      dlogits[v] = weights[n]! * (Math.exp(log) - Math.exp(wantedLog));
    }
  }
  return { loss: rowLosses.reduce((sum, loss, n) => sum + weights[n]! * loss, 0), rowLosses, dlogits };
}

/** softplus(x) = log(1 + exp(x)), without overflow. */
export function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

/**
 * Pair loss over rows of logits [N,V], mean over N, with difference = logit[desired] − logit[undesired]:
 * −difference (`logit-difference`) or softplus(−difference) (`preference`). Gives differences [N] and dlogits [N,V].
 */
export function pairLoss(
  logits: Numbers,
  desired: Numbers,
  undesired: Numbers,
  vocabulary: number,
  objective: PairObjective = "logit-difference",
): { loss: number; differences: Float64Array; dlogits: Float64Array } {
  const rows = desired.length;
  const differences = new Float64Array(rows);
  const dlogits = new Float64Array(rows * vocabulary);
  let loss = 0;
  for (let n = 0; n < rows; n++) {
    const difference = logits[n * vocabulary + desired[n]!]! - logits[n * vocabulary + undesired[n]!]!;
    differences[n] = difference;
    loss += (objective === "preference" ? softplus(-difference) : -difference) / rows;
    const derivative = (objective === "preference" ? -1 / (1 + Math.exp(difference)) : -1) / rows;
    dlogits[n * vocabulary + desired[n]!]! += derivative;
    dlogits[n * vocabulary + undesired[n]!]! -= derivative;
  }
  return { loss, differences, dlogits };
}

/**
 * Picked values of logits [N,V] at targets [N]: [N,2] of the target's log-probability, and 1 where it is the largest logit (the
 * lowest id among equals), else 0.
 */
export function logProbability(logits: Numbers, targets: Numbers, vocabulary: number): Float64Array {
  const picked = new Float64Array(2 * targets.length);
  for (let n = 0; n < targets.length; n++) {
    const row = Array.from({ length: vocabulary }, (_, v) => logits[n * vocabulary + v]!);
    picked[2 * n] = row[targets[n]!]! - logSumExpOf(logits, n, vocabulary);
    picked[2 * n + 1] = row.indexOf(Math.max(...row)) === targets[n] ? 1 : 0;
  }
  return picked;
}
