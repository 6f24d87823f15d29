// Prelude: where the key and value of a position of a sequence lie in the K/V cache.
// tokens [N] of (id, position, sequence, flag). sequences [S, 2] of (table, split, base, 0) and
// (first_token, end_token, 0, 0): positions below split are looked up in table (shared with other sequences),
// later ones lie in the sequence's own rows from base on; its tokens in this batch are first_token … end_token - 1.
@group(0) @binding(1) var<storage, read> tokens: array<vec4u>;
@group(0) @binding(2) var<storage, read> sequences: array<vec4u>;
@group(0) @binding(3) var<storage, read> table: array<u32>;

fn cache_row(sequence: vec4u, position: u32) -> u32 {
  if (position < sequence.y) {
    return table[sequence.x + position];
  }
  return sequence.z + position - sequence.y;
}
