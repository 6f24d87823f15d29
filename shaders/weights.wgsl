// Prelude: reads a row-major weight matrix stored as f32, f16 or bf16 as f32.
// 16-bit elements are packed in pairs into u32, the lower index in the low half.
// $DTYPE: f32 | f16 | bf16. $VECTOR: read four neighbours at once (row widths are multiples of 4).
// weights [rows * columns], in the order of the checkpoint.
//: if VECTOR
//: if DTYPE == f32
@group(0) @binding(1) var<storage, read> weights: array<vec4f>;
fn weight4(i: u32) -> vec4f {
  return weights[i];
}
//: end
//: if DTYPE == f16
@group(0) @binding(1) var<storage, read> weights: array<vec2u>;
fn weight4(i: u32) -> vec4f {
  let pair = weights[i];
  return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
}
//: end
//: if DTYPE == bf16
@group(0) @binding(1) var<storage, read> weights: array<vec2u>;
fn weight4(i: u32) -> vec4f {
  let pair = weights[i];
  return bitcast<vec4f>(vec4u(pair.x << 16u, pair.x & 0xffff0000u, pair.y << 16u, pair.y & 0xffff0000u));
}
//: end
//: else
//: if DTYPE == f32
@group(0) @binding(1) var<storage, read> weights: array<f32>;
fn weight(i: u32) -> f32 {
  return weights[i];
}
//: end
//: if DTYPE == f16
@group(0) @binding(1) var<storage, read> weights: array<u32>;
fn weight(i: u32) -> f32 {
  let pair = unpack2x16float(weights[i / 2u]);
  return select(pair.x, pair.y, (i & 1u) == 1u);
}
//: end
//: if DTYPE == bf16
@group(0) @binding(1) var<storage, read> weights: array<u32>;
fn weight(i: u32) -> f32 {
  let pair = weights[i / 2u];
  return bitcast<f32>(select(pair << 16u, pair & 0xffff0000u, (i & 1u) == 1u));
}
//: end
//: end
