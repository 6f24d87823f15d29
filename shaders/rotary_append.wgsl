// Rotates queries and keys by their positions and appends keys and values to the cache.
// qk [N, stride] holds H query heads then K key heads; v [N, stride] holds the value heads behind them; C wide each.
// q [N, H, C] receives the rotated queries; cache [rows, 2, K, C] the rotated keys and the values (prelude cache.wgsl).
// Pairs are (i, i + C/2) as in Hugging Face's rotate_half; angles [positions, C/2] of (cos, sin).
// $T: vec4f where C/2 is a multiple of 4 (then count and half count quads), else f32.
//: include cache
struct Params {
  count: u32, // N * (H + 2K) * C/2
  query_heads: u32, // H
  key_value_heads: u32, // K
  half: u32, // C/2
}
@group(0) @binding(0) var<uniform> params: Params;
//: if T == vec4f
@group(0) @binding(4) var<storage, read> angles: array<vec4f>;
//: else
@group(0) @binding(4) var<storage, read> angles: array<vec2f>;
//: end
@group(0) @binding(5) var<storage, read> qk: array<$T>;
@group(0) @binding(6) var<storage, read> v: array<$T>;
@group(0) @binding(7) var<storage, read_write> q: array<$T>;
@group(0) @binding(8) var<storage, read_write> cache: array<$T>;

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
  //: if T == vec4f
  let front = angles[2u * (token.y * params.half + i)];
  let back = angles[2u * (token.y * params.half + i) + 1u];
  let cosine = vec4f(front.xz, back.xz);
  let sine = vec4f(front.yw, back.yw);
  //: else
  let cosine = angles[token.y * params.half + i].x;
  let sine = angles[token.y * params.half + i].y;
  //: end
  let low = qk[start];
  let high = qk[start + params.half];
  let rotated_low = low * cosine - high * sine;
  let rotated_high = high * cosine + low * sine;
  if (head < params.query_heads) {
    let to = (n * params.query_heads + head) * 2u * params.half + i;
    q[to] = rotated_low;
    q[to + params.half] = rotated_high;
  } else {
    let row = cache_row(sequences[2u * token.z], token.y);
    let to = (row * 2u * params.key_value_heads + head - params.query_heads) * 2u * params.half + i;
    cache[to] = rotated_low;
    cache[to + params.half] = rotated_high;
  }
}
