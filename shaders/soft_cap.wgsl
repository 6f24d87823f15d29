// y = cap * tanh(y / cap), in place; NaN stays NaN, which the bound would make a logit like any other.
// y [count].
struct Params {
  count: u32,
  cap: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i < params.count) {
    let value = y[i];
    let is_nan = (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u;
    y[i] = select(params.cap * bounded_tanh(value / params.cap), value, is_nan);
  }
}
//: include bounded_tanh TYPE=f32
