"""What the tests of the lab share: results made by hand, small jobs, and an experiment of them."""

import dataclasses
import json

from tests.training.helpers import CONFIG, RECIPE
from tinyvit.lab.experiment import Experiment, Report, Results
from tinyvit.lab.figures import panels
from tinyvit.lab.job import text_training, training
from tinyvit.lab.run import EXPERIMENTS
from tinyvit.models.seq2seq import AttentionConfig
from tinyvit.training.probe import SHOTS

NOISE = (-0.001, 0.0, 0.001)  # of three seeds: their standard deviation is 0.001
HALF = 4.302653 * 0.001 / 3**0.5  # so of their mean's interval this is the half width
DIVERGED = {"test_accuracy": 0.1, "validation_accuracy": 0.1, "diverged": True}
SMALL = dataclasses.replace(CONFIG, image=8, classes=10, patch=4)
SHORT = dataclasses.replace(RECIPE, epochs=6, batch=16, micro_batch=16)


def small_jobs(count=1):
    """So many jobs of a tenth of a second on digits: a narrow model, a few epochs on 64 images, different seeds."""
    job = training({"model": "small"}, SMALL, SHORT, 64)
    return [dataclasses.replace(job, seed=seed, work=1.0 + seed) for seed in range(count)]


def _tiny_jobs(data, budget):
    return [training({"pool": pool}, dataclasses.replace(SMALL, pool=pool), SHORT, 64) for pool in ("class", "mean")]


def _tiny_report(results):
    rows = [[pool, results.estimate("test_accuracy", pool=pool).text()] for (pool,) in results.settings("pool")]
    return Report(["pool", "accuracy (%)"], rows, panels(1)[0], "The data say nothing.")


TINY = Experiment("tiny", "Does it work?", "no paper", _tiny_jobs, _tiny_report)


def _tiny_text_jobs(data, budget):
    config = AttentionConfig(source_tokens=13, target_tokens=13, source_length=4, target_length=4, dim=8)
    recipe = dataclasses.replace(SHORT, epochs=1, shift=0)
    how = dict(task="bottleneck", lengths=[2, 3], symbols=10, examples=50, tested=[2, 4], asked=6)
    return [text_training({"score": s}, config.changed(score=s), recipe, **how) for s in ("dot", "additive")]


def _tiny_text_report(results):
    rows = [[s, results.estimate(lambda r: r["exact"]["4"], score=s).text()] for (s,) in results.settings("score")]
    return Report(["score", "exact (%)"], rows, panels(1)[0], "The sequences say nothing.")


TINY_TEXT = Experiment(
    "tiny-text", "Can it read?", "no paper", _tiny_text_jobs, _tiny_text_report, texts=("reverse", "sort")
)


def add_tiny():
    """Have the command know TINY; in a process that is the test's own."""
    EXPERIMENTS["tiny"] = TINY


def untimed(records):
    """{key: result} without what a clock measured."""
    return {r["key"]: {k: v for k, v in r["result"].items() if k != "seconds"} for r in records}


def read(path):
    """The records of a file of JSON lines, all of which are whole."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def records(name, outcome, data=None, budget="quick", seeds=3):
    """A record for each job of an experiment, whose result is outcome(setting, noise), with a noise for each seed."""
    data = data or EXPERIMENTS[name].usual_data
    return [
        {
            "key": job.key,
            "data": data,
            "setting": job.setting,
            "seed": job.seed,
            "result": outcome(job.setting, NOISE[job.seed]),
            "seconds": 2.0,
            "machine": "a machine",
        }
        for job in EXPERIMENTS[name].runs(data, budget, seeds)
    ]


def made_up(name, outcome, **more):
    """The same, as an experiment's report is given them."""
    return Results(records(name, outcome, **more))


def accuracy(value, noise=0.0, **more):
    """The result of a training run."""
    return {"test_accuracy": value + noise, "validation_accuracy": value + noise} | more


def shot_accuracy(value, noise=0.0):
    """What a probe returns."""
    return {str(count): value + noise for count in SHOTS}
