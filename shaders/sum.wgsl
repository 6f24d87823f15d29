// totals[at] = sum of values[count], by one workgroup.
// values [count], totals [at + 1 or more].
// iterations: count / 64
struct Params {
  count: u32,
  at: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> totals: array<f32>;
//: include workgroup_reduce TYPE=f32 SIZE=64

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var i = lane; i < params.count; i += 64u) {
    sum += values[i];
  }
  sum = workgroup_sum(lane, sum);
  if (lane == 0u) {
    totals[params.at] = sum;
  }
}
