// One Adam step of the component masks on gradient + strength * sign(mask) (the L1 term), clamped to [0, 1].
// Does nothing once state.stopped is set, so that steps already submitted past an early stop leave the mask alone.
// mask, gradient [count], moments [count] of (first, second), state: see mask_state.wgsl.
// state (see mask_training_state.wgsl), step (rate, 1 - beta1^t, 1 - beta2^t, _).
struct Params {
  count: u32,
  strength: f32,
  beta1: f32,
  beta2: f32,
  rest1: f32, // 1 - beta1 and 1 - beta2, rounded once on the host
  rest2: f32,
  epsilon: f32,
}
//: include mask_training_state
@group(0) @binding(0) var<uniform> params: Params;
// (rate, 1 - beta1^t, 1 - beta2^t, _), written anew before every step
@group(0) @binding(1) var<storage, read> step: array<f32>;
@group(0) @binding(2) var<storage, read> state: State;
@group(0) @binding(3) var<storage, read> gradient: array<f32>;
@group(0) @binding(4) var<storage, read_write> moments: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> mask: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count || state.stopped != 0u) {
    return;
  }
  let g = gradient[i] + params.strength * sign(mask[i]);
  let old = moments[i];
  let next = vec2f(params.beta1 * old.x + params.rest1 * g, params.beta2 * old.y + params.rest2 * g * g);
  moments[i] = next;
  mask[i] = clamp(mask[i] - step[0] * (next.x / step[1]) / (sqrt(next.y / step[2]) + params.epsilon), 0.0, 1.0);
}
