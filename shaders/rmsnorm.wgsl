// y[r, w] = x[r, w] * rsqrt(mean_w(x[r]^2) + epsilon) * (offset + gain[w])  (+ residual[r, w])
// Row r = n * heads + h of x lies at n * x_stride + x_offset + h * W, of y and residual at n * y_stride + y_offset + h * W.
// $T: vec4f where width, strides and offsets are multiples of 4 (then params count quads), else f32; $PER 4 or 1.
// $PARALLEL: one workgroup of $WG threads a row; otherwise one thread a row.
struct Params {
  rows: u32,
  width: u32,
  x_stride: u32,
  x_offset: u32,
  y_stride: u32,
  y_offset: u32,
  epsilon: f32,
  offset: f32,
  heads: u32, // norms a row of the matrix: 1, or one per head
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<$T>;
@group(0) @binding(2) var<storage, read> gain: array<$T>;
@group(0) @binding(3) var<storage, read_write> y: array<$T>;
//: if RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<$T>;
//: end
//: if PARALLEL
var<workgroup> partial: array<f32, $WG>;
//: end

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
  var squares = 0.0;
  if (inside) {
    for (var w = first; w < params.width; w += step) {
      let value = x[from_x + w];
      //: if PER == 4
      squares += dot(value, value);
      //: else
      squares += value * value;
      //: end
    }
  }
  //: if PARALLEL
  partial[lane] = squares;
  workgroupBarrier();
  for (var half = u32($WG) / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      partial[lane] += partial[lane + half];
    }
    workgroupBarrier();
  }
  squares = partial[0];
  //: end
  if (!inside) {
    return;
  }
  let scale = inverseSqrt(squares / f32(params.width * $PER) + params.epsilon);
  for (var w = first; w < params.width; w += step) {
    let value = x[from_x + w] * scale * (params.offset + gain[w]);
    //: if RESIDUAL
    y[from_y + w] = residual[from_y + w] + value;
    //: else
    y[from_y + w] = value;
    //: end
  }
}
