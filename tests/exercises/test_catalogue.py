"""What the answers are called with: a wrong answer that no call shows would be called right."""

import inspect

import numpy as np
import pytest

from tinyvit.exercises.catalogue import exercises as all_exercises
from tinyvit.exercises.check import is_right

QUICKER = "it changes how much is computed or kept, not the result"
NOT_TRIED = {  # (exercise, option): why no call has it
    ("multi_head_attention", "plan"): "sparse_attention is the exercise that has it; with a mask, a bias says the same",
    ("multi_head_attention_backward", "plan"): "as forward",
    ("multi_head_attention_backward", "scale"): "the notebook's cache has a scale",
    ("multi_head_attention_backward", "past"): "keys from before are no input, and have no gradient",
    ("encoder_block_backward", "rows"): "as the notebook asks, all rows have queries",
    ("post_norm_block_backward", "rows"): "as the notebook asks, all rows have queries",
    ("decoder_block_backward", "past"): "keys from before are no input, and have no gradient",
    ("post_norm_decoder_block_backward", "past"): "keys from before are no input, and have no gradient",
    ("recurrence_backward", "truncate"): "training's own: it is not the gradient of the forward pass",
    ("vit", "all_rows"): QUICKER,
    ("vit", "keep_cache"): QUICKER,
    ("vit", "freeze"): QUICKER,
    ("vit_backward", "all_rows"): QUICKER,
    ("vit_backward", "keep_cache"): QUICKER,
    ("vit_backward", "freeze"): "training's own: gradients are then left out",
}
MAKES_NO_DIFFERENCE = {("blockwise_attention", "block")}  # to the result, but to what is held in memory


def options(function):
    """{the name of an option: its default}; of **attention, or the like, {}."""
    parameters = inspect.signature(function).parameters.values()
    found = {each.name: {} if each.kind is each.VAR_KEYWORD else each.default for each in parameters}
    return {name: default for name, default in found.items() if default is not inspect.Parameter.empty}


def is_same(one, other):
    return one is other or (not isinstance(one, np.ndarray) and one == other)


@pytest.mark.parametrize("name", all_exercises())
def test_every_option_is_tried_with_its_default_and_with_something_else(name):
    """Those of the forward pass, too, whose cache a backward pass reads."""
    exercise = all_exercises()[name]
    forward, asked = inspect.signature(exercise.forward), options(exercise.forward) | options(exercise.function)
    given = [forward.bind(*inputs, **keywords).arguments for inputs, keywords in exercise.calls + exercise.further]
    for option, default in asked.items():
        is_default = [option not in each or is_same(each[option], default) for each in given]
        assert any(is_default), f"{option} never has its default"
        assert ((name, option) in NOT_TRIED) == all(is_default), f"{option} is always {default}"


def test_what_is_excepted_is_there():
    for name, option in NOT_TRIED:
        exercise = all_exercises()[name]
        assert option in options(exercise.forward) | options(exercise.function)


@pytest.mark.parametrize("name", all_exercises())
def test_there_is_a_call_in_which_no_two_axes_have_the_same_size(name):
    """Of the height and width of a kernel, which are K, one is left out."""

    def distinct(call):
        shapes = [each.shape for each in call[0] if isinstance(each, np.ndarray)]
        shapes = [shape[1:] if len(shape) == 4 and shape[0] == shape[1] else shape for shape in shapes]
        return all(len(set(shape)) == len(shape) for shape in shapes)

    exercise = all_exercises()[name]
    assert any(distinct(call) for call in exercise.calls + exercise.further)


@pytest.mark.parametrize("name", [name for name, exercise in all_exercises().items() if not exercise.backward])
def test_an_answer_that_ignores_an_option_is_wrong(name):
    """The package's own function, called with one option at its default whatever was asked for."""
    forward = all_exercises()[name].forward
    for option in options(forward):

        def answer(*inputs, option=option, **keywords):
            bound = inspect.signature(forward).bind(*inputs, **keywords)
            bound.arguments.pop(option, None)
            return forward(*bound.args, **bound.kwargs)

        assert is_right(name, answer) == ((name, option) in NOT_TRIED or (name, option) in MAKES_NO_DIFFERENCE), option
