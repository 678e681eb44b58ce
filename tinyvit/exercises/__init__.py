"""Exercises that mark themselves: write a function of the package anew, and learn what is wrong with it.

def my_softmax(x): ...
exercises.check("softmax", my_softmax)  # right, or what kind of wrong
exercises.names()  # what there is to write
exercises.hint("softmax")  # and hint("softmax", 2), ...
exercises.solution("softmax")  # the package's own source
exercises.source(linear)  # any function, without its docstring
"""

from tinyvit.exercises.check import Verdict, check, hint, solution
from tinyvit.exercises.exercise import names
from tinyvit.exercises.source import source

__all__ = ["Verdict", "check", "hint", "names", "solution", "source"]
