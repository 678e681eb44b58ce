"""Every variant of the ViT, against the numbers of the code before the rewrite: see tests/golden/make_variants.py."""

import json

import pytest

from tests.golden.make_variants import CHOICES, FILE, digest, key, variants

EXPECTED = json.loads(FILE.read_text(encoding="utf-8"))


def wrong(chosen):
    """The variants among these whose digests are not the committed ones."""
    return [key(options) for options in chosen if digest(options) != pytest.approx(EXPECTED[key(options)], rel=1e-9)]


@pytest.mark.smoke
def test_a_sample_of_the_variants():
    assert not wrong(list(variants())[::31])


@pytest.mark.parametrize("pool", CHOICES["pool"])
def test_all_variants(pool):
    """Logits, the gradient of the images, and the gradients of all parameters."""
    chosen = [options for options in variants() if options["pool"] == pool]
    assert len(chosen) == 448 and not wrong(chosen)


def test_the_file_has_every_variant_and_each_is_another():
    assert list(EXPECTED) == [key(options) for options in variants()]
    same = {tuple(numbers) for numbers in EXPECTED.values()}
    # The place of no positions does not matter, nor whether blocks share waves: 3 of 14 pairs repeat another one.
    assert len(same) == len(EXPECTED) - 3 * 64
