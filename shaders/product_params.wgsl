// Include: sizes of a product y[m, n] = sum_k a(m, k) b(k, n) with a(m, k) = a[a_offset + m * a_row + k * a_column].
struct Params {
  m: u32,
  n: u32,
  k: u32,
  a_offset: u32, // these three in units of a load of a
  a_row: u32,
  a_column: u32,
  y_stride: u32, // these two in units of a store to y
  y_offset: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
