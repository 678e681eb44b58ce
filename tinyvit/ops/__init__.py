"""Operations without parameters: f(x, ...) -> y, c and f_backward(dy, c) -> the gradients of the inputs, in their order."""
