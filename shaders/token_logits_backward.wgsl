// dx[p, d] (+)= sum_k dlogits[p, k] * weights[ids[p, k] - first_row, d] over the ids in this chunk of rows.
// weights [rows, D] (prelude weights.wgsl), ids and dlogits [P, K], dx [P, D]. The first chunk assigns, later ones add ($ACCUMULATE).
// iterations: per_row
//: include weights
struct Params {
  count: u32, // P * D
  per_row: u32, // K
  width: u32, // D
  first_row: u32,
  rows: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read> dlogits: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let p = i / params.width;
  let d = i % params.width;
  var sum = 0.0;
  for (var k = p * params.per_row; k < (p + 1u) * params.per_row; k++) {
    let row = ids[k] - params.first_row;
    if (row < params.rows) {
      sum += dlogits[k] * weight(row * params.width + d);
    }
  }
  //: if ACCUMULATE
  dx[i] += sum;
  //: else
  dx[i] = sum;
  //: end
}
