// gradient[ids[u], d] += sum over entries e of id u of coefficients[entries[e].y] * dy[row[e], d]
// The scatter of embedding and unembedding gradients, without atomics: the host sorts entries by id.
// ids [U], starts [U + 1] into entries, dy [*, D], gradient [rows, D]: rows of the whole
// one [V, D] from first_row on; ids outside of them are another dispatch's.
// coefficients [E], one per entry; entries [E] of (row of dy, which coefficient).
struct Params {
  count: u32, // U * D
  width: u32, // D
  first_row: u32,
  rows: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> starts: array<u32>;
@group(0) @binding(3) var<storage, read> entries: array<vec2u>;
@group(0) @binding(4) var<storage, read> coefficients: array<f32>; // one per entry's y index
@group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let u = i / params.width;
  let d = i % params.width;
  let row = ids[u] - params.first_row; // wraps round below first_row
  if (row >= params.rows) {
    return;
  }
  var sum = 0.0;
  for (var e = starts[u]; e < starts[u + 1u]; e++) {
    let entry = entries[e];
    sum += coefficients[entry.y] * dy[entry.x * params.width + d];
  }
  gradient[row * params.width + d] += sum;
}
