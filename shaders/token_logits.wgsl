// logits[p, k] = x[p] . weights[ids[p, k] - first_row] for the ids in this chunk of rows: only the logits a loss needs.
// weights [rows, D] (prelude weights.wgsl), x [P, D], ids and logits [P, K].
// iterations: width
//: include weights
struct Params {
  count: u32, // P * K
  per_row: u32, // K
  width: u32, // D, or D / 4 with $VECTOR
  first_row: u32,
  rows: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
//: if VECTOR
@group(0) @binding(3) var<storage, read> x: array<vec4f>;
//: else
@group(0) @binding(3) var<storage, read> x: array<f32>;
//: end
@group(0) @binding(4) var<storage, read_write> logits: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let row = ids[i] - params.first_row; // wraps to a huge value below the chunk
  if (row >= params.rows) {
    return;
  }
  let start = i / params.per_row * params.width;
  var sum = 0.0;
  for (var d = 0u; d < params.width; d++) {
    //: if VECTOR
    sum += dot(x[start + d], weight4(row * params.width + d));
    //: else
    sum += x[start + d] * weight(row * params.width + d);
    //: end
  }
  logits[i] = sum;
}
