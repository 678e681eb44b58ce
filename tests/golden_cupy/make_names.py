"""Write the public names of the installed CuPy beside this file: python tests/golden_cupy/make_names.py

No GPU is needed: CuPy can be imported without one. The lists are committed, so that the tests can ask what CuPy offers
where it is not installed. They were made from CuPy 14.2.0.
"""

from pathlib import Path

import cupy

HERE = Path(__file__).parent


def public_names(thing):
    """The names of a module or class that do not begin with an underscore, sorted."""
    return sorted(name for name in dir(thing) if not name.startswith("_"))


if __name__ == "__main__":
    for file, thing in (("cupy", cupy), ("ndarray", cupy.ndarray), ("generator", cupy.random.Generator)):
        (HERE / f"{file}_names.txt").write_text("\n".join(public_names(thing)) + "\n", encoding="utf-8")
    print("names of CuPy", cupy.__version__)
