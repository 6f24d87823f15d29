// Nothing but multiply-adds in registers: $CHAINS independent chains of $TYPE a thread, four steps a turn.
// y [threads]: the sums, so that nothing is optimised away.
struct Params {
  turns: u32,
  factor: f32,
  term: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size($WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let factor = $TYPE(params.factor);
  let term = $TYPE(params.term);
  //: for c in 0..CHAINS
  var sum$c = $TYPE(f32(id.x) + f32($c));
  //: end
  for (var turn = 0u; turn < params.turns; turn++) {
    //: for s in 0..4
    //: for c in 0..CHAINS
    sum$c = fma(sum$c, factor, term);
    //: end
    //: end
  }
  var total = $TYPE(0.0);
  //: for c in 0..CHAINS
  total += sum$c;
  //: end
  //: if TYPE == vec4f
  y[id.x] = total.x + total.y + total.z + total.w;
  //: else
  y[id.x] = total;
  //: end
}
