// matmul_nt.wgsl for GPUs and few rows of x (decoding, one-token masks): $WG threads share each sum, walking k together,
// so that a weight row is read by neighbours side by side. A workgroup has $TM rows of x by $TN rows of weights.
// y[m, column(n)] = sum_k x[m, k] * weights[n, k]; K a multiple of 4; options as in matmul_nt.wgsl.
// weights [N, K], x [M, x_stride], y [M, y_stride], residual [M, y_stride], columns [N].
// iterations: k / $WG
//: include weights
struct Params {
  m: u32,
  n: u32,
  k: u32, // in quads
  x_stride: u32, // in quads
  y_stride: u32,
  y_offset: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
//: if RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<f32>;
//: end
//: if SCATTER
@group(0) @binding(4) var<storage, read> columns: array<u32>;
//: end
var<workgroup> sums: array<f32, $SUMS>; // [$TM * $TN][$WG]

@compute @workgroup_size($WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first_n = (group.x + group.z * groups.x) * $TN;
  let first_m = group.y * $TM;
  //: for i in 0..TM
  let x$i = min(first_m + $i, params.m - 1u) * params.x_stride;
  //: end
  //: for j in 0..TN
  let w$j = min(first_n + $j, params.n - 1u) * params.k;
  //: for i in 0..TM
  var sum$i_$j = 0.0;
  //: end
  //: end
  for (var k = lane; k < params.k; k += $WG) {
    //: for j in 0..TN
    let b$j = weight4(w$j + k);
    //: end
    //: for i in 0..TM
    {
      let value = x[x$i + k];
      //: for j in 0..TN
      sum$i_$j += dot(value, b$j);
      //: end
    }
    //: end
  }
  //: for i in 0..TM
  //: for j in 0..TN
  sums[($i * $TN + $j) * $WG + lane] = sum$i_$j;
  //: end
  //: end
  workgroupBarrier();
  for (var half = $WG / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      //: for i in 0..TM
      //: for j in 0..TN
      sums[($i * $TN + $j) * $WG + lane] += sums[($i * $TN + $j) * $WG + lane + half];
      //: end
      //: end
    }
    workgroupBarrier();
  }
  if (lane >= $TM * $TN) {
    return;
  }
  let m = first_m + lane / $TN;
  let n = first_n + lane % $TN;
  if (m >= params.m || n >= params.n) {
    return;
  }
  //: if SCATTER
  let at = m * params.y_stride + columns[n];
  //: else
  let at = m * params.y_stride + params.y_offset + n;
  //: end
  let sum = sums[lane * $WG];
  //: include store_product AT=at SUM=sum
}
