// y[n, f] = activation(gate[n, f]) * up[n, f];  gate_up [N, 2F] holds the gate, then the up projection; y [N, F].
// $MASK: also masked[n, f] = y[n, f] * (2 * mask[first + f]) for tokens whose flag is set, else y[n, f]; see component_mask.wgsl.
// $ACTIVATION: silu | gelu_tanh. $T: vec4f where F is a multiple of 4 (then both params count quads), else f32.
//: include bounded_tanh TYPE=$T
struct Params {
  count: u32, // N * F
  width: u32, // F
  //: if MASK
  first: u32,
  //: end
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate_up: array<$T>;
@group(0) @binding(2) var<storage, read_write> y: array<$T>;
//: if MASK
@group(0) @binding(3) var<storage, read> tokens: array<vec4u>; // [N] of (id, position, sequence, flag)
@group(0) @binding(4) var<storage, read> mask: array<f32>; // [L * components]
@group(0) @binding(5) var<storage, read_write> masked: array<$T>;
//: end

fn activation(x: $T) -> $T {
  //: if ACTIVATION == silu
  return x / (1.0 + exp(-x));
  //: else
  let inner = 0.7978845608028654 * (x + 0.044715 * x * x * x);
  return 0.5 * x * (1.0 + bounded_tanh(inner));
  //: end
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let at = i / params.width * 2u * params.width + i % params.width;
  let value = activation(gate_up[at]) * gate_up[at + params.width];
  y[i] = value;
  //: if MASK
  var factor = $T(1.0);
  if (tokens[i / params.width].w != 0u) {
    //: if T == vec4f
    let m = params.first + i % params.width * 4u;
    factor = 2.0 * vec4f(mask[m], mask[m + 1u], mask[m + 2u], mask[m + 3u]);
    //: else
    factor = 2.0 * mask[params.first + i % params.width];
    //: end
  }
  masked[i] = value * factor;
  //: end
}
