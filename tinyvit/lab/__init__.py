"""The paper lab: the ViT paper's questions, asked again on a laptop.

Each experiment is a file: the settings that it compares, the paper's own numbers, the figure, and what the data do and
do not support. What is common to all is elsewhere: a run (job.py), what is done in it (tasks.py), how runs are shared
out and kept (scheduler.py), intervals (statistics.py), figures (figures.py). EXPERIMENTS, in run.py, names them.
"""
