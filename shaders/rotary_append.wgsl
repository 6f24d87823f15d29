// Rotates queries and keys by their positions and appends keys and values to the cache.
// qk [N, stride] holds H query heads then K key heads; v [N, stride] holds the value heads behind them; C wide each.
// q [N, H, C] receives the rotated queries; cache [rows, 2, K, C] the rotated keys and the values (prelude cache.wgsl).
// Pairs are (i, i + C/2) as in Hugging Face's rotate_half; angles [positions, C/2] of (cos, sin).
struct Params {
  count: u32, // N * (H + 2K) * C/2
  query_heads: u32, // H
  key_value_heads: u32, // K
  half: u32, // C/2
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(4) var<storage, read> angles: array<vec2f>;
@group(0) @binding(5) var<storage, read> qk: array<f32>;
@group(0) @binding(6) var<storage, read> v: array<f32>;
@group(0) @binding(7) var<storage, read_write> q: array<f32>;
@group(0) @binding(8) var<storage, read_write> cache: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.x + id.y * groups.x * 64u;
  if (index >= params.count) {
    return;
  }
  let heads = params.query_heads + 2u * params.key_value_heads;
  let i = index % params.half;
  let head = index / params.half % heads;
  let n = index / params.half / heads;
  let token = tokens[n];
  let start = (n * heads + head) * 2u * params.half + i;
  if (head >= params.query_heads + params.key_value_heads) {
    let row = cache_row(sequences[2u * token.z], token.y);
    let to = ((row * 2u + 1u) * params.key_value_heads + head - params.query_heads - params.key_value_heads) * 2u * params.half + i;
    cache[to] = v[start];
    cache[to + params.half] = v[start + params.half];
    return;
  }
  let angle = angles[token.y * params.half + i];
  let low = qk[start];
  let high = qk[start + params.half];
  let rotated = vec2f(low * angle.x - high * angle.y, high * angle.x + low * angle.y);
  if (head < params.query_heads) {
    let to = (n * params.query_heads + head) * 2u * params.half + i;
    q[to] = rotated.x;
    q[to + params.half] = rotated.y;
  } else {
    let row = cache_row(sequences[2u * token.z], token.y);
    let to = (row * 2u * params.key_value_heads + head - params.query_heads) * 2u * params.half + i;
    cache[to] = rotated.x;
    cache[to + params.half] = rotated.y;
  }
}
