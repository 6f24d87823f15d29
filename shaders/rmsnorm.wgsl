// y[r, w] = x[r, w] * rsqrt(mean_w(x[r]^2) + epsilon) * (offset + gain[w])  (+ residual[r, w])
// Row r = n * heads + h of x lies at n * x_stride + x_offset + h * W, of y and residual at n * y_stride + y_offset + h * W.
// $T: vec4f where width, strides and offsets are multiples of 4 (then params count quads), else f32; $PER 4 or 1.
// $NEXT (with $RESIDUAL): also z[r] = y[r] * rsqrt(mean_w(y[r]^2) + next_epsilon) * (next_offset + next_gain), laid out like y: a branch's norm,
// the residual and the norm before the next branch in one pass. $PARALLEL: one workgroup of $WG threads a row; otherwise one thread a row.
// x, y, residual, z [rows / heads, stride]; gain, next_gain [W].
//: if PARALLEL
// iterations: 2 * width / $WG
//: else
// iterations: 2 * width
//: end
struct Params {
//: include norm_params
  //: if NEXT
  next_epsilon: f32,
  next_offset: f32,
  //: end
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<$T>;
@group(0) @binding(2) var<storage, read> gain: array<$T>;
@group(0) @binding(3) var<storage, read_write> y: array<$T>;
//: if RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<$T>;
//: end
//: if NEXT
@group(0) @binding(5) var<storage, read> next_gain: array<$T>;
@group(0) @binding(6) var<storage, read_write> z: array<$T>;
//: end
//: if PARALLEL
//: include workgroup_reduce TYPE=f32 SIZE=$WG
//: end

fn square(value: $T) -> f32 {
  //: if PER == 4
  return dot(value, value);
  //: else
  return value * value;
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
  var squares = 0.0;
  if (inside) {
    for (var w = first; w < params.width; w += step) {
      squares += square(x[from_x + w]);
    }
  }
  //: if PARALLEL
  squares = workgroup_sum(lane, squares);
  //: end
  //: if !NEXT
  if (!inside) {
    return;
  }
  //: end
  let scale = inverseSqrt(squares / f32(params.width * $PER) + params.epsilon);
  //: if NEXT
  let width = select(0u, params.width, inside);
  squares = 0.0;
  //: else
  let width = params.width;
  //: end
  for (var w = first; w < width; w += step) {
    //: if RESIDUAL
    let value = residual[from_y + w] + x[from_x + w] * scale * (params.offset + gain[w]);
    //: else
    let value = x[from_x + w] * scale * (params.offset + gain[w]);
    //: end
    y[from_y + w] = value;
    //: if NEXT
    squares += square(value);
    //: end
  }
  //: if NEXT
  //: if PARALLEL
  squares = workgroup_sum(lane, squares);
  //: end
  let next_scale = inverseSqrt(squares / f32(params.width * $PER) + params.next_epsilon);
  for (var w = first; w < width; w += step) { // each thread reads what it wrote itself
    z[from_y + w] = y[from_y + w] * next_scale * (params.next_offset + next_gain[w]);
  }
  //: end
}
