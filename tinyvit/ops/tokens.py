"""The tokens that every vocabulary begins with, and the shift by one that teacher forcing is."""

from tinyvit.arrays import to_host, xp_of
from tinyvit.errors import DataError

PADDING, START, END = 0, 1, 2
SPECIAL = ("<padding>", "<start>", "<end>")
ANSWER, HIDDEN = 3, 4  # where question and answer are one sequence: between them; and in place of what is asked
SPECIAL_JOINED = (*SPECIAL, "<answer>", "<hidden>")


def shifted(target):
    """What the decoder is given in training: the start token, then the true tokens but the last (teacher forcing).

    At each place it is asked for the token that stands there in `target`, and has seen only those before.

    Parameters
    ----------
    target : integer array [B, T]

    Returns
    -------
    array [B, T]
    """
    first = xp_of(target).full((len(target), 1), START, dtype=target.dtype)
    return xp_of(target).concatenate([first, target[:, :-1]], axis=1)


def no_padding(tokens, source):
    """Where there is a token: bool array [B, T], on the host.

    Raises
    ------
    DataError
        If a sequence is padding alone, in one line that begins with `source`: who looks at it has nothing to look at.
    """
    mask = to_host(tokens) != PADDING
    if not (some := mask.any(axis=1)).all():
        raise DataError(f"{source}: sequence {some.argmin()} is padding alone, expected at least one token")
    return mask
