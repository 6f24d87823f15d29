// losses[p] = weight[p] * KL(softmax(anchor[p]) || softmax(logits[p])), and logits become their gradient in place:
// weight[p] * (softmax(logits[p]) - softmax(anchor[p])). One workgroup of $WG threads a row.
// anchor and logits [P, V] (soft-capped already), row_weights and losses [P].
// $SOFT_CAP: the gradient is that of the logits before their cap, times 1 - (logit / cap)^2.
// iterations: 4 * width / $WG
struct Params {
  rows: u32, // P
  width: u32, // V
  soft_cap: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> anchor: array<f32>;
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
  var anchor_top = -1e30;
  for (var v = lane; v < params.width; v += $WG) {
    top = max(top, logits[start + v]);
    anchor_top = max(anchor_top, anchor[start + v]);
  }
  top = workgroup_max(lane, top);
  anchor_top = workgroup_max(lane, anchor_top);
  var total = 0.0;
  var anchor_total = 0.0;
  for (var v = lane; v < params.width; v += $WG) {
    total += exp(logits[start + v] - top);
    anchor_total += exp(anchor[start + v] - anchor_top);
  }
  total = workgroup_sum(lane, total);
  anchor_total = workgroup_sum(lane, anchor_total);
  let lse = top + log(total);
  let anchor_lse = anchor_top + log(anchor_total);
  var divergence = 0.0;
  for (var v = lane; v < params.width; v += $WG) {
    let wanted = exp(anchor[start + v] - anchor_lse);
    divergence += wanted * ((anchor[start + v] - anchor_lse) - (logits[start + v] - lse));
    let d = row_weights[row] * (exp(logits[start + v] - lse) - wanted);
    //: if SOFT_CAP
    let share = logits[start + v] / params.soft_cap;
    logits[start + v] = d * (1.0 - share * share);
    //: else
    logits[start + v] = d;
    //: end
  }
  divergence = workgroup_sum(lane, divergence);
  if (lane == 0u) {
    losses[row] = row_weights[row] * divergence;
  }
}
