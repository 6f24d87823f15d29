// Gradient of attention with respect to the keys and values of this batch's own tokens; one thread a token and
// key/value head, walking the later queries of its sequence. Cached positions that are no tokens of the batch are constants.
// $LAST: q, dy and stats hold only the last token of each sequence, row s for sequence s.
// q, dy [N, H, C], stats [N, H] of (lse, delta), dkv [N, 2, K, C], cache [rows, 2, K, C] (prelude cache.wgsl); see attention.wgsl.
// params.count is N * K.
// iterations: count / key_value_heads * query_heads / key_value_heads
//: include attention_params
//: include cache
//: if SOFT_CAP
//: include bounded_tanh TYPE=f32
//: end
//: if VECTOR
@group(0) @binding(4) var<storage, read> q: array<vec4f>;
@group(0) @binding(5) var<storage, read> cache: array<vec4f>;
@group(0) @binding(7) var<storage, read> dy: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> dkv: array<vec4f>;
//: else
@group(0) @binding(4) var<storage, read> q: array<f32>;
@group(0) @binding(5) var<storage, read> cache: array<f32>;
@group(0) @binding(7) var<storage, read> dy: array<f32>;
@group(0) @binding(8) var<storage, read_write> dkv: array<f32>;
//: end
@group(0) @binding(6) var<storage, read> stats: array<vec2f>;

@compute @workgroup_size($WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = id.x + id.y * groups.x * $WG;
  if (index >= params.count) {
    return;
  }
  let shared_head = index % params.key_value_heads;
  let n = index / params.key_value_heads;
  let token = tokens[n];
  let end = sequences[2u * token.z + 1u].y;
  let key = (cache_row(sequences[2u * token.z], token.y) * 2u * params.key_value_heads + shared_head) * $UNITS;
  let value = key + params.key_value_heads * $UNITS;
  //: for c in 0..UNITS
  let k$c = cache[key + $c];
  let v$c = cache[value + $c];
  //: if VECTOR
  var dk$c = vec4f(0.0);
  var dv$c = vec4f(0.0);
  //: else
  var dk$c = 0.0;
  var dv$c = 0.0;
  //: end
  //: end
  let group_size = params.query_heads / params.key_value_heads;
  //: if LAST
  var m = token.z;
  var last = m;
  if (n < end && (params.window == 0u || end - 1u - n < params.window)) {
    last = m + 1u;
  }
  //: else
  var m = n;
  var last = end;
  if (params.window > 0u) {
    last = min(end, n + params.window);
  }
  //: end
  for (; m < last; m++) {
    for (var g = 0u; g < group_size; g++) {
      let head = m * params.query_heads + shared_head * group_size + g;
      let at = head * $UNITS;
      var score = 0.0;
      var dp = 0.0;
      //: for c in 0..UNITS
      //: if VECTOR
      score += dot(q[at + $c], k$c);
      dp += dot(dy[at + $c], v$c);
      //: else
      score += q[at + $c] * k$c;
      dp += dy[at + $c] * v$c;
      //: end
      //: end
      //: include capped_score
      let stat = stats[head];
      let p = exp(score - stat.x);
      let dscore = p * (dp - stat.y) * dcap * params.scale;
      //: for c in 0..UNITS
      dk$c += dscore * q[at + $c];
      dv$c += p * dy[at + $c];
      //: end
    }
  }
  let to = (n * 2u * params.key_value_heads + shared_head) * $UNITS;
  //: for c in 0..UNITS
  dkv[to + $c] = dk$c;
  dkv[to + params.key_value_heads * $UNITS + $c] = dv$c;
  //: end
}
