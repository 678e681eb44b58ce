"""Three tokens that every vocabulary begins with, and the shift by one that teacher forcing is."""

from tinyvit.arrays import xp_of

PADDING, START, END = 0, 1, 2
SPECIAL = ("<padding>", "<start>", "<end>")


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
