// y[m, n] (+)= sum_k a(m, k) * weights[k, n]  with  a(m, k) = a[a_offset + m * a_row + k * a_column]
// weights [K, N] (prelude weights.wgsl), y [M, N]. With a_row 1 and a_column the row width this is the
// transposed product a^T b that weight gradients need. $ACCUMULATE adds to y.
// A thread holds $TM rows by $TN columns, or $TN quads of columns with $VECTOR (N is a multiple of 4).
// iterations: k
//: include weights
struct Params {
  m: u32,
  n: u32, // in units of a column load: N / 4 with $VECTOR
  k: u32,
  a_offset: u32,
  a_row: u32,
  a_column: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> a: array<f32>;
//: if VECTOR
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
//: else
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
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
  let start$i = params.a_offset + min(first_m + $i, params.m - 1) * params.a_row;
  //: end
  //: for j in 0..TN
  let n$j = first_n + $j * $WX;
  let c$j = min(n$j, params.n - 1);
  //: for i in 0..TM
  //: if VECTOR
  var sum$i_$j = vec4f(0.0);
  //: else
  var sum$i_$j = 0.0;
  //: end
  //: end
  //: end
  for (var k = 0u; k < params.k; k++) {
    let row = k * params.n;
    let column = k * params.a_column;
    //: for j in 0..TN
    //: if VECTOR
    let b$j = weight4(row + c$j);
    //: else
    let b$j = weight(row + c$j);
    //: end
    //: end
    //: for i in 0..TM
    {
      let value = a[start$i + column];
      //: for j in 0..TN
      sum$i_$j += value * b$j;
      //: end
    }
    //: end
  }
  //: for j in 0..TN
  if (n$j < params.n) {
    //: for i in 0..TM
    if (first_m + $i < params.m) {
      let at = (first_m + $i) * params.n + n$j;
      //: include store_product AT=at SUM=sum$i_$j
    }
    //: end
  }
  //: end
}
