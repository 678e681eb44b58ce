"""Results, kept as they come.

What is finished is a line of the file at once: a lab that is stopped, or killed, goes on where it was, and a job whose
result is there is not done again.
"""

import json
import os

from tinyvit import json_files
from tinyvit.errors import CheckpointError, WriteError
from tinyvit.training.machine import machine

FIELDS = {"key": str, "data": str, "setting": dict, "seed": int, "result": dict, "seconds": int | float, "machine": str}


class Store:
    """The results of runs on one data set, in a file of JSON lines, each with FIELDS.

    Raises
    ------
    CheckpointError
        If those in the file are of another data set.
    """

    def __init__(self, path, data):
        self.path, self.data, self.records = path, data, {}
        for _, record in json_files.lines(path):
            if _is_record(record):  # else half a line, of a lab that was killed
                self.records[record["key"]] = {name: record[name] for name in FIELDS}
        if others := {record["data"] for record in self.records.values()} - {data}:
            raise CheckpointError(f"{path} has results on {others.pop()}, not on {data}: choose another --out")

    def of(self, jobs):
        """The records of these jobs that are there, in their order, each under the name that its job has now."""
        found = [(job, self.records[job.key]) for job in jobs if job.key in self.records]
        return [record | {"setting": job.setting} for job, record in found]

    def missing(self, jobs):
        """The jobs that have no result, the longest first: so that no worker is left with one at the end.

        Settings that are one run, as the unchanged model in each series of an experiment, are one job.
        """
        different = {job.key: job for job in jobs}.values()
        return sorted((job for job in different if job.key not in self.records), key=lambda job: -job.work)

    def check(self):
        """Raise CheckpointError if nothing can be written, before the first run is done in vain."""
        self._append("")

    def add(self, job, result, seconds):
        """Keep a result.

        Raises
        ------
        CheckpointError
            If it cannot be written.
        """
        values = (job.key, self.data, job.setting, job.seed, result, round(seconds, 2), machine())
        record = dict(zip(FIELDS, values, strict=True))
        self._append(json.dumps(record) + "\n")
        self.records[job.key] = record

    def _append(self, text):
        """Add to the file, on a line of its own."""
        try:
            with open(self.path, "ab+") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    text = "\n" * (file.read() != b"\n") + text
                file.write(text.encode())
        except OSError as error:
            raise WriteError(self.path, error, then="give the same command again") from None


def _is_record(record):
    return isinstance(record, dict) and all(isinstance(record.get(name), kind) for name, kind in FIELDS.items())
