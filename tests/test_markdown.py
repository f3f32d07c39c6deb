"""What the notebooks say, and above all what they refuse to leave unsaid."""

import re
import sys
from pathlib import Path

import pytest
import scrapbook
from made import MINIATURE, run_without_files

from helpers import markdown, paths, text
from helpers.analysis import intervals
from helpers.experiment import Experiment
from helpers.records import store
from helpers.study import claims, experiments

FACTS = (
    "full scale on cifar10",
    "quick scale",
    "Some CPU, threads: 2",
    "keras 3.12",
    "Python 3.12",
    "n0_s0-abc",
    "n0_s0-def",
)
BASELINE = Experiment(n_unfreeze=0, seed=0)
FULL = run_without_files(BASELINE, id="abc")
QUICK = run_without_files(BASELINE.replace(scale="quick"), id="def")
MINIATURE_RUN = run_without_files(BASELINE.replace(**MINIATURE))


def test_shares_and_differences_are_text() -> None:
    assert text.percent(0.9156) == "91.6%" and text.percent(0.9156, 2) == "91.56%"
    assert text.points(0.0034) == "+0.3 points" and text.points(-0.01) == "-1.0 points"
    assert text.beside(0.035) == "3.5 points above" and text.beside(-0.02) == "2.0 points below"


def test_several_numbers_are_listed_or_given_by_their_ends() -> None:
    assert text.listed([0.924, 0.93]) == "92.4%, 93.0%" and text.listed([1280, 256], ",") == "1,280, 256"
    assert text.span([0.5, 0.1, 0.3]) == "10.0% to 50.0%" and text.span([0.101, 0.104], ".0%") == "10%"


def test_a_table_is_written_line_by_line() -> None:
    lines = markdown.rows("run | test", [("a|b", 1), ("c", 2)])
    assert lines.data.splitlines()[2] == r"| a\|b | 1 |"
    shown = markdown.rows("run | shares | channels", [("a", [0.5, 0.25], 1280)]).data.splitlines()[2]
    assert shown == "| a | 50.0%, 25.0% | 1,280 |"
    with pytest.raises(ValueError):
        markdown.rows("run | test", [("too short",)])


def test_an_answer_is_three_paragraphs_and_says_first_what_it_is_not() -> None:
    assert markdown.answer(FULL, "It holds:\n87%.", "By far.", "Once.").data == (
        "> It holds: 87%.\n>\n> By far.\n>\n> Once."
    )
    said = markdown.answer(MINIATURE_RUN, "It holds.", "By far.", "Once.").data
    assert said.startswith("> **Miniature") and said.endswith("> Once.")


def test_shares_are_apart_only_where_their_intervals_are() -> None:
    low, high = intervals.proportion(0.84, 5000), intervals.proportion(0.90, 5000)
    between = intervals.proportion(0.845, 5000)
    assert intervals.describe_change(low, high, "up", "down", "same") == "up"
    assert intervals.describe_change(high, low, "up", "down", "same") == "down"
    assert intervals.describe_change(low, between, "up", "down", "same") == "same"


def test_provenance_names_scale_machine_versions_and_records() -> None:
    line = markdown.provenance(FULL, QUICK).data
    for fact in FACTS:
        assert fact in line
    assert line.count("Some CPU") == 1  # once a machine, not once a run
    assert line.startswith("*Where the numbers come from.* **Quick scale")
    assert "full scale on cifar10" in line and "quick scale on cifar10" in line


def test_scrapbook_reads_accuracies_from_an_executed_notebook() -> None:
    runs = map(store.read, store.paths(paths.RESULTS, below=True))
    from_records = {run.path.stem: {"val": run.val_accuracy, "test": run.test_accuracy} for run in runs}
    for path in sorted(paths.NOTEBOOKS.glob("*.ipynb")):
        if scraps := scrapbook.read_notebook(str(path)).scraps:
            shown = scraps["accuracies"].data
            assert shown and shown == {name: from_records[name] for name in shown}
        else:
            assert path.stem in ("01_data", "11_growth")  # which train nothing


def test_provenance_warns_of_the_miniature_and_of_small_scales() -> None:
    assert "**Miniature" in markdown.provenance(MINIATURE_RUN).data
    assert "**Quick scale" in markdown.provenance(QUICK).data
    assert "**" not in markdown.provenance(FULL).data


def test_no_published_figure_stands_beside_the_miniature() -> None:
    assert "89.5%" in markdown.published_figures("C3") and "89.5%" in markdown.published_figures(
        "C3", beside=FULL
    )
    assert markdown.published_figures("C3", beside=MINIATURE_RUN) == ""
    told = markdown.at_stake("04_finetune", "cifar10").data
    assert "89.5%" in told
    by_claim = {line.split(" | ")[0]: line for line in told.splitlines()}
    assert "Changed on 2026-11-28: [chapter 8]" in by_claim["| C11"]
    assert "Changed" not in by_claim["| C3"]
    split = {
        line.split(" | ")[0]: line for line in markdown.at_stake("03_forgetting", "cifar10").data.splitlines()
    }
    assert "Changed" in split["| C4a"] and "Changed" not in split["| C4b"], "it kept its rule"
    assert not re.search(r"\d", markdown.at_stake("04_finetune", "miniature").data.replace("CIFAR-10", ""))


def test_published_accuracies_are_named_as_the_studys_table() -> None:
    assert list(claims.TEST_ACCURACY) == list(experiments.TABLE)


@pytest.mark.parametrize("first, second, said", [(0, 40, "better"), (40, 0, "worse"), (21, 20, "neither")])
def test_a_finding_needs_an_interval_clear_of_zero(first: int, second: int, said: str) -> None:
    old = [True] * first + [False] * second + [True] * 900
    new = [False] * first + [True] * second + [True] * 900
    assert intervals.describe_difference(intervals.paired(old, new), "better", "worse", "neither") == said


def test_words_are_counted_and_a_single_run_has_its_word_alone() -> None:
    assert text.count_words(["worse", "better", "worse"]) == "worse (2 of 3), better (1 of 3)"
    assert text.count_words(["worse"] * 3) == "worse (all 3)"
    assert text.count_words(["worse"]) == "worse"


# The package's own source --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, begins",
    [
        ("engine.model.head", "def head("),
        ("records.run.Run.probabilities", "def probabilities("),
        ("experiment.Scale", "@dataclass(frozen=True)\nclass Scale:"),
    ],
)
def test_the_source_that_is_shown_is_the_files_own(name: str, begins: str) -> None:
    shown = re.fullmatch(r"From `(.+)`:\n\n```python\n(.+)\n```", markdown.source(name).data, re.DOTALL)
    assert shown and shown[2].startswith(begins)
    lines = Path(markdown.PACKAGE.parent, shown[1]).read_text().splitlines()
    stripped = [line.strip() for line in lines]
    first = stripped.index(begins.splitlines()[0]) if begins[0] == "@" else 0
    own = shown[2].splitlines()
    places = [n for n in range(first, len(lines)) if stripped[n : n + len(own)] == [o.strip() for o in own]]
    assert len(places) == 1
    following = next(filter(str.strip, lines[places[0] + len(own) :]))
    assert not following.startswith((" " * 8, ")"))  # it ends where the function ends
    assert shown[2].count(" return ") or shown[2].startswith("@")


def test_showing_what_needs_keras_does_not_import_it() -> None:
    before = set(sys.modules)
    markdown.source("engine.backbones.unfrozen")
    assert "helpers.engine.backbones" not in set(sys.modules) - before


@pytest.mark.parametrize(
    "name, said",
    [
        ("engine.model.haed", "model.py has no 'haed'; did you mean 'head'?"),
        ("engine.modle.head", "did you mean 'model'?"),
        ("engine.model", "names no function.*'engine.model.head'"),
        ("engine", "names no function"),
        ("records.run.Run.x", "run.py has no 'x'; known:"),
    ],
)
def test_a_source_that_is_not_there_is_refused_with_what_is(name: str, said: str) -> None:
    with pytest.raises(markdown.SourceError, match=said):
        markdown.source(name)
