// Causal attention of N query tokens over the K/V cache, online softmax: no T x T buffer.
// q [N, H, C], cache [rows, 2, K, C] (prelude cache.wgsl), y [N, H, C], stats [N, H] of (log-sum-exp, _) for the backward pass.
// score = cap(scale * q.k), cap(s) = soft_cap * tanh(s / soft_cap) with $SOFT_CAP. A query at position p sees
// positions max(0, p - window + 1) … p, all of them with window 0. H / K query heads share a key/value head.
// One thread for $SHARE query heads that share a key/value head, so that keys and values are read once for all of them;
// q and the sums over values stay in registers, $UNITS quads (scalars without $VECTOR) a head.
// params.count is N * H / $SHARE.
//: include attention_params
//: include cache
//: if SOFT_CAP
//: include bounded_tanh TYPE=f32
//: end
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
  let blocks = params.query_heads / $SHARE;
  let n = index / blocks;
  let first_head = index % blocks * $SHARE;
  let shared_head = first_head * params.key_value_heads / params.query_heads;
  let token = tokens[n];
  let sequence = sequences[2u * token.z];
  //: for h in 0..SHARE
  let head$h = n * params.query_heads + first_head + $h;
  var top$h = -1e30;
  var total$h = 0.0;
  //: for c in 0..UNITS
  let q$h_$c = q[head$h * $UNITS + $c] * params.scale;
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
    //: end
    //: for c in 0..UNITS
    {
      let k = cache[key + $c];
      //: for h in 0..SHARE
      //: if VECTOR
      score$h += dot(q$h_$c, k);
      //: else
      score$h += q$h_$c * k;
      //: end
      //: end
    }
    //: end
    //: for h in 0..SHARE
    //: if SOFT_CAP
    score$h = params.soft_cap * bounded_tanh(score$h / params.soft_cap);
    //: end
    if (score$h > top$h) {
      let shrink = exp(top$h - score$h);
      total$h *= shrink;
      //: for c in 0..UNITS
      sum$h_$c *= shrink;
      //: end
      top$h = score$h;
    }
    let p$h = exp(score$h - top$h);
    total$h += p$h;
    //: end
    //: for c in 0..UNITS
    {
      let v = cache[value + $c];
      //: for h in 0..SHARE
      sum$h_$c += p$h * v;
      //: end
    }
    //: end
  }
  //: for h in 0..SHARE
  //: for c in 0..UNITS
  y[head$h * $UNITS + $c] = sum$h_$c / total$h;
  //: end
  stats[head$h].x = top$h + log(total$h);
  //: end
}
