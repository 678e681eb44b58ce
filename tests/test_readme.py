"""What the README shows is what the project does, and the Chinese one shows the same."""

import ast
import functools
import re
from pathlib import Path

import pytest

import tinyvit
from docs import readme
from tests.training.helpers import SMALL, call
from tinyvit.checks import cases
from tinyvit.data.text import joined, read_text
from tinyvit.models.model import model_named, preset_config
from tinyvit.training.recipe import USUAL_MODELS, recipe_of

ROOT = Path(__file__).parents[1]
TEXTS = {language: path.read_text(encoding="utf-8") for language, path in readme.READMES.items()}
README, CHINESE = TEXTS["en"], TEXTS["zh"]
OWN = ("问题索引", "笔记", "中国大陆", "术语表")  # sections that the Chinese one has besides
NUMBER = r"\d(?:[\d.,]*\d)?(?:e-\d+)?"


def blocks(language):
    """The code blocks of a language; "" are those of none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


def marked(text, name):
    """The lines between two markers."""
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0].splitlines()


def page(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def functions(text):
    """{name: source} of the functions in a text, without their docstrings and comments."""
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            node.body = node.body[1:] if ast.get_docstring(node) else node.body
            found[node.name] = ast.unparse(node)
    return found


def test_it_is_read_in_a_few_minutes():
    assert len(README.split()) <= 1000


def test_the_layer_shown_is_the_layer():
    shown = functions(blocks("python")[0])
    source = functions((ROOT / "tinyvit/layers/encoder_block.py").read_text(encoding="utf-8"))
    assert list(shown) == ["encoder_block", "encoder_block_backward"]
    for name, text in shown.items():
        assert text == source[name]


@pytest.mark.parametrize("text", [README, CHINESE], ids=["README", "README.zh"])
def test_every_notebook_is_in_the_reading_path(text):
    title = "## The reading path" if text is README else "## 阅读路线"
    path = text.partition(f"\n{title}\n")[2].partition("\n## ")[0]
    assert re.findall(r"notebooks/(\w+\.ipynb)", path) == sorted(p.name for p in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("language", readme.READMES)
def test_its_tables_are_what_was_measured(language):
    """Both from one file: whoever measures anew has both written, and whoever types a number is found out."""
    for name, lines in readme.blocks(language).items():
        assert marked(TEXTS[language], name) == lines, f"run `python docs/measure.py readme` ({name})"


def test_both_name_the_same_numbers():
    for name in readme.blocks("en"):
        numbers = [re.findall(NUMBER, "\n".join(marked(text, name))) for text in (README, CHINESE)]
        assert len(numbers[0]) >= 2
        assert numbers[0] == numbers[1]


def test_training_ends_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call("train", *SMALL[1:], "--epochs=2")
    said = [*result.out.splitlines(), result.err.splitlines()[-1]]
    assert [re.sub(NUMBER, "0", line) for line in said] == [
        re.sub(NUMBER, "0", line) for line in marked(README, "train")[1:-1]
    ]


def test_every_gradient_check_is_in_the_table_and_counted():
    rows = re.findall(
        r"^\| (.+?) \| (\d+) \| (\S+) \|$", "\n".join(marked(page("gradient_checks.md"), "gradients")), re.M
    )
    assert [name for name, _, _ in rows] == list(cases())
    kept = readme.numbers()["gradients"]
    assert (kept["checks"], kept["entries"]) == (len(rows), sum(int(entries) for _, entries, _ in rows))
    assert f"{kept['worst_error']:.1e}" == max((error for _, _, error in rows), key=float)
    assert kept["worst_error"] < kept["allowed"] == 1e-7


def test_the_results_are_of_the_presets_as_they_are():
    table = "\n".join(marked(page("results.md"), "results"))
    rows = re.findall(
        r"^\| (\S+(?: --model \S+)?) \| ([\d,]+) \| (\d+) \| \*\*(\S+) %\*\* \| (.+?) \|", table, re.MULTILINE
    )
    assert [row[0] for row in rows] == list(readme.TRAINED)
    for name, parameters, epochs, mean, each in rows:
        runs, (preset, _, model) = readme.numbers()["presets"][name]["runs"], name.partition(" --model ")
        assert int(parameters.replace(",", "")) == tinyvit.parameter_count(preset_config(preset, model or None))
        assert int(epochs) == recipe_of(preset, model or "vit").epochs
        assert each.split(", ") == [f"{100 * run['test_accuracy']:.2f}" for run in runs]
        assert len(runs) == 3 and float(mean) == pytest.approx(sum(map(float, each.split(", "))) / 3, abs=0.011)


def test_the_results_of_text_are_of_the_recipes_as_they_are():
    rows = re.findall(
        r"^\| (\S.+?) \| ([\d,]+) \| (\d+) \|", "\n".join(marked(page("text.md"), "results")), re.MULTILINE
    )
    assert [row[0] for row in rows] == list(readme.TEXTS)
    read = functools.cache(read_text)
    for name, parameters, epochs in rows:
        data, _, model = name.partition(" --model ")
        model = model or USUAL_MODELS[data]
        entry, loaded = model_named(model), read(data)
        config = entry.preset(
            joined(loaded).dataset if "tokens" in entry.task.arrays(entry.config()) else loaded.dataset
        )
        assert int(parameters.replace(",", "")) == tinyvit.parameter_count(config)
        assert int(epochs) == recipe_of(data, model).epochs


def test_the_rows_that_it_loses_are_shown():
    ratios = [re.findall(r"\d\.\d\d\b(?! ms)", line) for line in marked(README, "speed")[2:]]
    assert any(float(ratio) > 1 for row in ratios for ratio in row)
    ours, theirs = (float(re.search(r"(\d+\.\d+) %", line)[1]) for line in marked(README, "results")[-2:])
    assert ours < theirs


def test_the_speed_shown_is_the_pages():
    lines = marked(page("speed.md"), "speed")
    for known in readme.numbers()["speed"].values():
        end = lines.index(known["where"])
        measured, lines = {tuple(line.split(" | ")[:6]) for line in lines[:end]}, lines[end + 1 :]
        for row in known["rows"]:
            cells = [str(row[name]) for name in ("batch", "cores", "task", "contender")]
            assert (f"| {row['model']}", *cells, f"{1000 * row['seconds']:,.1f}") in measured


def test_the_speed_in_short_is_the_pages_too():
    measured, lines = readme.numbers()["speed"], marked(page("speed.md"), "speed-in-short")
    assert lines == readme.in_short(measured), "run `python docs/measure.py readme`"
    for line in lines[2:]:
        model, batch, cores, task, *cells = line.strip("| ").split(" | ")
        where = {"model": model, "task": task, "batch": int(batch), "cores": int(cores)}
        for i, known in enumerate(measured.values()):
            found = {row["contender"]: row for row in known["rows"] if where.items() <= row.items()}
            if not found:
                assert cells[3 * i : 3 * i + 3] == ["–"] * 3
                continue
            _, eager, class_row = cells[3 * i : 3 * i + 3]
            assert eager.startswith("**") == (found["tinyvit"]["ratio"] > 1)
            slower = found["tinyvit"]["seconds"] > found["torch class row"]["seconds"]
            assert class_row.startswith("**") == slower and float(class_row.strip("*")) > 0


def test_whose_pictures_they_are_is_what_their_page_says():
    known = readme.numbers()["inside"]
    first = f"Of the model that `{known['command']}` trains, test accuracy {100 * known['test_accuracy']:.2f} %."
    assert marked(page("inside.md"), "inside")[0] == first


@pytest.mark.parametrize(("text", "folder"), [(README, "."), (CHINESE, "docs")], ids=["README", "README.zh"])
def test_every_link_inside_leads_somewhere(text, folder):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert len(links) > 30
    assert [link for link in links if not (ROOT / folder / link).exists()] == []


def test_the_chinese_readme_shows_the_same_code_and_leads_to_the_same_pages():
    english, chinese = (re.findall(r"^```\w.*?^```$", text, re.MULTILINE | re.DOTALL) for text in (README, CHINESE))
    assert english and chinese == english
    places = []
    for text, folder in ((README, ROOT), (CHINESE, ROOT / "docs")):
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
        places.append({(folder / link).resolve() for link in links} - {*readme.READMES.values()})
    assert places[0] - places[1] == set()


def test_the_chinese_readme_has_every_section_and_its_own():
    english, chinese = (re.findall("^## (.+)", text, re.MULTILINE) for text in (README, CHINESE))
    own = [title for title in chinese if title.startswith(OWN) or "中国大陆" in title]
    assert len(own) == len(OWN)
    assert len(chinese) == len(english) + len(own)
    assert len(re.findall(r"^\| .+ \| .+ \|$", page("questions.zh.md"), re.MULTILINE)) > 20
    assert not re.search("[「」]|类别标记|逐比特", CHINESE), "the words that the field has"


def test_ci_runs_the_command_that_the_readme_gives():
    commands = [line for line in README.splitlines() if "-m pytest" in line]
    assert len(commands) == 1 and commands[0] in blocks("sh")[1]
    assert commands[0].startswith("python3 -m venv .venv && "), "it starts from a fresh clone"
    assert "grep -m 1 -- '-m pytest' README.md" in (ROOT / ".ci/run").read_text(encoding="utf-8")
