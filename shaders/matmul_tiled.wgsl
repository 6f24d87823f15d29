// The products of matmul_nt.wgsl and matmul_nn.wgsl for GPUs and large sizes: tiles of both operands pass through
// workgroup memory. 16 x 16 threads, each $TM x $TN sums strided by 16, so that neighbours read neighbouring words.
//   $LAYOUT nt:  y[m, column(n)] = sum_k x[m, k] * weights[n, k]           (K a multiple of 4)
//   $LAYOUT nn:  y[m, n] = sum_k a[a_offset + m * a_row + k * a_column] * weights[k, n]   (N a multiple of 4)
// $RESIDUAL, $SCATTER and $ACCUMULATE as there. Prelude weights.wgsl with $VECTOR.
// weights [N, K] or [K, N], a [M, K] as indexed above, y [M, y_stride]; residual [M, y_stride], columns [N].
// iterations: k + k / 16
//: include weights
//: include product_params
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
//: if RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<f32>; // laid out like y
//: end
//: if SCATTER
@group(0) @binding(4) var<storage, read> columns: array<u32>; // [N]
//: end
var<workgroup> left: array<f32, $LEFT>; // [16 k][16 * $TM m]
var<workgroup> right: array<f32, $RIGHT>; // [16 k][16 * $TN n]

@compute @workgroup_size(16, 16)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let first_m = group.y * (16u * $TM);
  let first_n = group.x * (16u * $TN);
  //: for i in 0..TM
  //: for j in 0..TN
  var sum$i_$j = 0.0;
  //: end
  //: end
  for (var k0 = 0u; k0 < params.k; k0 += 16u) {
    workgroupBarrier();
    for (var i = thread; i < $LEFT; i += 256u) {
      //: if LAYOUT == nt
      let k = i % 16u; // neighbours read along k
      let m = i / 16u;
      //: else
      let k = i / (16u * $TM);
      let m = i % (16u * $TM);
      //: end
      let row = first_m + m;
      let inside = row < params.m && k0 + k < params.k;
      let value = a[params.a_offset + min(row, params.m - 1u) * params.a_row + min(k0 + k, params.k - 1u) * params.a_column];
      left[k * (16u * $TM) + m] = select(0.0, value, inside);
    }
    for (var i = thread; i < $RIGHT / 4u; i += 256u) {
      //: if LAYOUT == nt
      let k = i % 4u * 4u;
      let n = i / 4u;
      let row = first_n + n;
      let quad = weight4((min(row, params.n - 1u) * params.k + min(k0 + k, params.k - 4u)) / 4u);
      let inside = row < params.n && k0 + k < params.k;
      //: for c in 0..4
      right[(k + $c) * (16u * $TN) + n] = select(0.0, quad[$c], inside);
      //: end
      //: else
      let n = i % (4u * $TN) * 4u;
      let k = i / (4u * $TN);
      let column = first_n + n;
      let quad = weight4((min(k0 + k, params.k - 1u) * params.n + min(column, params.n - 4u)) / 4u);
      let inside = column < params.n && k0 + k < params.k;
      //: for c in 0..4
      right[k * (16u * $TN) + n + $c] = select(0.0, quad[$c], inside);
      //: end
      //: end
    }
    workgroupBarrier();
    for (var k = 0u; k < 16u; k++) {
      //: for j in 0..TN
      let b$j = right[k * (16u * $TN) + local.x + $j * 16u];
      //: end
      //: for i in 0..TM
      {
        let value = left[k * (16u * $TM) + local.y + $i * 16u];
        //: for j in 0..TN
        sum$i_$j = fma(value, b$j, sum$i_$j);
        //: end
      }
      //: end
    }
  }
  //: for j in 0..TN
  {
    let n = first_n + local.x + $j * 16u;
    if (n < params.n) {
      //: if SCATTER
      let column = columns[n];
      //: else
      let column = params.y_offset + n;
      //: end
      //: for i in 0..TM
      {
        let m = first_m + local.y + $i * 16u;
        if (m < params.m) {
          let at = m * params.y_stride + column;
          //: include store_product AT=at SUM=sum$i_$j
        }
      }
      //: end
    }
  }
  //: end
}
