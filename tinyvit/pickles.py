"""Pickles read as data: nothing that a file names is ever imported or called.

A pickle is a program for a small machine with a stack. Python's own machine imports every name that the program asks
for, calls it, and makes room for as much as the program says. This one knows the instructions that build numbers,
texts, lists, tuples and dictionaries. A name stands for a function of the reader's, out of a table; any other name is
an error. Nothing here calls itself, so a deep pickle is as harmless as a flat one.
"""

import pickletools
import warnings

from tinyvit.errors import first_line

LARGEST = 2**22  # bytes: the arrays lie elsewhere, and 20,000 of them are described in less
MOST_STEPS = 1_000_000  # instructions; one may cost 100 bytes of memory
LONGEST_KEY = 2**31  # of whole numbers: greater ones may be chosen so that every look into a dictionary is slow
PUSHED = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
PUSHED |= {"SHORT_BINSTRING", "BINSTRING", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"}
FRESH = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_SET": list}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
NOTHING = {"PROTO", "FRAME", "STOP"}


class Refused(ValueError):
    """A pickle that is well formed, and asks for what is not done here."""


class Record:
    """What a pickle says of an object that is not made: the arguments it was to have, and its state."""

    def __init__(self, *arguments):
        self.arguments, self.state = arguments, None


def read_pickle(data, names, persistent=None, *, expected="numbers and texts only", largest=LARGEST):
    """What a pickle of protocol 2 or later holds.

    Parameters
    ----------
    data : bytes
    names : dict
        {"module.name": what stands for it}: a value, or a function that may be called with anything.
    persistent : function, optional
        Of what a pickle says of an object that lies elsewhere (in PyTorch's files, a storage).
    expected : str
        What the names are for, in an error.
    largest : int
        Bytes that are read at most.

    Raises
    ------
    ValueError
        In one line: a name that is not in the table, or a pickle that is damaged, too large, or of another kind.
    """
    if len(data) > largest:
        raise Refused(f"its pickle has {len(data)} bytes, expected at most {largest}")
    machine = _Machine(names, persistent, expected)
    try:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of odd escapes in a name
            for step, (instruction, argument, _) in enumerate(pickletools.genops(data)):
                if step > MOST_STEPS:
                    raise Refused(f"its pickle has more than {MOST_STEPS} instructions")
                machine.do(instruction.name, argument)
        (found,) = machine.stack
    except Refused:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"its pickle is damaged: {first_line(error)}") from None
    return found


def keyed(pairs):
    """A dictionary of these pairs, whose keys are texts and small numbers.

    Raises
    ------
    ValueError
    """
    found = {}
    for key, value in pairs:
        if type(key) not in (str, bytes, int, bool, float, type(None)) or (type(key) is int and abs(key) > LONGEST_KEY):
            raise Refused(f"its pickle has a key of type {type(key).__name__}, expected texts and small numbers")
        found[key] = value
    return found


class _Machine:
    """The stack, what lies below each mark, and what was kept to be used again."""

    def __init__(self, names, persistent, expected):
        self.names, self.persistent, self.expected = names, persistent, expected
        self.stack, self.below, self.kept = [], [], {}

    def do(self, name, argument):
        """Carry out one instruction."""
        if name in PUSHED:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in FRESH:
            self.stack.append(FRESH[name]())
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.kept[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.kept[argument])
        elif name == "GLOBAL":
            self.stack.append(self._named(argument.replace(" ", ".")))
        elif name not in NOTHING:
            if name not in STEPS:
                raise Refused(f"its pickle has the instruction {name}, which is not used here")
            STEPS[name](self)

    def _named(self, name):
        if name not in self.names:
            raise Refused(f"it asks for {name[:100]!a}, which is not run here: expected {self.expected}")
        return self.names[name]

    def stack_global(self):
        module, name = self.stack[-2:]
        if type(module) is not str or type(name) is not str:
            raise TypeError("a name that is no text")
        self.stack[-2:] = [self._named(f"{module}.{name}")]

    def mark(self):
        self.below.append(self.stack)
        self.stack = []

    def _to_mark(self):
        """What stands above the last mark, which is taken away."""
        above, self.stack = self.stack, self.below.pop()
        return above

    def memoize(self):
        self.kept[len(self.kept)] = self.stack[-1]

    def pop(self):
        self.stack.pop()

    def tuple(self):
        above = self._to_mark()
        self.stack.append((*above,))

    def tuple1(self):
        self.stack[-1] = (self.stack[-1],)

    def tuple2(self):
        first, second = self.stack[-2:]
        self.stack[-2:] = [(first, second)]

    def tuple3(self):
        first, second, third = self.stack[-3:]
        self.stack[-3:] = [(first, second, third)]

    def append(self):
        self._extend([self.stack.pop()])

    def appends(self):
        self._extend(self._to_mark())

    def _extend(self, items):
        if type(self.stack[-1]) is not list:
            raise TypeError("items for what is no list")
        self.stack[-1].extend(items)

    def setitem(self):
        key, value = self.stack[-2:]
        del self.stack[-2:]
        self._update([key, value])

    def setitems(self):
        self._update(self._to_mark())

    def _update(self, items):
        if type(self.stack[-1]) is not dict:
            raise TypeError("pairs for what is no dictionary")
        self.stack[-1].update(keyed(zip(items[::2], items[1::2], strict=True)))

    def reduce(self):
        """A call of a name with arguments: of what stands for the name."""
        function, arguments = self.stack[-2:]
        del self.stack[-2:]
        if not callable(function) or type(arguments) is not tuple:
            raise TypeError("a call of what is no function")
        self.stack.append(function(*arguments))

    def build(self):
        """The state of an object: kept where the object is one of ours, and of no interest elsewhere."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], Record):
            self.stack[-1].state = state

    def binpersid(self):
        self.stack.append(self.persistent(self.stack.pop()))


STEPS = {
    "STACK_GLOBAL": _Machine.stack_global,
    "MARK": _Machine.mark,
    "MEMOIZE": _Machine.memoize,
    "POP": _Machine.pop,
    "TUPLE": _Machine.tuple,
    "TUPLE1": _Machine.tuple1,
    "TUPLE2": _Machine.tuple2,
    "TUPLE3": _Machine.tuple3,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "ADDITEMS": _Machine.appends,  # to a set, for which a list stands here
    "SETITEM": _Machine.setitem,
    "SETITEMS": _Machine.setitems,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.reduce,  # a class and its arguments
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.binpersid,
}
