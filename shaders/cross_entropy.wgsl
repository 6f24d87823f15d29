// losses[p] = weight[p] * (logsumexp(logits[p]) - logits[p, target[p]]), and logits become their gradient in place:
// weight[p] * (softmax(logits[p]) - onehot(target[p])). One workgroup of $WG threads a row.
// logits [P, V] (soft-capped already), targets, row_weights and losses [P].
// $SOFT_CAP: the gradient is that of the logits before their cap, times 1 - (logit / cap)^2.
// iterations: 3 * width / $WG
struct Params {
  rows: u32, // P
  width: u32, // V
  soft_cap: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read> row_weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> logits: array<f32>;
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;
//: include workgroup_reduce TYPE=f32 SIZE=$WG

@compute @workgroup_size($WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.x + group.y * groups.x;
  if (row >= params.rows) {
    return;
  }
  let start = row * params.width;
  var top = -1e30;
  for (var v = lane; v < params.width; v += $WG) {
    top = max(top, logits[start + v]);
  }
  top = workgroup_max(lane, top);
  var total = 0.0;
  for (var v = lane; v < params.width; v += $WG) {
    total += exp(logits[start + v] - top);
  }
  total = workgroup_sum(lane, total);
  let goal = targets[row];
  if (lane == 0u) {
    losses[row] = row_weights[row] * (top + log(total) - logits[start + goal]);
  }
  storageBarrier(); // the loss reads logits[goal] before it is overwritten
  workgroupBarrier();
  for (var v = lane; v < params.width; v += $WG) {
    let p = exp(logits[start + v] - top) / total;
    //: if SOFT_CAP
    let share = logits[start + v] / params.soft_cap;
    logits[start + v] = row_weights[row] * (p - select(0.0, 1.0, v == goal)) * (1.0 - share * share);
    //: else
    logits[start + v] = row_weights[row] * (p - select(0.0, 1.0, v == goal));
    //: end
  }
}
