// Include: parameters of the attention kernels; count is of what a thread or workgroup of the kernel works on.
struct Params {
  count: u32,
  query_heads: u32, // H
  key_value_heads: u32, // K
  window: u32, // positions that a query sees, itself included; 0: all
  scale: f32, // factor on q.k
  soft_cap: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
