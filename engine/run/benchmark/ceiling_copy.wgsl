// y = x, quads; x and y [count]. Each thread copies $PER quads that lie $WG apart.
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
  let first = (group.x + group.y * groups.x) * ($WG * $PER) + lane;
  //: for i in 0..PER
  if (first + $i * $WG < params.count) {
    y[first + $i * $WG] = x[first + $i * $WG];
  }
  //: end
}
