// Include: the sum and the maximum over a workgroup of one $TYPE a thread; $SIZE threads, a power of two. Returns it to all.
var<workgroup> partial: array<$TYPE, $SIZE>;

fn workgroup_sum(lane: u32, own: $TYPE) -> $TYPE {
  workgroupBarrier(); // earlier results have been read
  partial[lane] = own;
  workgroupBarrier();
  for (var half = u32($SIZE) / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      partial[lane] += partial[lane + half];
    }
    workgroupBarrier();
  }
  return partial[0];
}

fn workgroup_max(lane: u32, own: $TYPE) -> $TYPE {
  workgroupBarrier();
  partial[lane] = own;
  workgroupBarrier();
  for (var half = u32($SIZE) / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      partial[lane] = max(partial[lane], partial[lane + half]);
    }
    workgroupBarrier();
  }
  return partial[0];
}
