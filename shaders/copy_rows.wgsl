// to[index[i].y, w] = from[index[i].x, w] for w < width: gathers, scatters, captures and patches rows.
// from rows lie at row * from_stride + from_offset, to rows at row * to_stride + to_offset. index [count] of (from, to).
// from_rows [rows, from_stride], to_rows [rows, to_stride], f32.
struct Params {
  count: u32, // rows * width
  width: u32,
  from_stride: u32,
  from_offset: u32,
  to_stride: u32,
  to_offset: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> index: array<vec2u>;
@group(0) @binding(2) var<storage, read> from_rows: array<f32>;
@group(0) @binding(3) var<storage, read_write> to_rows: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let rows = index[i / params.width];
  let w = i % params.width;
  to_rows[rows.y * params.to_stride + params.to_offset + w] =
    from_rows[rows.x * params.from_stride + params.from_offset + w];
}
