// gradient[w] += sum_r dy[r, w] * x[r, w] * scales[r]   (one thread a column)
// Rows r = n * heads + h: x at n * x_stride + x_offset + h * W, dy likewise; scales [R] from rmsnorm_backward.
// iterations: rows
struct Params {
  rows: u32,
  width: u32,
  x_stride: u32,
  x_offset: u32,
  y_stride: u32,
  y_offset: u32,
  heads: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> scales: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let w = id.x;
  if (w >= params.width) {
    return;
  }
  var sum = 0.0;
  for (var r = 0u; r < params.rows; r++) {
    let n = r / params.heads;
    let column = r % params.heads * params.width + w;
    sum += dy[n * params.y_stride + params.y_offset + column] * x[n * params.x_stride + params.x_offset + column] * scales[r];
  }
  gradient[w] += sum;
}
