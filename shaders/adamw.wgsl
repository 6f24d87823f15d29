// AdamW with decoupled weight decay (PyTorch's order: decay, moments, step). moments [count] of (first, second).
// Over a whole matrix, or over the rows of selected components only: then values, gradient and moments hold just those rows.
struct Params {
  count: u32,
  beta1: f32,
  beta2: f32,
  rest1: f32, // 1 - beta1 and 1 - beta2, rounded once on the host
  rest2: f32,
  epsilon: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
// (rate, weight decay, 1 - beta1^t, 1 - beta2^t), written anew before every step: a replayed plan must not freeze t.
@group(0) @binding(1) var<storage, read> step: array<f32>;
@group(0) @binding(2) var<storage, read> gradient: array<f32>;
@group(0) @binding(3) var<storage, read_write> moments: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let g = gradient[i];
  let old = moments[i];
  let next = vec2f(params.beta1 * old.x + params.rest1 * g, params.beta2 * old.y + params.rest2 * g * g);
  moments[i] = next;
  let first = next.x / step[2];
  let second = next.y / step[3];
  values[i] = values[i] * (1.0 - step[0] * step[1]) - step[0] * first / (sqrt(second) + params.epsilon);
}
