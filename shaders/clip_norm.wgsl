// values *= min(1, limit / sqrt(totals[at])), where totals[at] is the squared norm of all gradients together.
// values [count]
struct Params {
  count: u32,
  at: u32,
  limit: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> totals: array<f32>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let norm = sqrt(totals[params.at]);
  if (norm > params.limit) {
    values[i] *= params.limit / norm;
  }
}
