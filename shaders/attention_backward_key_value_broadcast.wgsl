// The same function and bindings as attention_backward_key_value.wgsl without $LAST, for adapters whose subgroup is the workgroup
// of 8 (llvmpipe, where every load is a loop over lanes): 8 neighbouring tokens of one key/value head walk the same later
// queries, and each lane loads another part of a query and its dy and hands it to the others. C is a multiple of 4; a head's
// $UNITS quads are $SLICES times $LANES, and $LANES at most 8.
// params.count is N.
// q, dy [N, H, C], cache [rows, 2, K, C], stats [N, H] of (lse, delta), dkv [N, 2, K, C]; tokens, sequences, table as in cache.wgsl.
// iterations: count * query_heads / key_value_heads
//: include attention_params
//: include cache
//: if SOFT_CAP
//: include bounded_tanh TYPE=f32
//: end
@group(0) @binding(4) var<storage, read> q: array<vec4f>;
@group(0) @binding(5) var<storage, read> cache: array<vec4f>;
@group(0) @binding(6) var<storage, read> stats: array<vec2f>;
@group(0) @binding(7) var<storage, read> dy: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> dkv: array<vec4f>;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let shared_head = group.y;
  let n = group.x * 8u + lane;
  let own = min(n, params.count - 1u);
  let token = tokens[own];
  let key = (cache_row(sequences[2u * token.z], token.y) * 2u * params.key_value_heads + shared_head) * $UNITS;
  let value = key + params.key_value_heads * $UNITS;
  //: for s in 0..SLICES
  //: for l in 0..LANES
  let k$s_$l = cache[key + $s * $LANES + $l];
  let v$s_$l = cache[value + $s * $LANES + $l];
  var dk$s_$l = vec4f(0.0);
  var dv$s_$l = vec4f(0.0);
  //: end
  //: end
  let end = sequences[2u * token.z + 1u].y;
  var last = end;
  if (params.window > 0u) {
    last = min(end, own + params.window);
  }
  let stop = subgroupMax(last); // lanes skip the queries that are not theirs
  let group_size = params.query_heads / params.key_value_heads;
  for (var m = group.x * 8u; m < stop; m++) {
    let mine = m >= own && m < last;
    for (var g = 0u; g < group_size; g++) {
      let head = m * params.query_heads + shared_head * group_size + g;
      let stat = stats[head];
      let part = head * $UNITS + min(lane, $LANES - 1u);
      var score = 0.0;
      var dp = 0.0;
      //: for s in 0..SLICES
      let q_part$s = q[part + $s * $LANES];
      let dy_part$s = dy[part + $s * $LANES];
      //: for l in 0..LANES
      let q$s_$l = subgroupBroadcast(q_part$s, $l + 0u);
      let dy$s_$l = subgroupBroadcast(dy_part$s, $l + 0u);
      score += dot(q$s_$l, k$s_$l);
      dp += dot(dy$s_$l, v$s_$l);
      //: end
      //: end
      //: include capped_score
      let p = select(0.0, exp(score - stat.x), mine);
      let dscore = select(0.0, p * (dp - stat.y) * dcap * params.scale, mine);
      //: for s in 0..SLICES
      //: for l in 0..LANES
      dk$s_$l += dscore * q$s_$l;
      dv$s_$l += p * dy$s_$l;
      //: end
      //: end
    }
  }
  if (n >= params.count) {
    return;
  }
  let to = (n * 2u * params.key_value_heads + shared_head) * $UNITS;
  //: for s in 0..SLICES
  //: for l in 0..LANES
  dkv[to + $s * $LANES + $l] = dk$s_$l;
  dkv[to + params.key_value_heads * $UNITS + $s * $LANES + $l] = dv$s_$l;
  //: end
  //: end
}
