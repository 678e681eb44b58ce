"""The marker accepts every right answer, and says of a wrong one what kind of wrong it is."""

import numpy as np
import pytest

from tests.exercises import answers
from tests.exercises.answers import RIGHT, WRONG
from tinyvit import exercises, trees
from tinyvit.arrays import copied, same
from tinyvit.checks import cases
from tinyvit.errors import UsageError
from tinyvit.exercises.answer import Wrong, by_name, returned
from tinyvit.exercises.catalogue import exercises as all_exercises
from tinyvit.exercises.diagnosis import agrees, any_factor, known_factor
from tinyvit.exercises.hints import hints
from tinyvit.exercises.mistakes import FORGOTTEN, mistakes
from tinyvit.exercises.source import edited, planted

KNOWN = [
    pytest.param(name, mistake, id=f"{name}: {mistake.says}") for name in all_exercises() for mistake in mistakes(name)
]


@pytest.mark.parametrize("name", all_exercises())
def test_the_packages_own_function_is_right(name):
    verdict = exercises.check(name, all_exercises()[name].function)
    assert verdict and verdict.kind == "right" and "in its cache" not in verdict.says, verdict


@pytest.mark.parametrize("name, answer, forward", [(*case, None)[:3] for case in RIGHT.values()], ids=RIGHT)
def test_every_right_answer_is_accepted(name, answer, forward):
    verdict = exercises.check(name, answer, forward)
    assert verdict, verdict


@pytest.mark.parametrize(
    "name, kind, words, answer, forward", [(*case, None)[:5] for case in WRONG.values()], ids=WRONG
)
def test_a_wrong_answer_gets_the_right_diagnosis(name, kind, words, answer, forward):
    verdict = exercises.check(name, answer, forward)
    assert not verdict
    assert (verdict.kind, words in verdict.says) == (kind, True), verdict


@pytest.mark.parametrize("name, mistake", KNOWN)
def test_every_known_mistake_is_named(name, mistake):
    """In the function itself, or, where only the cache shows it, in its backward pass."""
    wrong = edited(all_exercises()[name].function, mistake.edit)
    verdict = exercises.check(name, wrong)
    if verdict:
        forward, backward = all_exercises()[name].forward, all_exercises()[f"{name}_backward"].backward
        verdict = exercises.check(
            f"{name}_backward",
            lambda dy, c: backward(dy, wrong(*c["inputs"])[1]),
            lambda *inputs: (forward(*inputs)[0], {"inputs": inputs}),
        )
    assert not verdict and verdict.kind == mistake.kind
    assert mistake.says in verdict.says


def test_enough_is_known():
    assert len(KNOWN) >= 90 and len(WRONG) >= 40
    kinds = {kind for _, kind, *_ in WRONG.values()}
    assert kinds >= {"unwritten", "form", "error", "argument", "overflow", "dtype", "shape"}
    assert kinds >= {"axis", "missing term", "sign", "scale", "order", "value"}


@pytest.mark.parametrize("name", all_exercises())
def test_there_are_hints_one_at_a_time_and_a_solution(name):
    for number, text in enumerate(hints(name), 1):
        shown = exercises.hint(name, number)
        assert text in shown and shown.startswith(f"{number} of ")
        assert ("The solution" in shown) == (number == len(hints(name)))
    assert len(hints(name)) >= 1
    assert exercises.hint(name, 99).startswith(f"{name} has {len(hints(name))} hint")
    assert exercises.solution(name).startswith(f"def {name}(")


def test_the_verdict_reads_well():
    assert repr(exercises.check("softmax", lambda x: None)).splitlines() == [
        "softmax: to be written. It returns None: write the body, with its return.",
        'A hint: exercises.hint("softmax")',
    ]
    assert repr(exercises.check("linear", all_exercises()["linear"].function)) == (
        "linear: right. y [2, 3, 8] agrees with the package, and float32 stays float32. Its cache is not marked here: "
        'exercises.check("linear_backward", yours, forward=this) does that.'
    )
    for name in ("linear_backward", "merge_heads"):  # without a cache of their own
        assert exercises.check(name, all_exercises()[name].function).says.endswith("float32 stays float32.")


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("gelu", lambda c: {"dydx": 0 * c["dydx"]}, "dydx in its cache is not the package's: it is 0 in every entry"),
        ("gelu_tanh", lambda c: {"dydx": -c["dydx"]}, "dydx in its cache is not the package's: it has the wrong sign"),
        ("linear", lambda c: {"x": c["x"].swapaxes(0, 1)}, "the numbers are right, exchange the axes."),
        (
            "max_pool",
            lambda c: c | {"winner": c["winner"] + 1},
            "winner in its cache is not the package's: it is wrong",
        ),
    ],
)
def test_of_a_right_answer_a_cache_with_other_numbers_under_the_packages_names_is_told(name, wrong, said):
    """The answer stays right: a backward pass of its own may be meant for it."""
    forward = all_exercises()[name].function

    def answer(*inputs, **keywords):
        y, c = forward(*inputs, **keywords)
        return y, wrong(c)

    verdict = exercises.check(name, answer)
    assert verdict and said in verdict.says


def test_a_known_mistake_that_only_the_cache_shows_is_named():
    mistake = next(known for known in mistakes("gelu") if known.says.startswith("the derivative is only Phi(x)"))
    verdict = exercises.check("gelu", edited(all_exercises()["gelu"].function, mistake.edit))
    assert verdict and f"dydx in its cache is not the package's: {mistake.says}." in verdict.says


def test_nothing_is_said_of_a_cache_that_cannot_be_compared():
    linear = all_exercises()["linear"].function
    own = {}
    own["itself"] = own
    for c in ({"x": "x"}, {"x": None}, {"x": np.array([None])}, {"x": 0, "more": 1}, {1: (2, 3)}, own):
        verdict = exercises.check("linear", lambda x, p, c=c: (linear(x, p)[0], c))
        assert verdict and "in its cache" not in verdict.says
        verdict = exercises.check("linear", lambda x, p, c=c: (linear(x, p)[0] ** 2, c))
        assert verdict.kind == "value" and "In its cache" not in verdict.says


def test_a_cell_gets_to_its_parameters_through_the_gates():
    """dx is the gates' own gradient: the matrices' and the state's are made from it."""
    for name in ("gru_cell_backward", "lstm_cell_backward"):
        backward = all_exercises()[name].function

        def answer(dy, p, c, backward=backward):
            dx, dstate, g = backward(dy, p, c)
            return 2 * dx, 2 * dstate, {"w": 2 * g["w"]}

        assert exercises.check(name, answer).says.startswith("dx is 2 times what is expected")


def test_a_right_backward_pass_is_told_by_its_own_names():
    says = exercises.check("linear_backward", all_exercises()["linear_backward"].function).says
    assert says.startswith("dx [2, 3, 8], g/w [8, 8], g/b [8] agree with the package")


@pytest.mark.parametrize(
    ("wrong", "reported"),
    [
        (dict(o=2), "g/o/w is 2 times"),
        (dict(v=2), "g/v/w is 2 times"),
        (dict(k=2), "g/k/w is 2 times"),
        (dict(q=2, o=3), "g/o/w is 3 times"),
        (dict(dkv=2), "dkv is 2 times"),
        (dict(dx=2, dkv=3), "dkv is 3 times"),
        (dict(dbias=2, q=2), "dbias is 2 times"),
    ],
    ids=str,
)
def test_of_several_wrong_arrays_the_earliest_on_the_way_back_is_reported(wrong, reported):
    """Through the output's projection, to v, to the scores, to k and q, and out at the inputs."""

    def answer(dy, p, c):
        dx, dkv, dbias, g = all_exercises()["multi_head_attention_backward"].function(dy, p, c)
        found = dict(dx=dx, dkv=dkv, dbias=dbias) | g
        for name, factor in wrong.items():
            found[name] = trees.map(lambda leaf, factor=factor: factor * leaf, found[name])
        return found["dx"], found["dkv"], found["dbias"], {name: found[name] for name in "oqkv"}

    assert exercises.check("multi_head_attention_backward", answer).says.startswith(reported)


@pytest.mark.parametrize("name", [name for name, exercise in all_exercises().items() if exercise.backward])
def test_the_way_back_names_results_that_there_are(name):
    exercise = all_exercises()[name]
    inputs, keywords = exercise.arguments(exercise.calls[-1], exercise.forward)
    found = by_name(exercise, exercise.function(*inputs, **keywords))
    assert sorted(exercise.on_the_way(found)) == sorted(found)
    if exercise.way != ("g", "dp"):
        assert all(any(f"{result}/".startswith(f"{first}/") for result in found) for first in exercise.way)


def test_what_cannot_be_marked_is_said_in_one_line():
    with pytest.raises(UsageError, match="no exercise 'sofmax': expected one such as softmax"):
        exercises.check("sofmax", lambda x: x)
    with pytest.raises(UsageError, match="found ndarray, expected a function"):
        exercises.check("softmax", np.ones(3))
    with pytest.raises(UsageError, match="no exercise 'x'"):
        exercises.hint("x")
    for name in (["softmax"], np.ones(2), np.exp, None):
        with pytest.raises(UsageError, match=f"the name comes first, .* found {type(name).__name__}"):
            exercises.check(name, "softmax")
    with pytest.raises(UsageError, match="the number of a hint: found '2'"):
        exercises.hint("softmax", "2")


def test_the_line_of_an_error_is_quoted():
    def answer(x):
        total = x @ x
        return total, {}

    says = exercises.check("softmax", answer).says
    assert says.startswith("ValueError: matmul") and says.endswith("in the line: total = x @ x")
    assert "\n" not in says


@pytest.mark.parametrize(
    "name, answer, forward",
    [
        ("dropout", answers.mask_in_place, None),
        ("softmax_backward", *answers.SPOILS_WHAT_IT_KEPT),
    ],
)
def test_no_answer_can_spoil_an_exercise(name, answer, forward):
    before = copied([list(inputs) + [keywords] for inputs, keywords in all_exercises()[name].calls])
    exercises.check(name, answer, forward)
    assert same(before, [list(inputs) + [keywords] for inputs, keywords in all_exercises()[name].calls])


def test_an_interrupt_stops_the_marker():
    def answer(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exercises.check("softmax", answer)


def test_a_key_that_only_some_parameters_have_is_no_matter_of_the_cache():
    answer = lambda dy, p, c: (dy, {"w": p["w"], "b": p["b"]})  # noqa: E731
    exercise = all_exercises()["linear_backward"]
    _, p, _ = exercise.arguments(exercise.calls[2], exercise.forward)[0]
    with pytest.raises(Wrong) as caught:
        returned(exercise, exercise.calls[2], answer, exercise.forward)
    assert "b" not in p and caught.value.args[1].startswith("KeyError: 'b', in the line")
    assert "cache" not in caught.value.args[1]


def test_a_mistake_of_the_forward_pass_is_looked_for_in_the_same_call():
    """The cache of the other eps shows in the last call of layer_norm only."""
    norm, norm_backward = (all_exercises()[name].function for name in ("layer_norm", "layer_norm_backward"))
    verdict = exercises.check(
        "layer_norm_backward", norm_backward, lambda x, p, eps=1e-6: (norm(x, p, eps=eps)[0], norm(x, p)[1])
    )
    assert verdict.kind == "value" and "eps is always 1e-6" in verdict.says


@pytest.mark.parametrize("size", [1, 2])
def test_one_number_is_no_multiple_of_another(size):
    found, expected = np.full(size, 3.0), np.full(size, 7.0)
    assert (any_factor(found, expected) is None) == (size == 1)
    assert "1/B = 1/3" in known_factor(expected / 3, expected, {"B": 3})[1]
    assert known_factor(-2 * expected, expected, {"B": 2})[1].startswith("has the wrong sign, and its size is 2 times")
    assert not agrees(expected, None) and not agrees(np.float64(7), None)


def test_source_is_without_docstring_and_edits_stand_once():
    text = exercises.source(all_exercises()["softmax"].function)
    assert '"""' not in text and text.startswith("def softmax(x):\n    y = x - row_max")
    with pytest.raises(ValueError, match="contains 0 times"):
        edited(all_exercises()["softmax"].function, ("nowhere", FORGOTTEN))


def outer(x):
    return inner(x) + 1


def inner(x):
    return 2 * x


def test_an_edit_may_stand_in_what_a_function_calls():
    assert edited(outer, ("2 * x", "3 * x"))(1) == 4 and outer(1) == 3
    assert edited(outer, ("2 * x", "3 * x"), ("+ 1", "+ 2"))(1) == 5
    with planted(outer, ("2 * x", "3 * x")):
        assert outer(1) == 4 and inner(1) == 3
    assert outer(1) == 3 and inner(1) == 2
    with pytest.raises(ValueError, match="outer contains 0 times"):
        edited(outer, ("nowhere", FORGOTTEN))


def test_every_op_and_layer_is_an_exercise():
    """Whatever the gradient checks know, but for what is listed here, with the reason."""
    others = {
        "resize": "no part of the model",
        "resize_positions": "no part of the model",
        "position": "its kinds are exercises by their own names; the absent one is none",
        "block": "it only calls the block and the position that it is asked for",
        "label_loss": "of a task, and but for the shape cross_entropy",
        "cnn": "beside the ViT; its convolution is one",
        "take_rows": "of masked patch prediction, which is beside the ViT",
        "corrupt": "of masked patch prediction, which is beside the ViT",
        "masked": "beside the ViT",
        "attend": "it only calls the attention that it is asked for",
        "positive_features": "one choice of many; the notebook of linear attention shows it",
        "causal_linear_attention": "linear attention once more, for text",
        "patch_rows": "of readouts that published models have; the paper's two are exercises",
        "mean_norm_readout": "another order of mean_readout's parts",
        "patch_mean_readout": "mean_readout beside a class token",
        "from_windows": "to_windows in reverse, whose gradient is one",
        "window_attention": "multi_head_attention between to_windows and its reverse, which are exercises",
        "swin_block": "encoder_block with other attention",
        "swin": "beside the ViT; its own parts are exercises",
        "patch_mean_norm_readout": "mean_norm_readout beside a class token",
        "relu": "one line, which the notebooks show",
        "standardised_convolution": "it only calls three exercises",
        "bottleneck": "the notebook shows it whole",
        "resnet": "it only calls the units",
        "hybrid": "it only calls the ResNet and the ViT",
        "convolutions": "convolution and gelu in turn, which are exercises",
        "convstem": "it only calls the convolutions and the ViT",
        "sigmoid": "one line, as tanh's",
        "gru_after_cell": "gru_cell with the reset gate elsewhere; the page of both derives it",
        "recurrent_stack": "it only calls the recurrences",
        "general_alignment": "a linear layer, then dot_alignment",
        "token_loss": "token_cross_entropy times the number of targets",
        "transformer": "beside the ViT; its own parts are exercises",
        "gpt": "beside the ViT; its own parts are exercises",
        "bert": "beside the ViT; its own parts are exercises",
        "seq2seq": "beside the ViT; its own parts are exercises",
    }
    checked = {name.partition("/")[0] for name in cases()}
    assert checked >= others.keys(), "an exception that is none"
    kinds = {"learned_position", "grid_position", "sinusoidal_position"}
    assert checked - others.keys() | kinds <= set(all_exercises())


def test_a_verdict_is_drawn_where_arrays_can_be_compared():
    softmax = all_exercises()["softmax"].function
    wrong = exercises.check("softmax", lambda x: (2 * softmax(x)[0], {}))
    assert wrong.picture().axes[0].get_ylabel().startswith("y[")
    for answer in (softmax, lambda x: None, lambda x: (x[0], {}), lambda x: (x * np.nan, {}), lambda x: 1 / 0):
        assert exercises.check("softmax", answer).picture() is None
