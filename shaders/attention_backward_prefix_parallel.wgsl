// The same function and bindings as attention_backward_prefix.wgsl, for GPUs: one workgroup of $WG threads a position of one
// key/value head. Weights of $WG queries at a time, one a thread; then each thread sums its channels over those queries.
// params.count is S.
// q, dy [N, H, C], cache [rows, 2, K, C], stats [N, H] of (lse, delta), tokens [N], sequences [S, 2], dprefix [S, 2, K, C].
//: include attention_prefix_params
//: if VECTOR
var<workgroup> key: array<vec4f, $UNITS>;
var<workgroup> value: array<vec4f, $UNITS>;
//: else
var<workgroup> key: array<f32, $UNITS>;
var<workgroup> value: array<f32, $UNITS>;
//: end
// Of each query: where its row begins, and the weights that its q and dy get in dk and dv.
var<workgroup> rows: array<u32, $WG>;
var<workgroup> weights: array<vec2f, $WG>;

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let position = group.x;
  let shared_head = group.y;
  let key_at = (position * 2u * params.key_value_heads + shared_head) * $UNITS;
  let value_at = key_at + params.key_value_heads * $UNITS;
  for (var c = lane; c < $UNITS; c += $WG) {
    key[c] = cache[key_at + c];
    value[c] = cache[value_at + c];
  }
  //: for s in 0..SLICES
  //: if VECTOR
  var dk$s = vec4f(0.0);
  var dv$s = vec4f(0.0);
  //: else
  var dk$s = 0.0;
  var dv$s = 0.0;
  //: end
  //: end
  let group_size = params.query_heads / params.key_value_heads;
  let total = params.queries * group_size;
  for (var first = 0u; first < total; first += $WG) {
    let pair = first + lane;
    workgroupBarrier();
    var weight = vec2f(0.0);
    if (pair < total) {
      let m = pair / group_size;
      let head = m * params.query_heads + shared_head * group_size + pair % group_size;
      rows[lane] = head * $UNITS;
      let token = tokens[m];
      if (position < sequences[2u * token.z].y && (params.window == 0u || token.y - position < params.window)) {
        var score = 0.0;
        var dp = 0.0;
        for (var c = 0u; c < $UNITS; c++) {
          //: if VECTOR
          score += dot(q[head * $UNITS + c], key[c]);
          dp += dot(dy[head * $UNITS + c], value[c]);
          //: else
          score += q[head * $UNITS + c] * key[c];
          dp += dy[head * $UNITS + c] * value[c];
          //: end
        }
        //: include capped_score
        let stat = stats[head];
        let p = exp(score - stat.x);
        weight = vec2f(p * (dp - stat.y) * dcap * params.scale, p);
      }
    }
    weights[lane] = weight;
    workgroupBarrier();
    let filled = min(u32($WG), total - first);
    //: for s in 0..SLICES
    if (lane + $s * $WG < $UNITS) {
      for (var j = 0u; j < filled; j++) {
        dk$s += weights[j].x * q[rows[j] + lane + $s * $WG];
        dv$s += weights[j].y * dy[rows[j] + lane + $s * $WG];
      }
    }
    //: end
  }
  //: for s in 0..SLICES
  if (lane + $s * $WG < $UNITS) {
    dprefix[key_at + lane + $s * $WG] += dk$s;
    dprefix[value_at + lane + $s * $WG] += dv$s;
  }
  //: end
}
