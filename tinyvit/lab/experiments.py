"""All experiments, by name."""

from tinyvit.lab.position import POSITION

EXPERIMENTS = {experiment.name: experiment for experiment in (POSITION,)}
