"""A job's key is all that decides how it ends; and every experiment's jobs are what they should be."""

import dataclasses
import json

import pytest

from tests.lab.helpers import small_jobs
from tests.training import helpers
from tinyvit.data import DATASETS
from tinyvit.errors import UsageError
from tinyvit.lab.backbone import backbones
from tinyvit.lab.bottleneck import models
from tinyvit.lab.equal import nearest_in_size
from tinyvit.lab.job import (
    BUDGETS,
    QUICK_IMAGES,
    Job,
    Pictures,
    base_config,
    base_images,
    base_recipe,
    there,
    training,
)
from tinyvit.lab.pattern import PATCHES
from tinyvit.lab.run import EXPERIMENTS
from tinyvit.lab.worker import TASKS
from tinyvit.layers.attend import ATTENTION
from tinyvit.models.cnn import CNNConfig
from tinyvit.models.model import ALL_MODELS, MODELS, name_of, parameter_count
from tinyvit.models.presets import PRESETS
from tinyvit.training.recipe import RECIPES, Recipe

ASKED = {name: experiment.texts or tuple(DATASETS) for name, experiment in EXPERIMENTS.items()}  # data by experiment
EVERY = [(name, data, budget) for name, asked in ASKED.items() for data in asked for budget in BUDGETS]
OF_PICTURES = [name for name, experiment in EXPERIMENTS.items() if not experiment.texts]


def photos(classes, images):
    names = tuple("abcdefghij"[:classes])
    return Pictures(
        dataclasses.replace(DATASETS["cifar-10"], name="photos", classes=classes, class_names=names), images
    )


PHOTOS = photos(7, 900)


def shared(name, data, budget):
    """How many settings of an experiment are a run that another setting is, too."""
    if name == "depth-width-patch":  # the unchanged model stands in several of its series
        return {"digits": 2, "cifar-10": 3}.get(data, 3)
    if name == "backbone" and data != "cifar-10":  # the ViT's runs, by steps and by time
        return {"quick": 2, "full": 3}[budget]
    return 0


def test_the_key_is_pinned_so_that_kept_results_are_found_again():
    job = Job({"a": 1}, "train", {"images": 5, "model": "vit"}, 3)
    assert job.key == "8ca1f37cea961d43"


def test_settings_that_the_recipe_got_later_are_in_the_key_only_where_they_are_used():
    """norm's key is of before there were any, and masked's of when its images were first drawn more than once."""
    keys = {"norm": "c767dfcc37b79232", "masked": "722a0d4c1ddcbf6b"}
    for name, key in keys.items():
        job = EXPERIMENTS[name].jobs("digits", "quick")[0]
        assert job.key == key
        mirrored = job.arguments | {"recipe": job.arguments["recipe"] | {"mirror": 0.5}}
        assert dataclasses.replace(job, arguments=mirrored).key != key


def test_the_key_does_not_depend_on_names_order_or_work():
    job = Job({"a": 1}, "train", {"images": 5, "model": "vit"}, 3)
    for other in (
        Job({"b": 2}, "train", {"images": 5, "model": "vit"}, 3),
        Job({"a": 1}, "train", {"model": "vit", "images": 5}, 3, work=7.0),
    ):
        assert other.key == job.key


def test_the_key_changes_with_every_argument_and_the_seed():
    job = small_jobs()[0]
    changed = [dataclasses.replace(job, seed=1), dataclasses.replace(job, task="cost")]

    def vary(tree, path=()):
        for name, value in tree.items():
            if isinstance(value, dict):
                yield from vary(value, (*path, name))
            else:
                yield (*path, name)

    for path in vary(job.arguments):
        arguments = json.loads(json.dumps(job.arguments))
        place = arguments
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = f"not {place[path[-1]]}"
        changed.append(dataclasses.replace(job, arguments=arguments))
    keys = {other.key for other in changed}
    assert len(changed) > 30 and len(keys) == len(changed) and job.key not in keys


@pytest.mark.parametrize(("name", "data", "budget"), EVERY)
def test_jobs_of_every_experiment(name, data, budget):
    jobs = EXPERIMENTS[name].jobs(data, budget)
    assert len({str(job.setting) for job in jobs}) == len(jobs)
    same = len(jobs) - len({job.key for job in jobs})
    assert same == shared(name, data, budget)
    for job in jobs:
        arguments = json.loads(json.dumps(job.arguments))
        assert json.loads(json.dumps(job.setting)) == job.setting
        assert job.task in TASKS and job.work > 0
        if job.task != "cost":
            config = ALL_MODELS[arguments["model"]].config(**arguments["config"])
            assert config == ALL_MODELS[arguments["model"]].config(**job.arguments["config"])
            if data in DATASETS:
                assert config.image == base_config(data).image
            Recipe(**arguments["recipe"])


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", OF_PICTURES)
def test_jobs_on_pictures_of_ones_own(name, budget):
    """They have the pictures' size and number of classes, and no more images than there are."""
    for job in EXPERIMENTS[name].jobs(PHOTOS, budget):
        if job.task != "cost":
            config = MODELS[job.arguments["model"]].config(**job.arguments["config"])
            assert (config.image, config.channels) == (32, 3)
            assert config.classes == (7 if name != "fewshot" else 5)
            Recipe(**job.arguments["recipe"])
            assert job.arguments.get("labelled", 0) <= 900
            if name in ("data-size", "backbone"):  # others learn from so many at most
                assert job.arguments["images"] == job.setting["images"] <= 900


def test_sizes_that_there_are():
    assert there((10, 100, 1000, 5000), "mnist") == (10, 100, 1000, 5000)
    assert there((10, 100, 1000, 5000), PHOTOS) == (10, 100)
    assert there((800, 1000), PHOTOS) == (225, 900)


def test_few_classes_are_too_few_to_learn_some_and_be_tried_on_others():
    with pytest.raises(UsageError, match=r"^the data set has 5 classes: fewshot learns from 5, expected more than"):
        EXPERIMENTS["fewshot"].jobs(photos(5, 900), "quick")


@pytest.mark.parametrize(("name", "data"), [(name, data) for name, asked in ASKED.items() for data in asked])
def test_a_quick_look_is_less_work(name, data):
    def work(budget):
        return sum(job.work for job in EXPERIMENTS[name].jobs(data, budget))

    assert work("quick") < work("full")


def test_runs_are_all_settings_with_every_seed_the_first_of_all_first():
    experiment = EXPERIMENTS["norm"]
    jobs = experiment.jobs("digits", "quick")
    runs = experiment.runs("digits", "quick", 2)
    assert [run.setting for run in runs] == 2 * [job.setting for job in jobs]
    assert [run.seed for run in runs] == [0] * len(jobs) + [1] * len(jobs)
    assert len({run.key for run in runs}) == len(runs)


@pytest.mark.parametrize("data", DATASETS)
def test_the_full_recipe_is_the_preset_and_the_quick_one_shorter(data):
    full, quick = (base_recipe(data, budget) for budget in ("full", "quick"))
    preset = RECIPES[{"digits": "digits", "cifar-10": "cifar-10"}.get(data, "mnist-quick")]
    assert full == (dataclasses.replace(preset, epochs=6, batch=64) if data == "cifar-10" else preset)
    assert dataclasses.replace(quick, epochs=full.epochs) == full and quick.epochs < full.epochs
    assert base_recipe(data, "quick", shift=3, epochs=9) == dataclasses.replace(full, shift=3, epochs=9)
    assert base_config(data) == PRESETS[data]
    assert base_images(data, "full") is None
    assert base_images(data, "quick") == (None if data == "digits" else QUICK_IMAGES)


def test_work_grows_with_what_takes_time():
    config, recipe = base_config("mnist"), base_recipe("mnist", "full")

    def work(images=None, *, recipe=recipe, **changes):
        return training({}, dataclasses.replace(config, **changes), recipe, images).work

    assert work() == work(60_000) == pytest.approx(2 * work(30_000))
    assert work(recipe=dataclasses.replace(recipe, epochs=3 * recipe.epochs)) == pytest.approx(3 * work())
    assert work(depth=2 * config.depth) == pytest.approx(2 * work())
    assert work(dim=2 * config.dim) > 1.5 * work() and work(patch=4) > 2 * work()
    assert training({}, CNNConfig(image=28, channels=1, classes=10), recipe).work > 0


# ---- what single experiments compare


def arguments_of(name, data="digits", budget="full"):
    """{the setting's values: arguments} of its jobs."""
    return {tuple(job.setting.values()): job.arguments for job in EXPERIMENTS[name].jobs(data, budget)}


def differing(one, other):
    """The names of what two jobs' arguments differ in."""
    found = {name for name in one | other if not isinstance(one.get(name), dict) and one.get(name) != other.get(name)}
    for part in ("config", "recipe"):
        found |= {name for name, value in one[part].items() if other[part].get(name, value) != value}
    return found


@pytest.mark.parametrize(
    ("name", "one", "other", "different"),
    [
        ("position", ("none", "stem"), ("1d", "stem"), {"position"}),
        ("position", ("2d", "layers"), ("relative", "shared"), {"position", "position_at"}),
        ("pooling", ("class", 0.005), ("mean", 0.005), {"pool"}),
        ("pooling", ("class", 0.005), ("class", 0.0025), {"learning_rate"}),
        ("norm", ("pre", 8), ("post", 8), {"norm"}),
        ("norm", ("pre", 8), ("pre", 16), {"depth"}),
        ("scale", ("sqrt", 8), ("none", 8), {"scale"}),
        ("scale", ("sqrt", 8), ("sqrt", 32), {"heads"}),
        ("data-size", ("ViT", 200), ("ViT", 400), {"images", "epochs"}),
        ("fewshot", ("pixels",), ("trained",), {"features"}),
        ("masked", ("random",), ("masked",), {"start", "epochs"}),
        ("masked", ("random",), ("supervised",), {"start"}),
        ("pattern", ("full", 1.0), ("linear", 0.0), {"attention"}),
        ("bottleneck", ("dot", 51_461), ("additive", 52_821), {"score", "dim"}),
        ("bottleneck", ("no attention", 52_045), ("dot", 51_461), {"model", "score", "dim"}),
    ],
)
def test_settings_differ_in_what_they_say_and_in_nothing_else(name, one, other, different):
    jobs = arguments_of(name, EXPERIMENTS[name].usual_data)
    assert differing(jobs[one], jobs[other]) == different


def test_the_widths_of_heads():
    for (_, d), arguments in arguments_of("scale").items():
        assert arguments["config"]["dim"] == d * arguments["config"]["heads"] and arguments["gradients"] is True


def test_sizes_change_one_at_a_time_and_are_counted():
    base = dataclasses.asdict(base_config("digits"))
    names = {"depth": "depth", "MLP width": "mlp_dim", "patch": "patch", "width": "dim"}
    works = {}
    for (what, to, work), arguments in arguments_of("depth-width-patch").items():
        config = arguments["config"]
        assert config[names[what]] == to
        others = {names[what]} | ({"mlp_dim"} if what == "width" else set())
        assert {k: v for k, v in config.items() if k not in others} == {
            k: v for k, v in base.items() if k not in others
        }
        assert what != "width" or config["mlp_dim"] == to * base["mlp_dim"] // base["dim"]
        works.setdefault(what, []).append(work)
    assert all(len(set(series)) == len(series) > 2 for series in works.values())


def test_both_models_of_data_size_learn_from_the_same_for_equally_many_steps():
    for data in DATASETS:
        jobs = arguments_of("data-size", data)
        steps = []
        for (model, images), arguments in jobs.items():
            recipe = Recipe(**arguments["recipe"])
            assert arguments["model"] == model.lower() and arguments["images"] == images
            assert (recipe.shift, recipe.rotate, recipe.zoom, recipe.shear) == (0, 0, 0, 0)
            assert recipe == Recipe(**jobs["ViT", images]["recipe"])
            learned = images - round(images * recipe.validation)
            steps.append(recipe.epochs * -(-learned // recipe.batch))
        assert min(steps) >= 0.8 * 1500 and max(steps) <= 1.2 * 1500


@pytest.mark.parametrize("data", [*DATASETS, PHOTOS], ids=[*DATASETS, "pictures"])
def test_the_backbones_have_as_many_parameters_as_the_vit(data):
    found = backbones(base_config(data))
    counts = {name: parameter_count(config) for name, config in found.items()}
    assert len(set(found.values())) == len(counts) == 5 and found["ViT"] == base_config(data)
    assert all(abs(count / counts["ViT"] - 1) < 0.02 for count in counts.values())
    assert (found["ViT with a stem"].units, name_of(found["hybrid"])) == ((), "hybrid")
    swin = found["Swin"]
    assert swin.shift_of(0, 1) and all(dim % heads == 0 for dim, heads in zip(swin.widths, swin.heads, strict=True))


def test_the_models_of_the_bottleneck_have_as_many_parameters_as_that_without_attention():
    found = models()
    counts = {name: parameter_count(config) for name, config in found.items()}
    assert list(counts) == ["no attention", "dot", "additive", "Transformer"] and counts["no attention"] == 52_045
    assert all(abs(count / counts["no attention"] - 1) < 0.02 for count in counts.values())
    assert [found[name].score for name in list(found)[:3]] == ["none", "dot", "additive"]
    for (name, count), arguments in arguments_of("bottleneck", "copy").items():
        assert ALL_MODELS[arguments["model"]].config(**arguments["config"]) == found[name] and count == counts[name]


def test_the_nearest_in_size_and_of_equals_the_first():
    configs = [CNNConfig(widths=(width,)) for width in (4, 8, 8, 16)]
    assert nearest_in_size(configs, parameter_count(configs[1]) + 1) is configs[1]
    assert nearest_in_size(configs, 0) is configs[0] and nearest_in_size(configs, 10**6) is configs[3]


@pytest.mark.parametrize("data", ["digits", "mnist"])
def test_backbones_learn_from_the_same_and_only_time_is_by_the_vit(data):
    jobs = {key[:3]: arguments for key, arguments in arguments_of("backbone", data).items()}
    steps = []
    for (equal, images, name), arguments in jobs.items():
        vit, beside = jobs[equal, images, "ViT"], arguments["as_long_as"]
        assert arguments["images"] == images and arguments["recipe"] == vit["recipe"]
        assert Recipe(**arguments["recipe"]).augmentation == Recipe().augmentation
        by_time = equal == "time" and name != "ViT"
        assert beside == ({"model": "vit", "config": vit["config"]} if by_time else None)
        learned = images - round(images * arguments["recipe"]["validation"])
        steps.append(arguments["recipe"]["epochs"] * -(-learned // arguments["recipe"]["batch"]))
    assert min(steps) >= 0.9 * 300 and max(steps) <= 1.1 * 300


def test_patterns_are_compared_on_many_patches_whose_mean_is_read():
    """A class token, at which all look, would join what a pattern keeps apart."""
    configs = [arguments["config"] for arguments in arguments_of("pattern").values()]
    assert [config["attention"] for config in configs] == list(ATTENTION)
    alike = [
        {name: value for name, value in config.items() if name not in ("attention", "reach")} for config in configs
    ]
    assert all(config == alike[0] for config in alike) and alike[0]["pool"] == "mean"
    assert (alike[0]["image"] // alike[0]["patch"]) ** 2 >= PATCHES


def test_fewshot_learns_from_half_of_the_classes_and_so_from_half_of_the_images():
    images = {job.arguments["images"] for job in EXPERIMENTS["fewshot"].jobs("mnist", "quick")}
    assert images == {QUICK_IMAGES // 2}
    assert {job.arguments["images"] for job in EXPERIMENTS["fewshot"].jobs("mnist", "full")} == {None}


def test_fine_tuning_of_what_has_learned_all_is_gentle_and_is_long_enough():
    jobs = {start: arguments for (start,), arguments in arguments_of("masked", "mnist").items()}
    rates = {start: arguments["tuning"]["learning_rate"] for start, arguments in jobs.items()}
    assert rates["random"] == rates["masked"] == pytest.approx(10 * rates["supervised"])
    for arguments in jobs.values():
        tuning = arguments["tuning"]
        steps = tuning["epochs"] * -(-arguments["labelled"] // tuning["batch"])
        assert 280 <= steps <= 320


def experiment_of(path):
    """The experiment whose results a file has; some were asked about other data, too."""
    return path.stem.removesuffix("-cifar").removesuffix("-digits")


KEPT = sorted((helpers.ROOT / "docs" / "lab").glob("*.jsonl"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_the_results_in_the_docs_are_found_by_todays_keys(path):
    """They were kept under the names of version 0.1."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    data, seeds = records[0]["data"], 1 + max(record["seed"] for record in records)
    known = data in ASKED[experiment_of(path)]
    asked = data if known else Pictures(DATASETS["cifar-10"], 50_000)
    wanted = {job.key for job in EXPERIMENTS[experiment_of(path)].runs(asked, "full", seeds)}
    assert wanted <= {record["key"] for record in records}, "each would be trained again"


def test_every_experiment_has_results_in_the_docs():
    assert {experiment_of(path) for path in KEPT} == set(EXPERIMENTS)
