// Draws the next token of every slot from its logits; one workgroup of $WG threads a slot.
// sampling [S, 2] of (temperature bits, top_k, top_p bits, 0), (stream, draw number, 0, 0).
// temperature 0: the largest logit, lowest id among equals. Otherwise softmax(logits / temperature), restricted to the
// top_k largest (0: all), then to the smallest set of largest with mass >= top_p (1: all); ties at the edge stay in.
// The uniform number is Philox4x32-10 of counter (draw, stream, 0, 0) and key (seed, 0): the same whatever the batch.
// logits [S, V], next [S]: 0xffffffff where a logit is NaN or infinitely large, or all are infinitely small.
// iterations: 67 * width / $WG + 2 * $WG
struct Params {
  slots: u32,
  width: u32, // V
  seed: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> sampling: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> next: array<u32>;
var<workgroup> values: array<f32, $WG>;
var<workgroup> indices: array<u32, $WG>;
var<workgroup> threshold: u32;

fn multiply_high(a: u32, b: u32) -> u32 {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let other = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
  return (a >> 16u) * (b >> 16u) + (middle >> 16u) + (other >> 16u);
}

fn philox(start: vec4u, start_key: vec2u) -> vec4u {
  var counter = start;
  var key = start_key;
  for (var round = 0u; round < 10u; round++) {
    counter = vec4u(
      multiply_high(0xCD9E8D57u, counter.z) ^ counter.y ^ key.x,
      0xCD9E8D57u * counter.z,
      multiply_high(0xD2511F53u, counter.x) ^ counter.w ^ key.y,
      0xD2511F53u * counter.x,
    );
    key += vec2u(0x9E3779B9u, 0xBB67AE85u);
  }
  return counter;
}

// Maps floats to u32 in the same order, so that a threshold can be found exactly, bit by bit.
fn ordered(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

//: include workgroup_reduce TYPE=f32 SIZE=$WG

@compute @workgroup_size($WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let slot = group.x;
  let start = slot * params.width;
  let setting = sampling[2u * slot];
  let temperature = bitcast<f32>(setting.x);
  var best = -1e38;
  var best_index = 0u;
  var numbers = true;
  for (var v = lane; v < params.width; v += $WG) {
    let value = logits[start + v];
    let bits = bitcast<u32>(value);
    numbers = numbers && ((bits & 0x7fffffffu) < 0x7f800000u || bits == 0xff800000u);
    if (value > best) {
      best = value;
      best_index = v;
    }
  }
  values[lane] = select(3.4e38, best, numbers); // which wins
  indices[lane] = best_index;
  workgroupBarrier();
  for (var half = u32($WG) / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      let other = values[lane + half];
      if (other > values[lane] || (other == values[lane] && indices[lane + half] < indices[lane])) {
        values[lane] = other;
        indices[lane] = indices[lane + half];
      }
    }
    workgroupBarrier();
  }
  let top = workgroupUniformLoad(&values[0]);
  let top_index = indices[0];
  let is_number = top > -1e38 && top < 3.4e38;
  if (lane == 0u) {
    next[slot] = select(0xffffffffu, top_index, is_number);
  }
  let sampled = temperature > 0.0 && is_number;
  if (lane == 0u) {
    threshold = 0u;
  }
  // Largest threshold that still leaves top_k logits, found from the highest bit down.
  let keep = f32(select(params.width, setting.y, sampled && setting.y > 0u && setting.y < params.width));
  let restrict_count = workgroup_uniform(lane, keep < f32(params.width));
  if (restrict_count) {
    for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
      let candidate = workgroupUniformLoad(&threshold) | bit;
      var count = 0.0;
      for (var v = lane; v < params.width; v += $WG) {
        count += select(0.0, 1.0, ordered(logits[start + v]) >= candidate);
      }
      let total = workgroup_sum(lane, count);
      if (lane == 0u && total >= keep) {
        threshold = candidate;
      }
    }
  }
  let top_k_threshold = workgroupUniformLoad(&threshold);
  let top_p = bitcast<f32>(setting.z);
  let restrict_mass = workgroup_uniform(lane, sampled && top_p < 1.0);
  if (restrict_mass) {
    var mass = 0.0;
    for (var v = lane; v < params.width; v += $WG) {
      let value = logits[start + v];
      mass += select(0.0, exp((value - top) / temperature), ordered(value) >= top_k_threshold);
    }
    let goal = top_p * workgroup_sum(lane, mass);
    if (lane == 0u) {
      threshold = 0u;
    }
    for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
      let candidate = workgroupUniformLoad(&threshold) | bit;
      mass = 0.0;
      for (var v = lane; v < params.width; v += $WG) {
        let value = logits[start + v];
        mass += select(0.0, exp((value - top) / temperature), ordered(value) >= max(candidate, top_k_threshold));
      }
      let total = workgroup_sum(lane, mass);
      if (lane == 0u && total >= goal) {
        threshold = candidate;
      }
    }
  }
  let edge = max(workgroupUniformLoad(&threshold), top_k_threshold);
  if (!sampled) {
    return;
  }
  // Every lane owns a run of ids; lane 0 finds the run the draw falls into, then the id in it.
  let run = (params.width + $WG - 1u) / $WG;
  var mass = 0.0;
  for (var v = lane * run; v < min(params.width, (lane + 1u) * run); v++) {
    let value = logits[start + v];
    mass += select(0.0, exp((value - top) / temperature), ordered(value) >= edge);
  }
  workgroupBarrier();
  values[lane] = mass;
  workgroupBarrier();
  if (lane != 0u) {
    return;
  }
  var total = 0.0;
  for (var i = 0u; i < $WG; i++) {
    total += values[i];
  }
  let stream = sampling[2u * slot + 1u];
  let random = philox(vec4u(stream.y, stream.x, 0u, 0u), vec2u(params.seed, 0u));
  var left = (f32(random.x >> 8u) + 0.5) / 16777216.0 * total;
  var owner = 0u;
  while (owner + 1u < $WG && left >= values[owner]) {
    left -= values[owner];
    owner++;
  }
  var chosen = top_index; // rounding may leave nothing to pick in the last run
  for (var v = owner * run; v < min(params.width, (owner + 1u) * run); v++) {
    let value = logits[start + v];
    if (ordered(value) >= edge) {
      chosen = v;
      left -= exp((value - top) / temperature);
      if (left < 0.0) {
        break;
      }
    }
  }
  next[slot] = chosen;
}

// A per-slot condition is the same in all lanes; this says so to the uniformity analysis.
fn workgroup_uniform(lane: u32, condition: bool) -> bool {
  if (lane == 0u) {
    flag = select(0u, 1u, condition);
  }
  return workgroupUniformLoad(&flag) != 0u;
}
var<workgroup> flag: u32;
