// Include: how a product's sum $SUM goes to y[$AT]: with $RESIDUAL added to residual[$AT], with $ACCUMULATE to what is there.
//: if RESIDUAL
y[$AT] = residual[$AT] + $SUM;
//: else
//: if ACCUMULATE
y[$AT] += $SUM;
//: else
y[$AT] = $SUM;
//: end
//: end
