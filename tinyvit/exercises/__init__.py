"""Exercises that mark themselves: write a function of the package anew, and learn what is wrong with it.

def my_softmax(x): ...
exercises.check("softmax", my_softmax)  # right, or what kind of wrong
exercises.grade(my_silu, my_silu_backward, x)  # a pair that the package does not have: is it the derivative?
exercises.names()  # what there is to write
exercises.progress()  # by notebook, with what is right so far; `tinyvit exercises` prints it
exercises.hint("softmax")  # and hint("softmax", 2), ...
exercises.solution("softmax")  # the package's own source
exercises.source(linear)  # any function, without its docstring
"""

from tinyvit.exercises.catalogue import names
from tinyvit.exercises.check import Verdict, check, hint, solution
from tinyvit.exercises.grade import grade
from tinyvit.exercises.progress import progress
from tinyvit.exercises.source import source

__all__ = ["Verdict", "check", "grade", "hint", "names", "progress", "solution", "source"]
