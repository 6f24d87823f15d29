// Causal attention of N query tokens over the K/V cache, online softmax: no T x T buffer.
// q [N, H, C], cache [rows, 2, K, C] (prelude cache.wgsl), y [N, H, C], stats [N, H] of (log-sum-exp, _) for the backward pass.
// score = cap(scale * q.k), cap(s) = soft_cap * tanh(s / soft_cap) with $SOFT_CAP. A query at position p sees
// positions max(0, p - window + 1) … p, all of them with window 0. H / K query heads share a key/value head.
// One thread a query head: q and the sum over values stay in registers. $C4 = C/4 quads, or $C scalars without $VECTOR.
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
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;
//: else
@group(0) @binding(4) var<storage, read> q: array<f32>;
@group(0) @binding(5) var<storage, read> cache: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
//: end
@group(0) @binding(7) var<storage, read_write> stats: array<vec2f>;

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
  //: if VECTOR
  var sum$c = vec4f(0.0);
  //: else
  var sum$c = 0.0;
  //: end
  //: end
  var top = -1e30;
  var total = 0.0;
  var position = 0u;
  if (params.window > 0u && token.y >= params.window) {
    position = token.y - params.window + 1u;
  }
  for (; position <= token.y; position++) {
    let key = (cache_row(sequence, position) * 2u * params.key_value_heads + shared_head) * $UNITS;
    let value = key + params.key_value_heads * $UNITS;
    var score = 0.0;
    //: for c in 0..UNITS
    //: if VECTOR
    score += dot(q$c, cache[key + $c]);
    //: else
    score += q$c * cache[key + $c];
    //: end
    //: end
    //: if SOFT_CAP
    score = params.soft_cap * tanh(clamp(score / params.soft_cap, -20.0, 20.0));
    //: end
    if (score > top) {
      let shrink = exp(top - score);
      total *= shrink;
      //: for c in 0..UNITS
      sum$c *= shrink;
      //: end
      top = score;
    }
    let p = exp(score - top);
    total += p;
    //: for c in 0..UNITS
    sum$c += p * cache[value + $c];
    //: end
  }
  //: for c in 0..UNITS
  y[index * $UNITS + $c] = sum$c / total;
  //: end
  stats[index].x = top + log(total);
}
