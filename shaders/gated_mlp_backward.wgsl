// dgate = dy * up * activation'(gate), dup = dy * activation(gate);  gate_up and dgate_up [N, 2F], dy [N, F].
// $ACTIVATION: silu | gelu_tanh.
struct Params {
  count: u32, // N * F
  width: u32, // F
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate_up: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dgate_up: array<f32>;

// (activation(x), activation'(x))
fn activation(x: f32) -> vec2f {
  //: if ACTIVATION == silu
  let s = 1.0 / (1.0 + exp(-x));
  return vec2f(x * s, s * (1.0 + x * (1.0 - s)));
  //: else
  let inner = 0.7978845608028654 * (x + 0.044715 * x * x * x);
  let t = tanh(clamp(inner, -20.0, 20.0));
  let slope = 0.7978845608028654 * (1.0 + 3.0 * 0.044715 * x * x);
  return vec2f(0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope);
  //: end
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let at = i / params.width * 2u * params.width + i % params.width;
  let value = activation(gate_up[at]);
  dgate_up[at] = dy[i] * gate_up[at + params.width] * value.y;
  dgate_up[at + params.width] = dy[i] * value.x;
}
