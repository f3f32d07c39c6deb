"""The notebooks as a reader, papermill and nbval need them; and each one run live on the miniature."""

from __future__ import annotations

import ast
import html
import itertools
import json
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

from helpers import paths
from helpers.publish import notebooks

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
FACES = {"chapters", "figures", "markdown", "run", "study"}
"""What a reader of a notebook meets of helpers."""
MOST_LINES = 450
"""Of all the notebooks' code together."""

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def texts(cell: nbformat.NotebookNode) -> str:
    """Everything that a cell's outputs say, but the pixels of its pictures."""
    every = [shown for output in cell.outputs for shown in output.get("data", {}).values()]
    shown = [each if isinstance(each, str) else json.dumps(each) for each in every]
    shown += [output["text"] for output in cell.outputs if "text" in output]
    return "\n".join(re.sub(r"base64,[^\"]*", "", text) for text in shown)


def test_the_series_is_complete() -> None:
    first = "01_data 02_baseline 03_forgetting 04_finetune 05_mixup 06_tta 07_beyond 08_verdict".split()
    assert [path.stem for path in NOTEBOOKS] == [*first, "09_elsewhere", "10_batchnorm", "11_growth"]


@each
def test_papermill_shows_every_parameter_with_type_and_help(path: Path) -> None:
    (cell,) = [cell for cell in code(path) if "parameters" in tags(cell)]
    stated = {line.target.id: line for line in ast.parse(cell.source).body}
    seen = papermill.inspect_notebook(path)
    assert list(seen) == list(stated) and {"dataset", "scale"} <= set(seen)
    for name, parameter in seen.items():
        value = ast.literal_eval(parameter["default"])
        assert ast.literal_eval(stated[name].value) == value, name
        assert type(value).__name__ == parameter["inferred_type_name"], name
        assert len(parameter["help"]) > 10, name


@each
def test_it_opens_with_a_title_and_a_question(path: Path) -> None:
    title, question = read(path).cells[0].source.split("\n\n")[:2]
    assert title.startswith("# ") and question.endswith("?")


@each
def test_it_runs_on_the_common_kernel_and_keeps_no_trace_of_the_machine(path: Path) -> None:
    metadata = read(path).metadata
    assert metadata.kernelspec.name == "python3"
    assert set(metadata) <= {"kernelspec", "language_info"}
    for cell in read(path).cells:
        assert not {"execution", "papermill"} & set(cell.metadata)
        said = texts(cell) if cell.cell_type == "code" else ""
        assert not re.search(r"(?<![\w.])/(root|home|work|tmp|Users)/", cell.source + said)


@each
def test_cells_are_short_and_define_nothing(path: Path) -> None:
    for cell in code(path):
        assert count_lines(cell.source) <= 15, cell.source
        nodes = list(ast.walk(ast.parse(cell.source)))  # a magic is no Python and fails here
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
        assert not [node for node in nodes if isinstance(node, kinds)], cell.source


def count_lines(source: str) -> int:
    """Lines of code; a text literal counts as one, however many it spans."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.Constant, ast.JoinedStr))]
    within = {line for node in nodes for line in range(node.lineno + 1, (node.end_lineno or 0) + 1)}
    return len(source.splitlines()) - len(within)


def test_a_text_literal_counts_as_one_line() -> None:
    assert count_lines('say(f"""one {two}\nthree\n{four}""")') == 1
    assert count_lines('one = 1\nsay("""two\nthree""", four=[\n    5,\n])') == 4


COMPREHENSIONS = ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp


@each
def test_a_cell_is_something_to_learn_from(path: Path) -> None:
    for cell in code(path):
        source, nodes = cell.source, list(ast.walk(ast.parse(cell.source)))
        assert sum(isinstance(node, COMPREHENSIONS) for node in nodes) <= 1, source
        if "parameters" not in tags(cell):
            assert count_lines(source) <= 6, f"over 6 lines: divide it, or compute in chapters:\n{source}"
            assert max(map(len, source.splitlines())) <= 88, f"a line of over 88 columns: break it:\n{source}"


@each
def test_it_meets_nothing_but_the_face(path: Path) -> None:
    nodes = [node for cell in code(path) for node in ast.walk(ast.parse(cell.source))]
    (line,) = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert isinstance(line, ast.ImportFrom) and line.module == "helpers"
    assert {alias.name for alias in line.names} <= FACES


def test_all_cells_together_are_short() -> None:
    counts = [count_lines(cell.source) for path in NOTEBOOKS for cell in code(path)]
    cure = "compute in helpers/chapters, or say it in a text that is there: a text counts as one line"
    assert sum(counts) <= MOST_LINES and statistics.median(counts) <= 3, f"{sum(counts)} lines: {cure}"


@each
def test_no_result_is_typed_into_prose(path: Path) -> None:
    prose = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    assert not re.findall(r"\d+\.\d+|\d+ ?%|\d+ (?:per cent|points)", prose)


@each
def test_every_cell_that_ends_in_a_value_shows_it(path: Path) -> None:
    shown = 0
    for cell in code(path):
        last = ast.parse(cell.source).body[-1]
        if isinstance(last, ast.Expr) or "nbval-check-output" in tags(cell):
            assert texts(cell).strip(), cell.source
            shown += 1
    assert shown and any("nbval-check-output" in tags(cell) for cell in code(path))


@each
def test_code_is_folded(path: Path) -> None:
    open_ones = [cell.source for cell in code(path) if not {"hide-input", "hide-cell"} & set(tags(cell))]
    assert not open_ones, f"tag these cells hide-input: {open_ones}"


@each
def test_all_of_it_was_executed_in_order_and_in_silence(path: Path) -> None:
    counts = [cell.execution_count for cell in code(path)]
    cure = f"run `python -m helpers notebook {path.stem} --in-place`"
    assert counts == list(range(1, len(counts) + 1)), cure
    kinds = {output.get("name", output.output_type) for cell in code(path) for output in cell.outputs}
    assert not {"stderr", "error"} & kinds


@each
def test_every_picture_says_what_it_shows(path: Path) -> None:
    for cell in code(path):
        for output in cell.outputs:
            data = output.get("data", {})
            assert "image/png" not in data, "style.display gives a figure its alternative text"
            for image in re.findall(r"<img[^>]*>", data.get("text/html", "")):
                assert re.search(r'alt="[^"]{40,}"', image), image[-200:]


CHAPTERS = [path for path in NOTEBOOKS if path.stem < "10"]
"""From 10 on they are appendices."""


@pytest.mark.parametrize("here, following", list(itertools.pairwise(CHAPTERS)), ids=lambda path: path.stem)
def test_it_ends_with_a_summary_and_the_way_on(here: Path, following: Path) -> None:
    last = read(here).cells[-1].source
    assert "## Summary" in last or here.stem in ANSWERED
    assert f"]({following.name})" in last


# The story ----------------------------------------------------------------------------------------

ANSWERED: dict[str, int] = {
    "01_data": 700,
    "02_baseline": 700,
    "03_forgetting": 1500,
    "04_finetune": 1100,
    "05_mixup": 450,
    "06_tta": 450,
    "07_beyond": 900,
    "08_verdict": 1200,
    "09_elsewhere": 900,
    "10_batchnorm": 1500,
    "11_growth": 700,
}
"""Notebooks that open with their answer, by name: the most words that each may have."""
FIRST_WORDS = 120
LESSON = "## What it means for your own work"
MEASURED = r"\d%|\d points|\d min\b|\d s\b|\d times|p [<=] 0"


def words(*cells: nbformat.NotebookNode) -> list[str]:
    """The words of cells' texts and of the texts that they computed; no table, no code, nothing folded."""
    found: list[str] = []
    for cell in cells:
        outputs = "\n".join(
            output.get("data", {}).get("text/markdown", "") for output in cell.get("outputs", [])
        )
        text = cell.source if cell.cell_type == "markdown" else outputs
        text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        lines = [line for line in text.splitlines() if not line.startswith("|")]
        found += [] if "hide-cell" in tags(cell) else re.findall(r"\S*\w\S*", "\n".join(lines))
    return found


def faults(book: nbformat.NotebookNode) -> list[str]:
    """What keeps a notebook from telling its answer first and its lesson with a number; of any length."""
    cells, found = book.cells, []
    heads = [
        n for n, cell in enumerate(cells) if cell.cell_type == "markdown" and cell.source.startswith("## ")
    ]
    answers = [n for n, cell in enumerate(cells) if "answer" in tags(cell)]
    if len(answers) != 1 or not re.search(MEASURED, texts(cells[answers[0]])):
        return ["one cell is tagged answer and says something measured"]
    if len(words(*cells[: answers[0] + 1])) > FIRST_WORDS:
        found.append(f"the answer stands within the first {FIRST_WORDS} words")
    if not any("<img" in texts(cell) for cell in cells[answers[0] : heads[0]] if cell.cell_type == "code"):
        found.append("a figure stands between the answer and the first section")
    lessons = [n for n in heads if cells[n].source.startswith(LESSON)]
    after = [n for n in [*heads, len(cells)] if lessons and n > lessons[0]]
    told = (
        [texts(cell) for cell in cells[lessons[0] : after[0]] if cell.cell_type == "code"] if lessons else []
    )
    if not re.search(MEASURED, "\n".join(told)):
        found.append(f"the section {LESSON!r} says something measured")
    return found


@pytest.mark.parametrize("name", ANSWERED)
def test_the_answer_stands_first(name: str) -> None:
    """In its first words, beside its figure; and the lesson, below, holds a measured number as well."""
    (book,) = [read(path) for path in NOTEBOOKS if path.stem == name]
    assert not faults(book)
    assert len(words(*book.cells)) < ANSWERED[name], "more words than this chapter may have: leave some out"


def test_what_keeps_an_answer_from_standing_first() -> None:
    def shown(tag: str, **data: str) -> nbformat.NotebookNode:
        output = nbformat.v4.new_output(
            "display_data", {kind.replace("_", "/"): x for kind, x in data.items()}
        )
        return nbformat.v4.new_code_cell("it", outputs=[output], metadata={"tags": [tag]})

    def book(**changes: Any) -> nbformat.NotebookNode:
        text = nbformat.v4.new_markdown_cell
        cells = {"opening": text("# It\n\nIs it?"), "answer": shown("answer", text_markdown="It is: 87%.")}
        cells |= {
            "figure": shown("hide-input", text_html="<img>"),
            "evidence": text("## How"),
            "lesson": text(LESSON),
        }
        cells |= {
            "told": shown("hide-input", text_markdown="By 3 points.\n\n| a | 4 |"),
            "next": text("## Next"),
        }
        return nbformat.v4.new_notebook(cells=list({**cells, **changes}.values()))

    assert not faults(book()) and len(words(*book().cells)) == 18
    said = shown("hide-input", text_markdown="By much.")
    empty, long = nbformat.v4.new_markdown_cell(""), nbformat.v4.new_markdown_cell("word " * 120)
    for change, fault in [
        ({"answer": shown("answer", text_markdown="It is.")}, "measured"),
        ({"answer": empty}, "one cell is tagged"),
        ({"opening": long}, "within the first"),
        ({"figure": empty}, "a figure"),
        ({"told": said}, "says something measured"),
        ({"lesson": empty}, "says something measured"),
    ]:
        (found,) = faults(book(**change))
        assert fault in found


def test_the_figures_are_those_of_the_notebooks_at_full_scale() -> None:
    full = [path for path in NOTEBOOKS if notebooks.parameters(path)["scale"]["default"] == "full"]
    shown = {name: picture for path in full for name, picture in notebooks.pictures(path).items()}
    stored = {path.name: path.read_bytes() for path in paths.FIGURES.glob("*")}
    other = sorted(name for name in stored | shown if stored.get(name) != shown.get(name))
    assert not other, f"{other}: run `python -m helpers notebook NN --in-place`, and remove what it left out"


# Live ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Results and cache of these tests alone, shared between the notebooks as they are in a report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPORT_RESULTS", str(tmp_path_factory.mktemp("results")))
        patch.setenv("REPORT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("CIFAR10_DIR", raising=False)
        patch.delenv("MOBILENETV2_WEIGHTS", raising=False)
        yield


@each
def test_it_runs_live_on_the_miniature_and_says_so(path: Path, own_results: None, tmp_path: Path) -> None:
    parameters: dict[str, Any] = {"dataset": "miniature", "scale": "smoke"}
    if "seeds" in papermill.inspect_notebook(path):
        parameters["seeds"] = 2
    notebooks.execute(path, tmp_path / path.name, parameters, progress_bar=False)
    cells = code(tmp_path / path.name)
    assert "miniature" in "\n".join(texts(cell) for cell in cells).lower()
    pictures = [html.unescape(text) for cell in cells for text in re.findall(r'alt="([^"]*)"', texts(cell))]
    assert all("Miniature" in text or "the study's log" in text for text in pictures)
