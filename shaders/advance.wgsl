// After sampling: appends each slot's token to its request's output, ends requests, and hands free slots the next one.
// Continuous batching without the host: requests wait in a queue that slots draw from. One thread a slot.
// A draw depends only on its request (see sample.wgsl), so which slot serves a request changes nothing.
// tokens [S] of (id, position, sequence, flag) and sequences [S, 2] as in cache.wgsl; slot s owns the cache rows from
// first_row + s * rows_per_slot on. sampling [S, 2] of (temperature bits, top_k, top_p bits, 0), (stream, draw, 0, 0).
// output [R, stride]: the number of tokens, then the tokens. queue: next request, requests left, number of stop ids, stop ids.
// With $START the slots only take their first request.
// requests [R] and slots [S] (structs below), queue (next request, requests left, number of stop ids, stop ids …), next [S] sampled ids.
struct Params {
  slots: u32,
  requests: u32,
  stride: u32,
  first_row: u32,
  rows_per_slot: u32,
  idle_row: u32,
}
struct Request {
  id: u32, // last token of the prompt; the tokens before it are in the cache
  position: u32,
  table: u32,
  limit: u32, // most new tokens
  stream: u32,
  temperature: u32,
  top_k: u32,
  top_p: u32,
}
struct Slot {
  request: u32,
  busy: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> requests: array<Request>;
@group(0) @binding(2) var<storage, read_write> tokens: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> sequences: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> sampling: array<vec4u>;
@group(0) @binding(5) var<storage, read_write> slots: array<Slot>;
@group(0) @binding(6) var<storage, read_write> queue: array<atomic<u32>>;
@group(0) @binding(7) var<storage, read_write> output: array<u32>;
//: if !START
@group(0) @binding(8) var<storage, read> next: array<u32>;
//: end

fn take_request(slot: u32) {
  let request = atomicAdd(&queue[0], 1u);
  if (request >= params.requests) {
    slots[slot] = Slot(0u, 0u);
    tokens[slot] = vec4u(0u, 0u, slot, 0u); // an idle slot computes position 0 of nothing
    sequences[2u * slot] = vec4u(0u, 0u, params.idle_row, 0u);
    sampling[2u * slot] = vec4u(0u);
    return;
  }
  let taken = requests[request];
  slots[slot] = Slot(request, 1u);
  tokens[slot] = vec4u(taken.id, taken.position, slot, 0u);
  sequences[2u * slot] = vec4u(taken.table, taken.position, params.first_row + slot * params.rows_per_slot, 0u);
  sampling[2u * slot] = vec4u(taken.temperature, taken.top_k, taken.top_p, 0u);
  sampling[2u * slot + 1u] = vec4u(taken.stream, 0u, 0u, 0u);
  output[request * params.stride] = 0u;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let slot = id.x;
  if (slot >= params.slots) {
    return;
  }
  //: if START
  take_request(slot);
  //: else
  if (slots[slot].busy == 0u) {
    return;
  }
  let request = slots[slot].request;
  let count = output[request * params.stride] + 1u;
  let token = next[slot];
  output[request * params.stride] = count;
  output[request * params.stride + count] = token;
  var ended = count >= requests[request].limit;
  let stops = atomicLoad(&queue[2]);
  for (var i = 0u; i < stops; i++) {
    ended = ended || token == atomicLoad(&queue[3u + i]);
  }
  if (ended) {
    atomicSub(&queue[1], 1u);
    take_request(slot);
    return;
  }
  tokens[slot] = vec4u(token, tokens[slot].y + 1u, slot, 0u);
  sampling[2u * slot + 1u].y = count;
  //: end
}
