"""The identity layer: what a configuration that asks for no layer has in its place."""


def identity_init(rng, *sizes, **options):
    """No parameters: {}."""
    return {}


def identity(z, p):
    """y = z, and the cache {}."""
    return z, {}


def identity_backward(dy, p, c):
    """dz = dy, and no parameters."""
    return dy, {}
