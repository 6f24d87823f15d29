// AdamW with decoupled weight decay (PyTorch's order: decay, moments, step). moments [count] of (first, second).
// Over a whole matrix, or over the rows of selected components only: then values, gradient and moments hold just those rows.
// A thread takes four neighbours, or eight with $WIDE: then buffers are read in u64, for adapters where a load of wide
// elements costs no more than one of narrow ones (llvmpipe). What lies between count and the next multiple is padding.
// values, gradient [count elements], moments [count, 2]; step (rate, weight decay, 1 - beta1^t, 1 - beta2^t), written before every step.
struct Params {
  count: u32, // in fours, in eights with $WIDE
  beta1: f32,
  beta2: f32,
  rest1: f32, // 1 - beta1 and 1 - beta2, rounded once on the host
  rest2: f32,
  epsilon: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
// (rate, weight decay, 1 - beta1^t, 1 - beta2^t), written anew before every step: a replayed plan must not freeze t.
@group(0) @binding(1) var<storage, read> step: vec4f;
//: if WIDE
@group(0) @binding(2) var<storage, read> gradient: array<vec4<u64>>;
@group(0) @binding(3) var<storage, read_write> moments: array<vec4<u64>>;
@group(0) @binding(4) var<storage, read_write> values: array<vec4<u64>>;

fn low(pairs: vec4<u64>) -> vec4f {
  return bitcast<vec4f>(vec4u(pairs));
}
fn high(pairs: vec4<u64>) -> vec4f {
  return bitcast<vec4f>(vec4u(pairs >> vec4u(32u)));
}
fn join(low: vec4f, high: vec4f) -> vec4<u64> {
  return vec4<u64>(bitcast<vec4u>(low)) | (vec4<u64>(bitcast<vec4u>(high)) << vec4u(32u));
}
//: else
@group(0) @binding(2) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> moments: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> values: array<vec4f>;
//: end

struct Step {
  first: vec4f,
  second: vec4f,
  change: vec4f,
}

fn adam(g: vec4f, first: vec4f, second: vec4f) -> Step {
  let m = params.beta1 * first + params.rest1 * g;
  let v = params.beta2 * second + params.rest2 * g * g;
  return Step(m, v, step.x / step.z * m / (sqrt(v / step.w) + params.epsilon));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i >= params.count) {
    return;
  }
  let decay = 1.0 - step.x * step.y;
  let g = gradient[i];
  let a = moments[2u * i];
  let b = moments[2u * i + 1u];
  let old = values[i];
  //: if WIDE
  let even = low(g);
  let odd = high(g);
  let front = adam(vec4f(even.x, odd.x, even.y, odd.y), low(a), high(a));
  let back = adam(vec4f(even.z, odd.z, even.w, odd.w), low(b), high(b));
  moments[2u * i] = join(front.first, front.second);
  moments[2u * i + 1u] = join(back.first, back.second);
  values[i] = join(
    low(old) * decay - vec4f(front.change.xz, back.change.xz),
    high(old) * decay - vec4f(front.change.yw, back.change.yw),
  );
  //: else
  let next = adam(g, vec4f(a.xz, b.xz), vec4f(a.yw, b.yw));
  moments[2u * i] = vec4f(next.first.x, next.second.x, next.first.y, next.second.y);
  moments[2u * i + 1u] = vec4f(next.first.z, next.second.z, next.first.w, next.second.w);
  values[i] = old * decay - next.change;
  //: end
}
