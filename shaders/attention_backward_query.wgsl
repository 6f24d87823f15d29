// Gradient of attention with respect to its queries; one thread a query head, probabilities recomputed from lse.
// q, dy, dq [N, H, C], cache [rows, 2, K, C] (prelude cache.wgsl), stats [N, H] of (lse, delta = dy.y).
// p = exp(score - lse); dscore = p * (dy.v - delta); see attention.wgsl for the rest.
struct Params {
  count: u32, // N * H
  query_heads: u32, // H
  key_value_heads: u32, // K
  window: u32,
  scale: f32,
  soft_cap: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
//: if VECTOR
@group(0) @binding(4) var<storage, read> q: array<vec4f>;
@group(0) @binding(5) var<storage, read> cache: array<vec4f>;
@group(0) @binding(7) var<storage, read> dy: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> dq: array<vec4f>;
//: else
@group(0) @binding(4) var<storage, read> q: array<f32>;
@group(0) @binding(5) var<storage, read> cache: array<f32>;
@group(0) @binding(7) var<storage, read> dy: array<f32>;
@group(0) @binding(8) var<storage, read_write> dq: array<f32>;
//: end
@group(0) @binding(6) var<storage, read> stats: array<vec2f>;

@compute @workgroup_size($WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.x + id.y * groups.x * $WG;
  if (index >= params.count) {
    return;
  }
  let head = index % params.query_heads;
  let shared_head = head * params.key_value_heads / params.query_heads;
  let token = tokens[index / params.query_heads];
  let sequence = sequences[2u * token.z];
  //: for c in 0..UNITS
  let q$c = q[index * $UNITS + $c] * params.scale;
  let dy$c = dy[index * $UNITS + $c];
  //: if VECTOR
  var sum$c = vec4f(0.0);
  //: else
  var sum$c = 0.0;
  //: end
  //: end
  let stat = stats[index];
  var position = 0u;
  if (params.window > 0u && token.y >= params.window) {
    position = token.y - params.window + 1u;
  }
  for (; position <= token.y; position++) {
    let key = (cache_row(sequence, position) * 2u * params.key_value_heads + shared_head) * $UNITS;
    let value = key + params.key_value_heads * $UNITS;
    var score = 0.0;
    var pull = 0.0;
    //: for c in 0..UNITS
    //: if VECTOR
    score += dot(q$c, cache[key + $c]);
    pull += dot(dy$c, cache[value + $c]);
    //: else
    score += q$c * cache[key + $c];
    pull += dy$c * cache[value + $c];
    //: end
    //: end
    var slope = 1.0;
    //: if SOFT_CAP
    let bent = tanh(clamp(score / params.soft_cap, -20.0, 20.0));
    score = params.soft_cap * bent;
    slope = 1.0 - bent * bent;
    //: end
    let dscore = exp(score - stat.x) * (pull - stat.y) * slope;
    //: for c in 0..UNITS
    sum$c += dscore * cache[key + $c];
    //: end
  }
  //: for c in 0..UNITS
  dq[index * $UNITS + $c] = sum$c * params.scale;
  //: end
}
