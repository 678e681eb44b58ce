"""A function's source: to read, and with something in it changed, to be found out."""

import ast
import contextlib
import inspect
import sys
import textwrap


class Text(str):
    """Text that a notebook shows as it is, when a cell returns it."""

    def __repr__(self):
        return str(self)


def source(function):
    """The source of a function without docstring and decorators: what there is to read once the docstring has been."""
    text = textwrap.dedent(inspect.getsource(function))
    definition = ast.parse(text).body[0]
    lines = text.splitlines()
    if ast.get_docstring(definition) is not None:
        docstring = definition.body[0]
        del lines[docstring.lineno - 1 : docstring.end_lineno]
    return Text("\n".join(lines[definition.lineno - 1 :]))


def edited_source(function, *edits):
    """The source without docstring, in which of each edit (right, wrong) what is right is replaced by what is wrong.

    Raises
    ------
    ValueError
        If what is to be replaced does not stand there exactly once.
    """
    text = source(function)
    for right, wrong in edits:
        if text.count(right) != 1:
            raise ValueError(f"{function.__name__} contains {text.count(right)} times, expected once: {right}")
        text = text.replace(right, wrong)
    return Text(text)


def edited(function, *edits):
    """The function with these edits, among the same globals; they may stand in what it calls of its own file."""
    namespace = dict(function.__globals__)
    for part, of_part in _by_part(function, edits).items():
        code = compile(edited_source(part, *of_part), f"{part.__name__}, edited", "exec")
        exec(code, namespace)
    return namespace[function.__name__]


@contextlib.contextmanager
def planted(function, *edits):
    """While it lasts, the function itself has these edits, for whoever imported it."""
    parts = _by_part(inspect.unwrap(function), edits)
    right = {part: part.__code__ for part in parts}
    wrong = {part: edited(part, *of_part).__code__ for part, of_part in parts.items()}
    _replace(wrong)
    try:
        yield
    finally:
        _replace(right)


@contextlib.contextmanager
def with_code(function, code):
    """While it lasts, the function itself has this code. What it has kept of earlier calls is forgotten."""
    right, kept = function.__code__, function.__globals__.get(function.__name__)
    forget_it = getattr(kept, "cache_clear", lambda: None)
    function.__code__ = code
    forget_it()
    try:
        yield
    finally:
        function.__code__ = right
        forget_it()


def _replace(codes):
    for part, code in codes.items():
        part.__code__ = code
    forget()


def _by_part(function, edits):
    """{a function: the edits that stand in it}: of the function, and of those of its own file that it calls."""
    called = (function.__globals__.get(name) for name in function.__code__.co_names)
    parts = [part for part in called if inspect.isfunction(part) and part.__module__ == function.__module__]
    found = {function: []}
    for edit in edits:
        home = next((part for part in (function, *parts) if source(part).count(edit[0]) == 1), function)
        found.setdefault(home, []).append(edit)
    return found


def forget():
    """Forget what layers keep of pure functions' results: with an edit in these, they are others."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("tinyvit.ops.", "tinyvit.layers.")):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
