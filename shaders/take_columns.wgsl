// selected[n, r] = dy[n, columns[r]], and dy[n, columns[r]] = 0: moves the gradient of overlaid rows aside,
// so that the base weight gets none of it. dy [N, O], columns [R], selected [N, R].
struct Params {
  count: u32, // N * R
  selected_width: u32, // R
  width: u32, // O
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> columns: array<u32>;
@group(0) @binding(2) var<storage, read_write> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> selected: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let at = i / params.selected_width * params.width + columns[i % params.selected_width];
  selected[i] = dy[at];
  dy[at] = 0.0;
}
