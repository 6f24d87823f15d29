// Prelude: reads a row-major weight matrix whose rows are multiples of 8 as f32, eight neighbours at a time, where a load
// of wide elements costs no more than one of narrow ones (llvmpipe). $DTYPE: f32 (as u64 pairs) | f16 | bf16.
// weights [rows * columns], in the order of the checkpoint.
//: if DTYPE == f32
@group(0) @binding(1) var<storage, read> weights: array<vec4<u64>>;
fn weight8(i: u32) -> mat2x4f {
  let pairs = weights[i];
  let even = bitcast<vec4f>(vec4u(pairs));
  let odd = bitcast<vec4f>(vec4u(pairs >> vec4u(32u)));
  return mat2x4f(even.x, odd.x, even.y, odd.y, even.z, odd.z, even.w, odd.w);
}
//: else
@group(0) @binding(1) var<storage, read> weights: array<vec4u>;
fn weight8(i: u32) -> mat2x4f {
  let pairs = weights[i];
  //: if DTYPE == f16
  return mat2x4f(
    vec4f(unpack2x16float(pairs.x), unpack2x16float(pairs.y)),
    vec4f(unpack2x16float(pairs.z), unpack2x16float(pairs.w)),
  );
  //: else
  let even = bitcast<vec4f>(pairs << vec4u(16u));
  let odd = bitcast<vec4f>(pairs & vec4u(0xffff0000u));
  return mat2x4f(even.x, odd.x, even.y, odd.y, even.z, odd.z, even.w, odd.w);
  //: end
}
//: end
