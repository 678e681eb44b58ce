"""Layers with parameters: f_init(rng, ...) -> p, f(x, p, ...) -> y, c and f_backward(dy, p, c) -> dx, g.

g has exactly p's keys, shapes and dtype.
"""
