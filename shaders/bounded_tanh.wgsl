// Include: tanh of a $TYPE. Large arguments give NaN on some drivers, and from 20 on tanh is 1 in f32.
fn bounded_tanh(x: $TYPE) -> $TYPE {
  return tanh(clamp(x, $TYPE(-20.0), $TYPE(20.0)));
}
