// dy *= 1 - (y / cap)^2, in place; y is the capped value.
// y, dy [count].
struct Params {
  count: u32,
  cap: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> dy: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i < params.count) {
    let bent = y[i] / params.cap;
    dy[i] *= 1.0 - bent * bent;
  }
}
