"""`tinyvit lab`, as a user meets it: it is done once, kept, stopped, gone on with, and it says so in one line."""

import dataclasses
import json
import re
import signal

import numpy as np
import pytest
from PIL import Image

from tests.lab.helpers import SHORT, TINY, TINY_TEXT, read, records, untimed
from tests.lab.test_reports import MADE
from tests.test_lock import holder
from tests.training.helpers import call, fails, interrupted
from tinyvit.lab import scheduler
from tinyvit.lab import store as store_module
from tinyvit.lab.job import base_config, training
from tinyvit.lab.run import EXPERIMENTS, FIGURE, RESULTS, TABLE
from tinyvit.lab.store import Store

FILES = sorted([RESULTS, TABLE, FIGURE])
SIGNALS = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="sends a signal as a terminal does")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(EXPERIMENTS, "tiny", TINY)
    monkeypatch.setitem(EXPERIMENTS, "tiny-text", TINY_TEXT)


@pytest.fixture
def no_workers(monkeypatch):
    """No worker process may be started."""

    def refused(*arguments):
        raise AssertionError("a worker was started")

    monkeypatch.setattr(scheduler, "WorkerProcess", refused)


def put_results(folder, name, **more):
    """A finished lab's results.jsonl in a folder."""
    folder.mkdir(parents=True)
    lines = [json.dumps(record) for record in records(name, MADE[name], **more)]
    (folder / RESULTS).write_text("\n".join(lines) + "\n")
    return folder


def test_without_a_name_it_tells_what_there_is(no_workers, tmp_path):
    result = call("lab")
    lines = result.out.splitlines()
    assert result.code == 0 and len(lines) == len(EXPERIMENTS) and not list(tmp_path.iterdir())
    for line, experiment in zip(lines, EXPERIMENTS.values(), strict=True):
        assert line.split()[0] == experiment.name and experiment.question in line and experiment.source in line


def test_a_name_that_is_none_is_answered_with_the_choices(no_workers, tmp_path):
    fails(tmp_path, ["lab", "positions"], "no experiment is named 'positions'", *EXPERIMENTS, code=2)


def test_a_lab_from_beginning_to_end(tmp_path):
    result = call("lab", "tiny", "--seeds", 2, "--workers", 2)
    folder = tmp_path / "runs" / "lab" / "tiny-digits-quick"
    assert result.code == 0 and sorted(path.name for path in folder.iterdir()) == FILES
    assert (folder / FIGURE).read_bytes().startswith(b"\x89PNG")
    assert (folder / TABLE).read_text() == result.out
    first = result.out.splitlines()[0]
    command = "`tinyvit lab tiny --data digits --seeds 2 --budget quick`"
    assert first == f"Does it work? (no paper.) {command}, 2 seeds, 95 % intervals."
    assert "The data say nothing." in result.out and "4 runs, " in result.out.splitlines()[-1]
    assert "tiny, 0 of 4 runs:   0%|" in result.err and "tiny, 4 of 4 runs: 100%|" in result.err
    assert result.err.splitlines()[-1].endswith(FIGURE)
    kept = read(folder / RESULTS)
    assert len(kept) == 4
    (folder / RESULTS).unlink()
    assert call("lab", "tiny", "--seeds", 2, "--workers", 1).code == 0
    assert untimed(read(folder / RESULTS)) == untimed(kept), "however many workers there are"


def test_a_finished_lab_runs_nothing_and_prints_the_same(tmp_path, no_workers):
    folder = put_results(tmp_path / "done", "position")
    before = (folder / RESULTS).read_bytes()
    first = call("lab", "position", "--out", folder)
    assert first.code == 0 and "Positions matter" in first.out and "33 runs, 66 seconds" in first.out
    assert first.err == f"{folder / RESULTS}, {folder / FIGURE}\n", "no bar over nothing"
    assert call("lab", "position", "--out", folder) == first
    assert (folder / RESULTS).read_bytes() == before and sorted(path.name for path in folder.iterdir()) == FILES
    assert call("lab", "position", "--out", folder, "--seeds", 2).out != first.out, "fewer seeds are a part of them"


def test_one_seed_is_said_to_have_no_intervals(tmp_path, no_workers):
    folder = put_results(tmp_path / "done", "position", seeds=1)
    result = call("lab", "position", "--out", folder, "--seeds", 1)
    assert result.out.splitlines()[0].endswith("--budget quick`, 1 seed, and so no intervals.")


def test_json(tmp_path, no_workers):
    folder = put_results(tmp_path / "done", "fewshot")
    result = call("lab", "fewshot", "--json", "--out", folder)
    found = json.loads(result.out)
    expected = [{k: v for k, v in r.items() if k != "key"} for r in records("fewshot", MADE["fewshot"])]
    assert result.code == 0 and found == expected
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_more_seeds_do_only_what_is_missing(tmp_path):
    assert call("lab", "tiny", "--seeds", 1, "--workers", 1, "--out", "lab").code == 0
    before = (tmp_path / "lab" / RESULTS).read_bytes()
    result = call("lab", "tiny", "--seeds", 2, "--workers", 1, "--out", "lab")
    after = (tmp_path / "lab" / RESULTS).read_bytes()
    assert after.startswith(before) and len(read(tmp_path / "lab" / RESULTS)) == 4
    assert "tiny, 2 of 4 runs:   0%|" in result.err and "4 runs, " in result.out


def test_a_damaged_file_costs_only_what_was_damaged(tmp_path):
    assert call("lab", "tiny", "--seeds", 1, "--workers", 1, "--out", "lab").code == 0
    path = tmp_path / "lab" / RESULTS
    expected, first = untimed(read(path)), path.read_bytes().splitlines(keepends=True)[0]
    path.write_bytes(b"\xff\x00 no JSON\n" + first + b'{"key": "half')
    result = call("lab", "tiny", "--seeds", 1, "--workers", 1, "--out", "lab")
    assert result.code == 0 and "tiny, 1 of 2 runs:   0%|" in result.err
    lines = path.read_bytes().splitlines()
    assert len(lines) == 4 and untimed(map(json.loads, (lines[1], lines[3]))) == expected


def test_time_is_measured_by_one_worker_alone(tmp_path, monkeypatch):
    started, start = [], scheduler.WorkerProcess
    monkeypatch.setattr(scheduler, "WorkerProcess", lambda *how: started.append(start(*how)) or started[-1])
    jobs = [job for job in EXPERIMENTS["cost"].runs("digits", "quick", 1) if job.setting["tokens"] > 512]
    done = {job.key for job in jobs}
    kept = [r for r in records("cost", MADE["cost"], seeds=1) if r["key"] not in done]
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / RESULTS).write_text("".join(json.dumps(record) + "\n" for record in kept))
    result = call("lab", "cost", "--workers", 4, "--seeds", 1, "--out", "lab")
    assert result.code == 0 and "cost, 10 of 13 runs:   0%|" in result.err and len(started) == 1


def small_of(data, budget):
    """Two runs of a narrow model on whatever data."""
    config = base_config(data).changed(dim=8, depth=1, heads=2, mlp_dim=8, patch=8)
    return [training({"pool": pool}, config.changed(pool=pool), SHORT, 20) for pool in ("class", "mean")]


def test_pictures_of_ones_own_leave_no_path_and_are_told_from_others_of_the_name(tmp_path, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "tiny", dataclasses.replace(TINY, jobs=small_of))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for kind in "abc":
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / kind / f"{number}.png")
    argv = ["lab", "tiny", "--data", tmp_path / "photos", "--seeds", 1, "--workers", 1]
    result = call(*argv)
    folder = tmp_path / "runs" / "lab" / "tiny-photos-quick"
    assert result.code == 0 and "`tinyvit lab tiny --data photos --seeds 1 --budget quick`" in result.out
    kept = read(folder / RESULTS)
    (label,) = {record["data"] for record in kept}
    assert len(kept) == 2 and re.fullmatch("photos [0-9a-f]{16}", label)
    assert str(tmp_path) not in (folder / RESULTS).read_text() + result.out
    assert all(record["result"]["test_accuracy"] in (0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1) for record in kept)
    assert call(*argv).out == result.out, "nothing is done again"
    monkeypatch.chdir(tmp_path / "photos")
    named = call("lab", "tiny", "--data", ".", "--seeds", 1, "--out", folder).out
    assert named.splitlines()[0] == result.out.splitlines()[0], "however the folder is named"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "a" / "0.png").write_bytes(b"no picture")
    assert "--skip-broken" in call(*argv).err
    argv.append("--skip-broken")
    refused = call(*argv)
    assert refused.code == 1 and not refused.out, "and not a result of the other pictures is used"
    assert f"has results on {label}, not on photos " in refused.err and "choose another --out" in refused.err


def test_a_lab_on_text_is_of_its_usual_data_and_goes_on_where_it_was(tmp_path):
    """Its first rule, if nothing is said; the same results for however many workers, and whether it was stopped."""
    result = call("lab", "tiny-text", "--seeds", 2, "--workers", 2)
    folder = tmp_path / "runs" / "lab" / "tiny-text-reverse-quick"
    assert result.code == 0 and sorted(path.name for path in folder.iterdir()) == FILES
    assert "`tinyvit lab tiny-text --data reverse --seeds 2 --budget quick`" in result.out
    kept = read(folder / RESULTS)
    assert len(kept) == 4 and {record["data"] for record in kept} == {"reverse"}
    lines = (folder / RESULTS).read_bytes().splitlines(keepends=True)
    (folder / RESULTS).write_bytes(lines[0] + lines[1][:20])
    again = call("lab", "tiny-text", "--seeds", 2, "--workers", 1)
    assert again.code == 0 and "tiny-text, 1 of 4 runs:   0%|" in again.err
    assert untimed(
        [json.loads(line) for line in (folder / RESULTS).read_bytes().splitlines() if line.endswith(b"}")]
    ) == untimed(kept)
    sorted_text = call("lab", "tiny-text", "--seeds", 1, "--data", "sort", "--out", folder)
    assert sorted_text.code == 1 and "has results on reverse, not on sort: choose another --out" in sorted_text.err


# ---- what goes wrong


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["bottleneck", "--data", "digits"], ["bottleneck is about text, found --data digits", "copy, reverse, sort"]),
        (["bottleneck", "--data", "numerals"], ["bottleneck is about text, found --data numerals"]),
        (["bottleneck", "--data", "revers"], ["did you mean reverse?"]),
        (["position", "--data", "copy"], ["position is about pictures, found --data copy: expected one of digits"]),
        (["position", "--data", "pairs.tsv"], ["position is about pictures, found --data pairs.tsv"]),
        (["bottleneck", "--data-dir", "there"], ["--data-dir: bottleneck has data by rule", "leave it out"]),
        (["bottleneck", "--skip-broken"], ["--skip-broken: bottleneck has data by rule"]),
    ],
)
def test_data_of_the_other_kind(tmp_path, no_workers, argv, words):
    fails(tmp_path, ["lab", *argv], *words, code=2)


def test_no_data_is_one_line_before_any_worker_starts(tmp_path, no_workers):
    missing = tmp_path / "nowhere"
    fails(tmp_path, ["lab", "position", "--data", "mnist", "--data-dir", missing, "--workers", 1], "nowhere", code=1)


@pytest.mark.parametrize(
    "argv",
    [
        ["lab", "tiny", "--seeds", "0"],
        ["lab", "tiny", "--budget", "huge"],
        ["lab", "tiny", "--workers", "0"],
    ],
)
def test_wrong_usage(tmp_path, no_workers, argv):
    fails(tmp_path, argv, argv[2], code=2)


def test_data_that_are_neither_a_set_nor_pictures(tmp_path, no_workers):
    fails(tmp_path, ["lab", "tiny", "--data", "imagenet"], "unknown data set 'imagenet': expected one of", code=2)
    (tmp_path / "empty").mkdir()
    fails(tmp_path, ["lab", "tiny", "--data", "empty"], "empty", code=1)


def test_a_folder_that_is_a_file(tmp_path, no_workers):
    (tmp_path / "file").write_text("mine")
    fails(tmp_path, ["lab", "tiny", "--out", "file"], "file is a file: choose another --out", code=2)
    fails(tmp_path, ["lab", "tiny", "--out", "file/below"], "file")
    (tmp_path / "lab" / RESULTS).mkdir(parents=True)
    fails(tmp_path, ["lab", "tiny", "--out", "lab"], RESULTS)


def test_a_folder_that_cannot_be_written_is_said_before_a_run_is_done_in_vain(tmp_path, no_workers, monkeypatch):
    (tmp_path / "lab").mkdir()

    def refused(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(store_module, "open", refused, raising=False)
    fails(tmp_path, ["lab", "tiny", "--out", "lab"], f"cannot write lab/{RESULTS}: Permission denied", code=1)


def test_a_worker_that_is_killed_is_one_line_and_what_was_finished_is_kept(tmp_path, monkeypatch):
    add = Store.add
    started, start = [], scheduler.WorkerProcess
    monkeypatch.setattr(scheduler, "WorkerProcess", lambda *how: started.append(start(*how)) or started[-1])

    def killing(store, *outcome):
        add(store, *outcome)
        started[0].kill()

    monkeypatch.setattr(Store, "add", killing)
    result = call("lab", "tiny", "--seeds", 4, "--workers", 1, "--out", "lab")
    assert result.code == 1 and not result.out and "Traceback" not in result.err
    last = result.err.replace("\r", "\n").splitlines()[-1]
    assert last.startswith("tinyvit: a worker of the lab is gone (") and last.endswith("the finished runs are kept")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(EXPERIMENTS, "tiny", TINY)
    kept = len(read(tmp_path / "lab" / RESULTS))
    result = call("lab", "tiny", "--seeds", 4, "--workers", 1, "--out", "lab")
    assert result.code == 0 and 1 <= kept < 8 and f"tiny, {kept} of 8 runs:   0%|" in result.err


SLOW_AND_COUNTED = """
import atexit, signal, time
import psutil
from tests.lab.helpers import add_tiny
from tinyvit.lab.store import Store
signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's background commands ignore it
add = Store.add
Store.add = lambda store, *outcome: (add(store, *outcome), len(store.records) < 3 or time.sleep(60))
add_tiny()
atexit.register(lambda: print("left:", len(psutil.Process().children()), file=sys.stderr))
"""


@SIGNALS
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_says_how_many_runs_are_kept_and_the_same_command_goes_on(tmp_path, number, code):
    argv = ["lab", "tiny", "--seeds", "6", "--workers", "2", "--out", "lab"]
    path = tmp_path / "lab" / RESULTS
    result = interrupted(argv, cwd=tmp_path, history=path, number=number, before=SLOW_AND_COUNTED)
    kept = len(read(path))
    assert result.code == code and not result.out and 1 <= kept <= 3
    *_, line, left = result.err.replace("\r", "\n").splitlines()
    found = re.fullmatch(r"tinyvit: stopped: (\d+) of 12 runs are done and kept in lab; the same command goes on", line)
    assert found and abs(int(found[1]) - kept) <= 1 and left == "left: 0"
    assert call(*argv).code == 0
    assert call(*argv[:-1], "whole").code == 0
    assert untimed(read(path)) == untimed(read(tmp_path / "whole" / RESULTS))
    assert len(read(path)) == 12, "nothing was done twice"


def test_a_lab_that_another_process_runs_is_refused_but_a_finished_one_is_read(tmp_path, no_workers):
    folder = put_results(tmp_path / "done", "position", seeds=1)
    with holder(folder):
        argv = ["lab", "position", "--out", folder, "--seeds"]
        words = f"another process is running an experiment in {folder}: wait until it has ended"
        fails(tmp_path, [*argv, 2], words, code=2)
        assert call(*argv, 1).code == 0
