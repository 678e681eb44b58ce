"""What may be luck? Every check that counts reports only what luck explains once in a thousand times, or less often."""

import math

RARE = 1e-3  # a chance that is not believed in
DEVIATIONS = 4.0  # standard deviations that are not believed in: a chance of 1 in 16,000, since many are looked at


def surely_more(count, total, share):
    """Whether `count` of `total` are more than this share would bring: P(X >= count) < RARE for X ~ Bin(total, share).

    Parameters
    ----------
    count, total : int
    share : float between 0 and 1
    """
    if count <= share * total:
        return False
    below = sum(_probability(k, total, share) for k in range(count))
    return 1 - below < RARE


def deviation(count, total, other_count, other_total):
    """By how many standard deviations the share count / total exceeds the other: the test of two proportions."""
    if not total or not other_total:
        return 0.0
    both = (count + other_count) / (total + other_total)
    spread = math.sqrt(both * (1 - both) * (1 / total + 1 / other_total))
    return (count / total - other_count / other_total) / spread if spread else 0.0


def margin(share, total):
    """Half of the 95 % interval of a share that was measured on so many."""
    return 1.96 * math.sqrt(max(share * (1 - share), 1 / total) / total) if total else 1.0


def _probability(k, total, share):
    """P(X = k), by logarithms: the binomial coefficients are large."""
    if not 0 < share < 1:
        return float(k == round(share * total))
    log = math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
    return math.exp(log + k * math.log(share) + (total - k) * math.log1p(-share))
