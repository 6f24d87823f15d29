// Include: rows of a norm. Row r = n * heads + h of x lies at n * x_stride + x_offset + h * width; of y likewise.
  rows: u32,
  width: u32, // W
  x_stride: u32,
  x_offset: u32,
  y_stride: u32,
  y_offset: u32,
  epsilon: f32,
  offset: f32, // the gain is offset + weight
  heads: u32, // norms a row of the matrix: 1, or one per head
