// Per row p its target's log-probability logits[p, target] - logsumexp(logits[p]), and 1 where the target is the largest
// logit (the lowest id among equals), else 0. One workgroup of $WG threads a row.
// logits [P, V] (soft-capped already), targets [P], picked [P, 2].
// iterations: 2 * width / $WG
struct Params {
  rows: u32, // P
  width: u32, // V
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read_write> picked: array<f32>;
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
  let goal = targets[row];
  let wanted = logits[start + goal];
  var top = -1e30;
  var beaten = 0.0;
  for (var v = lane; v < params.width; v += $WG) {
    let logit = logits[start + v];
    top = max(top, logit);
    if (logit > wanted || (logit == wanted && v < goal)) {
      beaten = 1.0;
    }
  }
  top = workgroup_max(lane, top);
  beaten = workgroup_max(lane, beaten);
  var total = 0.0;
  var part = 0.0; // few terms at a time, so that small ones are not rounded away against a large sum
  var terms = 0u;
  for (var v = lane; v < params.width; v += $WG) {
    part += exp(logits[start + v] - top);
    terms++;
    if (terms % 64u == 0u) {
      total += part;
      part = 0.0;
    }
  }
  total = workgroup_sum(lane, total + part);
  if (lane == 0u) {
    picked[2u * row] = wanted - top - log(total);
    picked[2u * row + 1u] = 1.0 - beaten;
  }
}
