// Include: tanh of a $TYPE. Large arguments give NaN on some drivers, and from 20 on tanh is 1 in f32. NaN stays NaN: a clamp
// would make a number of it, and a cap of NaN a logit like any other.
fn bounded_tanh(x: $TYPE) -> $TYPE {
  return select(tanh(clamp(x, $TYPE(-20.0), $TYPE(20.0))), x, !(x == x));
}
