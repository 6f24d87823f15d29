// stats[i].y = sum_c y[i, c] * dy[i, c]: what the softmax backward subtracts. y, dy [N * H, C], stats [N, H] of (lse, delta).
// iterations: width
struct Params {
  count: u32, // N * H
  width: u32, // C
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> stats: array<vec2f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.x + id.y * groups.x * 64u;
  if (index >= params.count) {
    return;
  }
  var sum = 0.0;
  for (var c = 0u; c < params.width; c++) {
    sum += y[index * params.width + c] * dy[index * params.width + c];
  }
  stats[index].y = sum;
}
