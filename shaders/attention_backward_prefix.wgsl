// Adds to dprefix [S, 2, K, C] the gradient of attention with respect to the keys and values of a prefix that sequences share: what
// the N queries of this batch send to its positions 0 … S - 1, whose keys and values are rows 0 … S - 1 of the cache.
// q, dy [N, H, C], cache [rows, 2, K, C], stats [N, H] of (lse, delta), tokens [N], sequences [S, 2] as in cache.wgsl: a
// sequence whose split lies above a position shares it, others (padding) do not. See attention.wgsl for the rest.
// One thread a position of one key/value head, walking all queries. With $BROADCAST the workgroup of 8 is one subgroup, whose
// lanes each load another part of a query and its dy and hand it to the others; a head's $UNITS quads (scalars without
// $VECTOR) are $SLICES times $LANES.
// params.count is S.
// iterations: queries * query_heads / key_value_heads
//: include attention_prefix_params

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let shared_head = group.y;
  let position = group.x * $WG + lane;
  let own = min(position, params.count - 1u);
  let key = (own * 2u * params.key_value_heads + shared_head) * $UNITS;
  let value = key + params.key_value_heads * $UNITS;
  //: for s in 0..SLICES
  //: for l in 0..LANES
  let k$s_$l = cache[key + $s * $LANES + $l];
  let v$s_$l = cache[value + $s * $LANES + $l];
  //: if VECTOR
  var dk$s_$l = vec4f(0.0);
  var dv$s_$l = vec4f(0.0);
  //: else
  var dk$s_$l = 0.0;
  var dv$s_$l = 0.0;
  //: end
  //: end
  //: end
  let group_size = params.query_heads / params.key_value_heads;
  for (var m = 0u; m < params.queries; m++) {
    let token = tokens[m];
    let split = sequences[2u * token.z].y;
    let sees = own < split && (params.window == 0u || token.y - own < params.window);
    for (var g = 0u; g < group_size; g++) {
      let head = m * params.query_heads + shared_head * group_size + g;
      let stat = stats[head];
      //: if BROADCAST
      let part = head * $UNITS + min(lane, $LANES - 1u);
      //: else
      let part = head * $UNITS;
      //: end
      var score = 0.0;
      var dp = 0.0;
      //: for s in 0..SLICES
      //: if BROADCAST
      let q_part$s = q[part + $s * $LANES];
      let dy_part$s = dy[part + $s * $LANES];
      //: end
      //: for l in 0..LANES
      //: if BROADCAST
      let q$s_$l = subgroupBroadcast(q_part$s, $l + 0u);
      let dy$s_$l = subgroupBroadcast(dy_part$s, $l + 0u);
      //: else
      let q$s_$l = q[part + $s * $LANES + $l];
      let dy$s_$l = dy[part + $s * $LANES + $l];
      //: end
      //: if VECTOR
      score += dot(q$s_$l, k$s_$l);
      dp += dot(dy$s_$l, v$s_$l);
      //: else
      score += q$s_$l * k$s_$l;
      dp += dy$s_$l * v$s_$l;
      //: end
      //: end
      //: end
      //: include capped_score
      let p = select(0.0, exp(score - stat.x), sees);
      let dscore = select(0.0, p * (dp - stat.y) * dcap * params.scale, sees);
      //: for s in 0..SLICES
      //: for l in 0..LANES
      dk$s_$l += dscore * q$s_$l;
      dv$s_$l += p * dy$s_$l;
      //: end
      //: end
    }
  }
  if (position >= params.count) {
    return;
  }
  //: for s in 0..SLICES
  //: for l in 0..LANES
  dprefix[key + $s * $LANES + $l] += dk$s_$l;
  dprefix[value + $s * $LANES + $l] += dv$s_$l;
  //: end
  //: end
}
