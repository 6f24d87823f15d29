// The record of mask training on the GPU: counts mask > 0.5, decides the early stop, appends to the history.
// One workgroup of $WG threads. Stops once the number selected has stayed the same for `patience` steps and is not
// the initial number. results [pairs, 2] of (loss, difference); history [steps] of (loss + L1, number selected).
// mask [count]; state (see mask_training_state.wgsl); before [$WG]: the L1 norm before the step, one partial sum a thread.
// iterations: (count + pairs) / $WG
struct Params {
  count: u32,
  pairs: u32,
  strength: f32,
  patience: u32,
  initial: u32, // number selected at the start
}
//: include mask_training_state
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> mask: array<f32>;
@group(0) @binding(2) var<storage, read> results: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> state: State;
@group(0) @binding(4) var<storage, read_write> history: array<vec2f>;
@group(0) @binding(5) var<storage, read> before: array<f32>; // the mask's L1 norm before the step, one partial a thread
//: include workgroup_reduce TYPE=vec2f SIZE=$WG

@compute @workgroup_size($WG)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = vec2f(0.0);
  for (var i = lane; i < params.count; i += $WG) {
    sum.x += select(0.0, 1.0, mask[i] > 0.5);
  }
  sum.y = params.strength * before[lane];
  for (var i = lane; i < params.pairs; i += $WG) {
    sum.y += results[i].x;
  }
  sum = workgroup_sum(lane, sum);
  if (lane != 0u || state.stopped != 0u) {
    return;
  }
  let selected = u32(sum.x);
  history[state.steps] = vec2f(sum.y, f32(selected));
  state.steps += 1u;
  if (selected == state.selected) {
    state.unchanged += 1u;
  } else {
    state.unchanged = 0u;
  }
  state.selected = selected;
  if (state.unchanged >= params.patience && selected != params.initial) {
    state.stopped = 1u;
  }
}
