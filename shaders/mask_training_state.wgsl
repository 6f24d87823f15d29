// Include: what mask training remembers between steps.
struct State {
  stopped: u32,
  selected: u32, // number of components above one half after the last step
  unchanged: u32, // steps in a row that left that number as it was
  steps: u32,
}
