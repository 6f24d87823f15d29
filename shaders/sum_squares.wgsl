// partials[first + t] = sum of values[i]^2 over i = t, t + T, t + 2T, …  for T threads; a later kernel adds the partials.
// values [count], partials [>= first + T]
// iterations: count / threads
struct Params {
  count: u32,
  threads: u32, // T
  first: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let t = id.x + id.y * groups.x * 64u;
  if (t >= params.threads) {
    return;
  }
  var sum = 0.0;
  for (var i = t; i < params.count; i += params.threads) {
    sum += values[i] * values[i];
  }
  partials[params.first + t] = sum;
}
