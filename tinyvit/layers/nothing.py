"""No layer: what stands in a model's place where a configuration asks for none."""


def nothing_init(rng, *sizes, **options):
    """No parameters: {}."""
    return {}


def nothing(z, p):
    """y = z, and the cache {}."""
    return z, {}


def nothing_backward(dy, p, c):
    """dz = dy, and no parameters."""
    return dy, {}
