// gradient[o] += sum_n dy[n, o]   (one thread a column)
// dy [N, O], gradient [O].
// iterations: rows
struct Params {
  rows: u32, // N
  width: u32, // O
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let o = id.x;
  if (o >= params.width) {
    return;
  }
  var sum = 0.0;
  for (var n = 0u; n < params.rows; n++) {
    sum += dy[n * params.width + o];
  }
  gradient[o] += sum;
}
