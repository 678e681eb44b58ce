"""The tables of both READMEs, in English and in Chinese, from the one file in which measured numbers are kept.

docs/measure.py measures, keeps the numbers in docs/results.json, and has all tables written again; no number is typed.
"""

import json
import re
import statistics
import sys
from pathlib import Path

DOCS = Path(__file__).parent
RESULTS, LAB = DOCS / "results.json", DOCS / "lab"
READMES = {"en": DOCS.parent / "README.md", "zh": DOCS / "README.zh.md"}
PRESETS = ("digits", "mnist-quick", "mnist", "mnist-best")
TRAINED = (*PRESETS, "mnist --model swin", "mnist --model hybrid")  # rows of docs/results.md
RECORDS = (  # rows of docs/records.md
    "mnist-quick --model convstem --epochs 1",
    "mnist-quick --model convstem --epochs 2",
    "mnist-quick --model convstem",
    "mnist --model convstem",
    "mnist --model convstem --epochs 50",
    "cifar-10 cifar10-jpg.zip --model convstem --dim 96 --mlp-dim 384 --depth 3 --widths 64,128",
)
TEXTS = (  # rows of docs/text.md
    "copy --model seq2seq",
    "copy --model attention",
    "copy --model transformer",
    "numerals",
    "numerals-back",
    "sums",
    "sums --model bert",
)
SHOWN = [  # rows of tinyvit bench: model, task, batch, whether on all cores of a machine, or on one
    ("S", "train", 128, False),
    ("S", "train", 128, True),
    ("S", "infer", 128, False),
    ("B/16", "infer", 1, True),
]
CHINESE = {
    "checks": "检验项",
    "entries": "元素个数",
    "largest error": "最大误差",
    "allowed": "允许",
    "trained": "训练",
    "parameters": "参数量",
    "test accuracy": "测试准确率",
    "time, 4 cores": "时间（4 核）",
    "mnist, no augmentation: a ViT": "mnist，无数据增强：ViT",
    "the same: a convolutional network": "同样条件：卷积网络",
    "{} {}, batch of {}, {}": "{} {}，批次 {}，{}",
    "1 core": "1 核",
    "all cores": "全部核",
    "train": "训练",
    "infer": "预测",
    "{}: ms": "{}：毫秒",
    "over PyTorch's": "与 PyTorch 之比",
    "class row": "与只算 class token 的 PyTorch 之比",
}


def keep(name, values):
    """Keep what was measured under a name, and write the READMEs' tables again."""
    known = numbers() | {name: values}
    RESULTS.write_text(json.dumps(known, indent=1) + "\n")
    write()


def numbers():
    """All that was measured: {name: ...}."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def write():
    """Write the tables of both READMEs, and the short one of docs/speed.md."""
    replace(DOCS / "speed.md", "speed-in-short", in_short(numbers()["speed"]))
    for language, path in READMES.items():
        for name, lines in blocks(language).items():
            replace(path, name, lines)


def replace(path, name, lines):
    """Put the lines between the markers of this name in a file."""
    text = path.read_text(encoding="utf-8")
    block = "\n".join([f"<!-- {name} -->", *lines, f"<!-- /{name} -->"])
    text, found = re.subn(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _: block, text, flags=re.DOTALL)
    if not found:
        sys.exit(f"{path} has no <!-- {name} --> ... <!-- /{name} -->")
    path.write_text(text, encoding="utf-8")
    print(block)


def blocks(language):
    """{name: lines} of every table of a README."""
    known = numbers()
    return {
        "inside": inside(language, known["inside"]),
        "train": trained(known["presets"]["digits"]["runs"][0]),
        "gradients": gradients(language, known["gradients"]),
        "results": results(language, known),
        "speed": speed(language, known["speed"]),
    }


def inside(language, known):
    """Whose pictures are shown."""
    accuracy = f"{100 * known['test_accuracy']:.2f} %"
    if language == "zh":
        return [f"图中的模型由 `{known['command']}` 训练，测试准确率 {accuracy}。"]
    return [f"The model in the pictures: `{known['command']}`, test accuracy {accuracy}."]


def trained(run):
    """What `tinyvit train` prints at its end."""
    shares = [100 * run[name] for name in ("validation_accuracy", "test_accuracy")]
    first = (
        f"run runs/digits-1: {run['epochs']} epochs in {run['seconds']:.1f} s, validation accuracy {shares[0]:.2f} %"
    )
    last = "look at it: tinyvit report runs/digits-1"
    return ["```", first, f"test accuracy {shares[1]:.2f} %", last, "```"]


def gradients(language, known):
    """One line about all gradient checks."""
    row = (
        f"{known['checks']:,}",
        f"{known['entries']:,}",
        f"**{known['worst_error']:.1e}**",
        f"{known['allowed']:.0e}",
    )
    return table(language, ("checks", "entries", "largest error", "allowed"), [row])


def results(language, known):
    """Accuracy and time of the presets, and who is better."""
    rows = []
    for name in PRESETS:
        runs = known["presets"][name]["runs"]
        accuracy, seconds = (statistics.mean(run[key] for run in runs) for key in ("test_accuracy", "seconds"))
        size = f"{runs[0]['parameters']:,}"
        rows.append((f"`tinyvit train --preset {name}`", size, f"**{100 * accuracy:.2f} %**", f"{seconds:.0f} s"))
    titles = {"ViT": "mnist, no augmentation: a ViT", "CNN": "the same: a convolutional network"}
    for name, title in titles.items():
        size, accuracy, seconds = against_cnn()[name]
        rows.append((words(language, title), f"{size:,}", f"{accuracy:.2f} %", "–"))
    return table(language, ("trained", "parameters", "test accuracy", "time, 4 cores"), rows)


def against_cnn():
    """{model: (parameters, accuracy in %, seconds)} of the lab's data-size with all of MNIST's training images."""
    records = [json.loads(line) for line in (LAB / "data-size.jsonl").read_text(encoding="utf-8").splitlines()]
    found = {}
    for name in ("ViT", "CNN"):
        runs = [r["result"] for r in records if r["setting"] == {"model": name, "images": 60000}]
        accuracy, seconds = (statistics.mean(run[key] for run in runs) for key in ("test_accuracy", "seconds"))
        found[name] = runs[0]["parameters"], 100 * accuracy, seconds
    return found


def in_short(measured):
    """One line for each model, batch, cores and task: each machine's time, and that over the times of PyTorch's two."""
    machines = {machine: contenders(known["rows"]) for machine, known in measured.items()}
    lines = ["| model | batch | cores | task |" + "".join(f" {m}: ms | over PyTorch's | class row |" for m in machines)]
    lines += ["|---|--:|--:|---|" + "--:|--:|--:|" * len(machines)]
    for model, task, batch, cores in dict.fromkeys(where for cells in machines.values() for where in cells):
        cells = [cell for m in machines.values() for cell in against(m.get((model, task, batch, cores)))]
        lines.append(f"| {model} | {batch} | {cores} | {task} | {' | '.join(cells)} |")
    return lines


def against(row):
    """tinyvit's milliseconds, and its time over that of either PyTorch model, bold where it is the slower one."""
    if row is None:  # a machine with fewer cores
        return "–", "–", "–"
    seconds = row["tinyvit"]["seconds"]
    ratios = row["tinyvit"]["ratio"], seconds / row["torch class row"]["seconds"]
    return f"{1000 * seconds:,.1f}", *(f"**{ratio:.2f}**" if ratio > 1 else f"{ratio:.2f}" for ratio in ratios)


def contenders(rows):
    """{(model, task, batch, cores): {contender: row}} of the benchmark's rows."""
    cells = {}
    for row in rows:
        where = tuple(row[name] for name in ("model", "task", "batch", "cores"))
        cells.setdefault(where, {})[row["contender"]] = row
    return cells


def speed(language, measured):
    """A few rows of the benchmark on each machine, the slowest among them."""
    machines = {machine: contenders(known["rows"]) for machine, known in measured.items()}
    rows = []
    for model, task, batch, all_cores in SHOWN:
        cores = words(language, "all cores" if all_cores else "1 core")
        row = [words(language, "{} {}, batch of {}, {}").format(words(language, task), model, batch, cores)]
        for cells in machines.values():
            most = max(where[3] for where in cells)
            row += against(cells[model, task, batch, most if all_cores else 1])
        rows.append(row)
    head = [t for m in machines for t in (words(language, "{}: ms").format(m), "over PyTorch's", "class row")]
    return table(language, ("", *head), rows)


def table(language, head, rows):
    """Lines of Markdown; the head in the language."""
    head = [words(language, title) for title in head]
    return [f"|{'|'.join(cells)}|" for cells in (head, ["---", *["--:"] * (len(head) - 1)], *rows)]


def words(language, text):
    """A title in the language."""
    return CHINESE.get(text, text) if language == "zh" else text
