// y[n, d] = scale * weights[tokens[n].id - first_row, d] for the ids that lie in this chunk of rows.
// weights [rows, D] (prelude weights.wgsl), tokens [N] of (id, position, sequence, flag), y [N, D].
//: include weights
struct Params {
  count: u32, // N * D
  width: u32, // D
  first_row: u32,
  rows: u32,
  scale: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> tokens: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let row = tokens[i / params.width].x - params.first_row; // wraps to a huge value below the chunk
  if (row < params.rows) {
    y[i] = params.scale * weight(row * params.width + i % params.width);
  }
}
