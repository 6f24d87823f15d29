// The same function and bindings as attention.wgsl, for adapters whose subgroup is the workgroup of 8 (llvmpipe, where every load
// is a loop over lanes): 8 neighbouring pairs of a query token and one of the query heads that share a key/value head walk
// the same positions, and each lane loads another part of a key and its value and hands it to the others. Pairs of other
// sequences take turns. C is a multiple of 4; a head's $UNITS quads are $SLICES times $LANES, and $LANES at most 8.
// params.count is N.
// q [N, H, C], cache [rows, 2, K, C], y [N, H, C], stats [N, H] of (log-sum-exp, _); tokens, sequences, table as in cache.wgsl.
//: include attention_params
//: include cache
//: if SOFT_CAP
//: include bounded_tanh TYPE=f32
//: end
@group(0) @binding(4) var<storage, read> q: array<vec4f>;
@group(0) @binding(5) var<storage, read> cache: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> stats: array<vec2f>;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let shared_head = group.y;
  let group_size = params.query_heads / params.key_value_heads;
  let pair = group.x * 8u + lane;
  let inside = pair < params.count * group_size;
  let own = min(pair, params.count * group_size - 1u);
  let n = own / group_size;
  let head = n * params.query_heads + shared_head * group_size + own % group_size;
  let token = tokens[n];
  var first = 0u;
  if (params.window > 0u && token.y >= params.window) {
    first = token.y - params.window + 1u;
  }
  //: for s in 0..SLICES
  //: for l in 0..LANES
  let q$s_$l = q[head * $UNITS + $s * $LANES + $l] * params.scale;
  var sum$s_$l = vec4f(0.0);
  //: end
  //: end
  var top = -1e30;
  var total = 0.0;
  let part = min(lane, $LANES - 1u);
  // Tokens of a sequence lie together, so each turn is the next higher number of those in the group.
  let last_turn = subgroupMax(token.z);
  for (var turn = subgroupMin(token.z); turn <= last_turn;) {
    let here = token.z == turn;
    let sequence = sequences[2u * turn];
    let stop = subgroupMax(select(0u, token.y + 1u, here));
    for (var position = subgroupMin(select(0xffffffffu, first, here)); position < stop; position++) {
      let key = (cache_row(sequence, position) * 2u * params.key_value_heads + shared_head) * $UNITS + part;
      let value = key + params.key_value_heads * $UNITS;
      var score = 0.0;
      //: for s in 0..SLICES
      let k_part$s = cache[key + $s * $LANES];
      let v_part$s = cache[value + $s * $LANES];
      //: for l in 0..LANES
      score += dot(q$s_$l, subgroupBroadcast(k_part$s, $l + 0u));
      //: end
      //: end
      //: if SOFT_CAP
      score = params.soft_cap * bounded_tanh(score / params.soft_cap);
      //: end
      let mine = here && position >= first && position <= token.y;
      if (mine && score > top) {
        let shrink = exp(top - score);
        total *= shrink;
        //: for s in 0..SLICES
        //: for l in 0..LANES
        sum$s_$l *= shrink;
        //: end
        //: end
        top = score;
      }
      let p = select(0.0, exp(score - top), mine);
      total += p;
      //: for s in 0..SLICES
      //: for l in 0..LANES
      sum$s_$l += p * subgroupBroadcast(v_part$s, $l + 0u);
      //: end
      //: end
    }
    turn = subgroupMin(select(0xffffffffu, token.z, token.z > turn));
    if (turn == 0xffffffffu) {
      break;
    }
  }
  if (!inside) {
    return;
  }
  //: for s in 0..SLICES
  //: for l in 0..LANES
  y[head * $UNITS + $s * $LANES + $l] = sum$s_$l / total;
  //: end
  //: end
  stats[head].x = top + log(total);
}
