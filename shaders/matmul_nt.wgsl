// y[m, column(n)] = sum_k x[m, k] * weights[n, k]  (+ residual[m, n])
// weights [N, K] (prelude weights.wgsl), x [M, x_stride], y [M, y_stride].
// column(n) = y_offset + n, or columns[n] with $SCATTER. $ACCUMULATE adds to y.
// A thread holds a register tile of $TM rows by $TN columns; lanes lie along n, so x is read uniformly.
// $VECTOR: K is a multiple of 4 and is walked four at a time.
// iterations: k
//: include weights
struct Params {
  m: u32,
  n: u32,
  k: u32, // in units of the walk: K / 4 with $VECTOR
  x_stride: u32, // likewise
  y_stride: u32,
  y_offset: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
//: if VECTOR
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
//: else
@group(0) @binding(2) var<storage, read> x: array<f32>;
//: end
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
//: if RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<f32>; // [M, N]
//: end
//: if SCATTER
@group(0) @binding(4) var<storage, read> columns: array<u32>; // [N]
//: end

@compute @workgroup_size($WX, $WY)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let first_n = group.x * ($WX * $TN) + local.x;
  //: if WY == 1
  let first_m = group.y * $TM; // the same in all lanes, and seen to be: loads of the left operand become scalar
  //: else
  let first_m = (group.y * $WY + local.y) * $TM;
  //: end
  if (first_m >= params.m || first_n >= params.n) {
    return;
  }
  //: for i in 0..TM
  let x$i = min(first_m + $i, params.m - 1) * params.x_stride;
  //: end
  //: for j in 0..TN
  let n$j = first_n + $j * $WX;
  let w$j = min(n$j, params.n - 1) * params.k;
  //: for i in 0..TM
  var sum$i_$j = 0.0;
  //: end
  //: end
  for (var k = 0u; k < params.k; k++) {
    //: for j in 0..TN
    //: if VECTOR
    let b$j = weight4(w$j + k);
    //: else
    let b$j = weight(w$j + k);
    //: end
    //: end
    //: for i in 0..TM
    {
      let a = x[x$i + k];
      //: for j in 0..TN
      //: if VECTOR
      sum$i_$j += dot(a, b$j);
      //: else
      sum$i_$j += a * b$j;
      //: end
      //: end
    }
    //: end
  }
  //: for j in 0..TN
  if (n$j < params.n) {
    //: if SCATTER
    let column = columns[n$j];
    //: else
    let column = params.y_offset + n$j;
    //: end
    //: for i in 0..TM
    if (first_m + $i < params.m) {
      let at = (first_m + $i) * params.y_stride + column;
      //: include store_product AT=at SUM=sum$i_$j
    }
    //: end
  }
  //: end
}
