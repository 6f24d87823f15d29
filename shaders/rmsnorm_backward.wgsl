// dx[r, w] = s * g[w] * dy[r, w] - x[r, w] * s^3 / W * sum_w(g * dy * x)   with s = rsqrt(mean(x^2) + epsilon), g = offset + gain
// (+ residual[r, w]). Also writes scales[r] = s for the gain's gradient.
// Rows r = n * heads + h: x at n * x_stride + x_offset + h * W; dy, dx and residual at n * y_stride + y_offset + h * W.
// $T and $PER as in rmsnorm.wgsl. $IN_PLACE: dx overwrites dy. $PARALLEL: one workgroup of $WG threads a row; otherwise one thread a row.
// x, dx, dy, residual [rows / heads, stride]; gain [W], scales [rows].
//: if PARALLEL
// iterations: 2 * width / $WG
//: else
// iterations: 2 * width
//: end
struct Params {
//: include norm_params
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<$T>;
@group(0) @binding(2) var<storage, read> gain: array<$T>;
@group(0) @binding(3) var<storage, read_write> scales: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<$T>;
//: if !IN_PLACE
@group(0) @binding(5) var<storage, read> dy: array<$T>;
//: if RESIDUAL
@group(0) @binding(6) var<storage, read> residual: array<$T>;
//: end
//: else
//: if RESIDUAL
@group(0) @binding(5) var<storage, read> residual: array<$T>;
//: end
//: end
//: if PARALLEL
//: include workgroup_reduce TYPE=vec2f SIZE=$WG
//: end

fn incoming(i: u32) -> $T {
  //: if IN_PLACE
  return dx[i];
  //: else
  return dy[i];
  //: end
}

@compute @workgroup_size($WG)
fn main(
  @builtin(global_invocation_id) id: vec3u,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  //: if PARALLEL
  let row = group.x + group.y * groups.x;
  let first = lane;
  let step = u32($WG);
  //: else
  let row = id.x + id.y * groups.x * $WG;
  let first = 0u;
  let step = 1u;
  //: end
  let inside = row < params.rows;
  let from_x = row / params.heads * params.x_stride + params.x_offset + row % params.heads * params.width;
  let from_y = row / params.heads * params.y_stride + params.y_offset + row % params.heads * params.width;
  var sums = vec2f(0.0); // of x^2 and of g * dy * x
  if (inside) {
    for (var w = first; w < params.width; w += step) {
      let value = x[from_x + w];
      let scaled = (params.offset + gain[w]) * incoming(from_y + w);
      //: if PER == 4
      sums += vec2f(dot(value, value), dot(scaled, value));
      //: else
      sums += vec2f(value * value, scaled * value);
      //: end
    }
  }
  //: if PARALLEL
  sums = workgroup_sum(lane, sums);
  //: end
  if (!inside) {
    return;
  }
  let scale = inverseSqrt(sums.x / f32(params.width * $PER) + params.epsilon);
  let along_x = sums.y * scale * scale * scale / f32(params.width * $PER);
  if (first == 0u) {
    scales[row] = scale;
  }
  for (var w = first; w < params.width; w += step) {
    let value = scale * (params.offset + gain[w]) * incoming(from_y + w) - x[from_x + w] * along_x;
    //: if RESIDUAL
    dx[from_y + w] = residual[from_y + w] + value;
    //: else
    dx[from_y + w] = value;
    //: end
  }
}
