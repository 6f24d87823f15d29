// The same function and bindings as attention.wgsl, for GPUs: one workgroup of $WG threads a query head.
// Scores of $WG positions at a time, one a thread; then each thread sums its channels over those positions.
// params.count is N * H.
// q [N, H, C], cache [rows, 2, K, C], y [N, H, C], stats [N, H] of (lse, _); tokens, sequences, table as in cache.wgsl.
//: include attention_params
//: include cache
//: if SOFT_CAP
//: include bounded_tanh TYPE=f32
//: end
//: if VECTOR
@group(0) @binding(4) var<storage, read> q: array<vec4f>;
@group(0) @binding(5) var<storage, read> cache: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;
var<workgroup> query: array<vec4f, $UNITS>;
//: else
@group(0) @binding(4) var<storage, read> q: array<f32>;
@group(0) @binding(5) var<storage, read> cache: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
var<workgroup> query: array<f32, $UNITS>;
//: end
@group(0) @binding(7) var<storage, read_write> stats: array<vec2f>;
var<workgroup> rows: array<u32, $WG>;
var<workgroup> weight: array<f32, $WG>;
//: include workgroup_reduce TYPE=f32 SIZE=$WG

@compute @workgroup_size($WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = group.x + group.y * groups.x;
  if (index >= params.count) {
    return;
  }
  let head = index % params.query_heads;
  let shared_head = head * params.key_value_heads / params.query_heads;
  let token = tokens[index / params.query_heads];
  let sequence = sequences[2u * token.z];
  for (var c = lane; c < $UNITS; c += $WG) {
    query[c] = q[index * $UNITS + c] * params.scale;
  }
  //: for s in 0..SLICES
  //: if VECTOR
  var sum$s = vec4f(0.0);
  //: else
  var sum$s = 0.0;
  //: end
  //: end
  var top = -1e30;
  var total = 0.0;
  var first = 0u;
  if (params.window > 0u && token.y >= params.window) {
    first = token.y - params.window + 1u;
  }
  let blocks = (token.y - first) / $WG + 1u;
  for (var block = 0u; block < blocks; block++) {
    let position = first + block * $WG + lane;
    workgroupBarrier();
    var score = -1e30;
    if (position <= token.y) {
      let key = (cache_row(sequence, position) * 2u * params.key_value_heads + shared_head) * $UNITS;
      rows[lane] = key + params.key_value_heads * $UNITS;
      score = 0.0;
      for (var c = 0u; c < $UNITS; c++) {
        //: if VECTOR
        score += dot(query[c], cache[key + c]);
        //: else
        score += query[c] * cache[key + c];
        //: end
      }
      //: if SOFT_CAP
      score = params.soft_cap * bounded_tanh(score / params.soft_cap);
      //: end
    }
    let new_top = max(top, workgroup_max(lane, score));
    let shrink = exp(top - new_top);
    top = new_top;
    let p = select(0.0, exp(score - top), position <= token.y);
    weight[lane] = p;
    total = total * shrink + workgroup_sum(lane, p);
    let filled = min(u32($WG), token.y + 1u - first - block * $WG);
    //: for s in 0..SLICES
    if (lane + $s * $WG < $UNITS) {
      sum$s *= shrink;
      for (var j = 0u; j < filled; j++) {
        sum$s += weight[j] * cache[rows[j] + lane + $s * $WG];
      }
    }
    //: end
  }
  //: for s in 0..SLICES
  if (lane + $s * $WG < $UNITS) {
    y[index * $UNITS + lane + $s * $WG] = sum$s / total;
  }
  //: end
  if (lane == 0u) {
    stats[index].x = top + log(total);
  }
}
