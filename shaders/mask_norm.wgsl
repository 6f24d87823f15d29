// norm[lane] = sum of |mask[i]| over i = lane, lane + $WG, …: the L1 term of the loss, taken before the mask steps.
// iterations: count / $WG
struct Params {
  count: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> mask: array<f32>;
@group(0) @binding(2) var<storage, read_write> norm: array<f32>;

@compute @workgroup_size($WG)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var i = lane; i < params.count; i += $WG) {
    sum += abs(mask[i]);
  }
  norm[lane] = sum;
}
