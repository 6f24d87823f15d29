// The products of matmul_nt.wgsl and matmul_nn.wgsl for adapters whose subgroup is the workgroup of 8 (llvmpipe, where every
// load is a loop over lanes): each lane loads another part of the left operand and hands it to the others.
//   $LAYOUT nt:  y[m, column(n)] = sum_k a(m, k) * weights[n, k]   (K a multiple of 4)
//   $LAYOUT nn:  y[m, n] = sum_k a(m, k) * weights[k, n]           (N a multiple of 4)
// with a(m, k) = a[a_offset + m * a_row + k * a_column]. $LEFT says how a is loaded: in quads along k (a_column is 1), in
// quads along m (a_row is 1), or as scalars. $RESIDUAL, $SCATTER and $ACCUMULATE as in matmul_nt.wgsl.
// A thread holds 4 * $QUADS rows (or $ROWS of one quad) by $TN quads of columns, and walks k eight at a time.
// Prelude weights.wgsl with $VECTOR or, with $EIGHT, weights_eight.wgsl: K (nt) or N (nn, and $TN is 2) is a multiple of 8.
// weights [N, K] or [K, N], a [M, K] as indexed above, y [M, y_stride]; residual [M, y_stride], columns [N].
// iterations: k / 8
//: if EIGHT
//: include weights_eight
//: else
//: include weights
//: end
//: include product_params
//: if LEFT == scalar
@group(0) @binding(2) var<storage, read> a: array<f32>;
//: else
@group(0) @binding(2) var<storage, read> a: array<vec4f>;
//: end
//: if STOREQUADS
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
//: else
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
//: end
//: if RESIDUAL
//: if STOREQUADS
@group(0) @binding(4) var<storage, read> residual: array<vec4f>; // laid out like y
//: else
@group(0) @binding(4) var<storage, read> residual: array<f32>;
//: end
//: end
//: if SCATTER
@group(0) @binding(4) var<storage, read> columns: array<u32>; // [N]
//: end

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first_m = group.y * (4u * ($QUADS - 1u) + $ROWS);
  //: for q in 0..QUADS
  //: if LEFT == k
  let start$q = params.a_offset + min(first_m + $q * 4u + lane / 2u, params.m - 1u) * params.a_row;
  //: end
  //: if LEFT == m
  let start$q = params.a_offset + min(first_m / 4u + $q, params.m / 4u - 1u);
  //: end
  //: if LEFT == scalar
  //: for r in 0..ROWS
  let start$q$r = params.a_offset + min(first_m + $q * 4u + $r, params.m - 1u) * params.a_row;
  //: end
  //: end
  //: end
  //: for j in 0..TN
  //: if LAYOUT == nt
  let quad$j = (group.x * $TN + $j) * 8u + lane;
  //: for c in 0..4
  //: if EIGHT
  let right$j_$c = min(quad$j * 4u + $c, params.n - 1u) * (params.k / 8u);
  //: else
  let right$j_$c = min(quad$j * 4u + $c, params.n - 1u) * (params.k / 4u);
  //: end
  //: end
  //: else
  let quad$j = (group.x * 8u + lane) * $TN + $j;
  //: if EIGHT
  let right$j = min(quad$j / 2u, params.n / 8u - 1u);
  //: else
  let right$j = min(quad$j, params.n / 4u - 1u);
  //: end
  //: end
  //: for q in 0..QUADS
  //: for r in 0..ROWS
  var sum$q$r_$j = vec4f(0.0);
  //: end
  //: end
  //: end
  for (var k = 0u; k < params.k; k += 8u) {
    //: if LEFT == k
    let own = k / 4u + lane % 2u;
    let own_inside = min(own, params.k / 4u - 1u);
    let inside = own < params.k / 4u;
    //: else
    let own = k + lane;
    let own_inside = min(own, params.k - 1u) * params.a_column;
    let inside = own < params.k;
    //: end
    //: for q in 0..QUADS
    //: if LEFT == scalar
    //: for r in 0..ROWS
    let a$q$r = select(0.0, a[start$q$r + own_inside], inside);
    //: end
    //: else
    let a$q = select(vec4f(0.0), a[start$q + own_inside], inside);
    //: end
    //: end
    //: if EIGHT
    //: if LAYOUT == nt
    //: for j in 0..TN
    //: for c in 0..4
    let eight$j_$c = weight8(right$j_$c + k / 8u);
    //: end
    //: end
    //: end
    //: end
    //: for h in 0..2
    {
      //: if EIGHT
      //: if LAYOUT == nn
      //: for c in 0..4
      let eight$c = weight8(min(k + $h * 4u + $c, params.k - 1u) * (params.n / 8u) + right0);
      //: end
      //: end
      //: end
      //: for j in 0..TN
      //: if LAYOUT == nt
      //: for c in 0..4
      //: if EIGHT
      let w$j_$c = eight$j_$c[$h];
      //: else
      let w$j_$c = weight4(right$j_$c + min(k / 4u + $h, params.k / 4u - 1u));
      //: end
      //: end
      //: for c in 0..4
      let b$j_$c = vec4f(w$j_0[$c], w$j_1[$c], w$j_2[$c], w$j_3[$c]);
      //: end
      //: else
      //: for c in 0..4
      //: if EIGHT
      let b$j_$c = eight$c[$j];
      //: else
      let b$j_$c = weight4(min(k + $h * 4u + $c, params.k - 1u) * (params.n / 4u) + right$j);
      //: end
      //: end
      //: end
      //: end
      //: for q in 0..QUADS
      //: for r in 0..ROWS
      {
        //: for c in 0..4
        //: if LEFT == k
        let value$c = vec4f(subgroupBroadcast(a$q[$c], $r * 2u + $h));
        //: end
        //: if LEFT == m
        let value$c = vec4f(subgroupBroadcast(a$q[$r], $h * 4u + $c));
        //: end
        //: if LEFT == scalar
        let value$c = vec4f(subgroupBroadcast(a$q$r, $h * 4u + $c));
        //: end
        //: end
        //: for j in 0..TN
        //: for c in 0..4
        sum$q$r_$j = fma(value$c, b$j_$c, sum$q$r_$j);
        //: end
        //: end
      }
      //: end
      //: end
    }
    //: end
  }
  //: for j in 0..TN
  if (quad$j * 4u < params.n) {
    //: for q in 0..QUADS
    //: for r in 0..ROWS
    if (first_m + $q * 4u + $r < params.m) {
      let row = (first_m + $q * 4u + $r) * params.y_stride + params.y_offset;
      //: if STOREQUADS
      let at = row + quad$j;
      //: include store_product AT=at SUM=sum$q$r_$j
      //: else
      //: for c in 0..4
      if (quad$j * 4u + $c < params.n) {
        //: if SCATTER
        let at = row + columns[quad$j * 4u + $c];
        //: else
        let at = row + quad$j * 4u + $c;
        //: end
        //: include store_product AT=at SUM=sum$q$r_$j[$c]
      }
      //: end
      //: end
    }
    //: end
    //: end
  }
  //: end
}
