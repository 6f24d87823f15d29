// y = x, quads; x and y [count]. Each thread copies $PER neighbouring quads.
struct Params {
  count: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size($WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = ((group.x + group.y * groups.x) * $WG + lane) * $PER;
  if (first + $PER > params.count) {
    return;
  }
  //: for i in 0..PER
  y[first + $i] = x[first + $i];
  //: end
}
