"""Operations without parameters: f(x, ...) -> y, c and f_backward(dy, c) -> dx.

With several inputs, dx is the tuple of their gradients, in their order.
"""
