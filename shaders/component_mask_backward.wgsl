// Backward of component_mask.wgsl: gradient[first + c] = sum over flagged tokens n and the channels w of component c of
// 2 * x[n, w] * dy[n, w], and dy[n, w] *= 2 * mask[first + c] at flagged tokens, in one pass.
// One thread a component. x, dy [N, W], mask and gradient [L * components], tokens [N] of (id, position, sequence, flag).
// iterations: tokens * component_width
struct Params {
  components: u32, // W / component_width
  tokens: u32, // N
  width: u32, // W
  component_width: u32,
  first: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<vec4u>;
@group(0) @binding(2) var<storage, read> mask: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let component = id.x + id.y * groups.x * 64u;
  if (component >= params.components) {
    return;
  }
  let factor = 2.0 * mask[params.first + component];
  var sum = 0.0;
  for (var n = 0u; n < params.tokens; n++) {
    if (tokens[n].w == 0u) {
      continue;
    }
    let at = n * params.width + component * params.component_width;
    for (var w = 0u; w < params.component_width; w++) {
      let incoming = dy[at + w];
      sum += x[at + w] * incoming;
      dy[at + w] = incoming * factor;
    }
  }
  gradient[params.first + component] = 2.0 * sum;
}
