// Include: parameters and bindings of the gradient that a shared prefix gets; count is its positions S.
// q, dy [N, H, C], cache [rows, 2, K, C], stats [N, H] of (lse, delta), tokens [N], sequences [S, 2], dprefix [S, 2, K, C].
struct Params {
  count: u32,
  queries: u32, // N
  query_heads: u32, // H
  key_value_heads: u32, // K
  window: u32, // positions that a query sees, itself included; 0: all
  scale: f32, // factor on q.k
  soft_cap: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
//: if SOFT_CAP
//: include bounded_tanh TYPE=f32
//: end
@group(0) @binding(1) var<storage, read> tokens: array<vec4u>;
@group(0) @binding(2) var<storage, read> sequences: array<vec4u>;
//: if VECTOR
@group(0) @binding(4) var<storage, read> q: array<vec4f>;
@group(0) @binding(5) var<storage, read> cache: array<vec4f>;
@group(0) @binding(7) var<storage, read> dy: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> dprefix: array<vec4f>;
//: else
@group(0) @binding(4) var<storage, read> q: array<f32>;
@group(0) @binding(5) var<storage, read> cache: array<f32>;
@group(0) @binding(7) var<storage, read> dy: array<f32>;
@group(0) @binding(8) var<storage, read_write> dprefix: array<f32>;
//: end
@group(0) @binding(6) var<storage, read> stats: array<vec2f>;
