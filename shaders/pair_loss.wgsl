// Loss of pairs (desired, undesired) of logits, and its gradient with respect to the logits before the final soft cap.
// difference = cap(desired) - cap(undesired); loss = weight * f(difference), with $OBJECTIVE
//   logit-difference: f(x) = -x            preference: f(x) = softplus(-x) = log(1 + exp(-x))
// logits [P, J, 2] raw in, dlogits [P, J, 2] out, weights [P, J], results [P, J, 2] of (loss, difference).
// pair_weights [P, J].
//: include bounded_tanh TYPE=vec2f
struct Params {
  count: u32, // P * J
  soft_cap: f32, // 0: none
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<vec2f>;
@group(0) @binding(2) var<storage, read> pair_weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> dlogits: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> results: array<vec2f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let raw = logits[i];
  var capped = raw;
  var dcap = vec2f(1.0);
  if (params.soft_cap > 0.0) {
    let t = bounded_tanh(raw / params.soft_cap);
    let is_nan = (bitcast<vec2u>(raw) & vec2u(0x7fffffffu)) > vec2u(0x7f800000u); // which the bound would hide
    capped = select(params.soft_cap * t, raw, is_nan);
    dcap = 1.0 - t * t;
  }
  let difference = capped.x - capped.y;
  let weight = pair_weights[i];
  //: if OBJECTIVE == preference
  // softplus(-x) and its derivative, without overflow for large |x|
  let decay = exp(-abs(difference));
  let loss = max(-difference, 0.0) + log(1.0 + decay);
  let dloss = -select(decay, 1.0, difference < 0.0) / (1.0 + decay);
  //: else
  let loss = -difference;
  let dloss = -1.0;
  //: end
  results[i] = vec2f(weight * loss, difference);
  dlogits[i] = weight * dloss * dcap * vec2f(1.0, -1.0);
}
