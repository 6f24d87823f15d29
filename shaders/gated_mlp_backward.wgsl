// dgate = dy * up * activation'(gate), dup = dy * activation(gate);  gate_up and dgate_up [N, 2F], dy [N, F].
// $ACTIVATION: silu | gelu_tanh. $T: vec4f where F is a multiple of 4 (then both params count quads), else f32.
//: include bounded_tanh TYPE=$T
struct Params {
  count: u32, // N * F
  width: u32, // F
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate_up: array<$T>;
@group(0) @binding(2) var<storage, read> dy: array<$T>;
@group(0) @binding(3) var<storage, read_write> dgate_up: array<$T>;

struct Activation {
  value: $T,
  derivative: $T,
}

fn activation(x: $T) -> Activation {
  //: if ACTIVATION == silu
  let s = 1.0 / (1.0 + exp(-x));
  return Activation(x * s, s * (1.0 + x * (1.0 - s)));
  //: else
  let inner = 0.7978845608028654 * (x + 0.044715 * x * x * x);
  let t = bounded_tanh(inner);
  let derivative = 0.7978845608028654 * (1.0 + 3.0 * 0.044715 * x * x);
  return Activation(0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * derivative);
  //: end
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let at = i / params.width * 2u * params.width + i % params.width;
  let gate = activation(gate_up[at]);
  let incoming = dy[i];
  dgate_up[at] = incoming * gate_up[at + params.width] * gate.derivative;
  dgate_up[at + params.width] = incoming * gate.value;
}
