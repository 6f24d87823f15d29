// Include: a score scaled and soft capped, with the derivative dcap of the cap. Needs bounded_tanh where $SOFT_CAP.
score *= params.scale;
var dcap = 1.0;
//: if SOFT_CAP
let capped = bounded_tanh(score / params.soft_cap);
score = params.soft_cap * capped;
dcap = 1.0 - capped * capped;
//: end
