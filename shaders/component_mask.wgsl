// y[n, w] = x[n, w] * (2 * mask[first + w / component_width]) for tokens whose flag is set, else x[n, w].
// x, y [N, W], mask [L * components], tokens [N] of (id, position, sequence, flag).
struct Params {
  count: u32, // N * W
  width: u32, // W
  component_width: u32, // C for heads, 1 for neurons
  first: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<vec4u>;
@group(0) @binding(2) var<storage, read> mask: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read> x: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  var factor = 1.0;
  if (tokens[i / params.width].w != 0u) {
    factor = 2.0 * mask[params.first + i % params.width / params.component_width];
  }
  y[i] = x[i] * factor;
}
