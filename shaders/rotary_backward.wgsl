// Rotates the gradients of queries and keys back and packs them with the values' into dqkv [N, H + 2K, C].
// dq [N, H, C], dkv [N, 2, K, C], tokens [N] of (id, position, sequence, flag), angles [positions, C/2] of (cos, sin).
// $T as in rotary_append.wgsl.
struct Params {
  count: u32, // N * (H + 2K) * C/2
  query_heads: u32, // H
  key_value_heads: u32, // K
  half: u32, // C/2
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<vec4u>;
//: if T == vec4f
@group(0) @binding(2) var<storage, read> angles: array<vec4f>;
//: else
@group(0) @binding(2) var<storage, read> angles: array<vec2f>;
//: end
@group(0) @binding(3) var<storage, read> dq: array<$T>;
@group(0) @binding(4) var<storage, read> dkv: array<$T>;
@group(0) @binding(5) var<storage, read_write> dqkv: array<$T>;

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
  let to = (n * heads + head) * 2u * params.half + i;
  if (head >= params.query_heads + params.key_value_heads) {
    let start = ((n * 2u + 1u) * params.key_value_heads + head - params.query_heads - params.key_value_heads) * 2u * params.half + i;
    dqkv[to] = dkv[start];
    dqkv[to + params.half] = dkv[start + params.half];
    return;
  }
  var low: $T;
  var high: $T;
  if (head < params.query_heads) {
    let start = (n * params.query_heads + head) * 2u * params.half + i;
    low = dq[start];
    high = dq[start + params.half];
  } else {
    let start = (n * 2u * params.key_value_heads + head - params.query_heads) * 2u * params.half + i;
    low = dkv[start];
    high = dkv[start + params.half];
  }
  let position = tokens[n].y;
  //: if T == vec4f
  let front = angles[2u * (position * params.half + i)];
  let back = angles[2u * (position * params.half + i) + 1u];
  let cosine = vec4f(front.xz, back.xz);
  let sine = vec4f(front.yw, back.yw);
  //: else
  let cosine = angles[position * params.half + i].x;
  let sine = angles[position * params.half + i].y;
  //: end
  dqkv[to] = low * cosine + high * sine;
  dqkv[to + params.half] = high * cosine - low * sine;
}
