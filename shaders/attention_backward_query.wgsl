// Gradient of attention with respect to its queries; one thread for $SHARE query heads of one key/value head, probabilities recomputed from lse.
// q, dy, dq [N, H, C], cache [rows, 2, K, C] (prelude cache.wgsl), stats [N, H] of (lse, delta = dy.y).
// p = exp(score - lse); dscore = p * (dy.v - delta); see attention.wgsl for the rest.
// params.count is N * H / $SHARE.
//: include attention_params
//: include cache
//: if SOFT_CAP
//: include bounded_tanh TYPE=f32
//: end
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
  let blocks = params.query_heads / $SHARE;
  let n = index / blocks;
  let first_head = index % blocks * $SHARE;
  let shared_head = first_head * params.key_value_heads / params.query_heads;
  let token = tokens[n];
  let sequence = sequences[2u * token.z];
  //: for h in 0..SHARE
  let head$h = n * params.query_heads + first_head + $h;
  let stat$h = stats[head$h];
  //: for c in 0..UNITS
  let q$h_$c = q[head$h * $UNITS + $c] * params.scale;
  let dy$h_$c = dy[head$h * $UNITS + $c];
  //: if VECTOR
  var sum$h_$c = vec4f(0.0);
  //: else
  var sum$h_$c = 0.0;
  //: end
  //: end
  //: end
  var position = 0u;
  if (params.window > 0u && token.y >= params.window) {
    position = token.y - params.window + 1u;
  }
  for (; position <= token.y; position++) {
    let key = (cache_row(sequence, position) * 2u * params.key_value_heads + shared_head) * $UNITS;
    let value = key + params.key_value_heads * $UNITS;
    //: for h in 0..SHARE
    var score$h = 0.0;
    var dp$h = 0.0;
    //: end
    //: for c in 0..UNITS
    let k$c = cache[key + $c];
    let v$c = cache[value + $c];
    //: for h in 0..SHARE
    //: if VECTOR
    score$h += dot(q$h_$c, k$c);
    dp$h += dot(dy$h_$c, v$c);
    //: else
    score$h += q$h_$c * k$c;
    dp$h += dy$h_$c * v$c;
    //: end
    //: end
    //: end
    //: for h in 0..SHARE
    {
      var dcap = 1.0;
      //: if SOFT_CAP
      let capped = bounded_tanh(score$h / params.soft_cap);
      score$h = params.soft_cap * capped;
      dcap = 1.0 - capped * capped;
      //: end
      let dscore = exp(score$h - stat$h.x) * (dp$h - stat$h.y) * dcap;
      //: for c in 0..UNITS
      sum$h_$c += dscore * k$c;
      //: end
    }
    //: end
  }
  //: for h in 0..SHARE
  //: for c in 0..UNITS
  dq[head$h * $UNITS + $c] = sum$h_$c * params.scale;
  //: end
  //: end
}
