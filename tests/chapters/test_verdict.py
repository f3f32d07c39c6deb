"""Chapter 8's facts, on made-up runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from helpers.chapters import verdict
from helpers.experiment import Experiment, ExperimentError
from helpers.records.run import Run
from helpers.study import experiments
from helpers.study.experiments import BASELINE, CAREFUL, TABLE

Make = Callable[..., Run]
WHERE: dict[str, Any] = {"dataset": "cifar10", "scale": "full", "seed": 42}
LOGGED, PUBLISHED = (TABLE[f"3e-4, as {kind}"] for kind in ("logged", "published"))


def record(make_run: Make, experiment: Experiment, test: float = 0.9, **more: Any) -> Run:
    return make_run(test, **asdict(experiment), **more)


# ---------------------------------------------------------------------------- the chapter


@pytest.fixture
def table(make_run: Make) -> None:
    for seed, share in ((42, 0.90), (0, 0.92)):
        record(make_run, CAREFUL.replace(seed=seed), share)
    record(make_run, BASELINE, 0.88)


def test_a_row_has_its_seeds_their_spread_and_its_gain(table: None) -> None:
    ch = verdict.load(**WHERE)
    assert list(ch.rows) == ["frozen network", "careful fine-tune"] and len(ch.runs) == 3
    careful, frozen = ch.rows["careful fine-tune"], ch.rows["frozen network"]
    assert careful.seeds == [42, 0] and careful.spread == pytest.approx(0.02) and careful.gain is None
    assert frozen.spread == 0 and frozen.gain is not None
    assert frozen.gain.value == pytest.approx(-0.02) and str(frozen.mean).startswith("88.0%")
    assert ch.widest == pytest.approx(0.02) and ch.closest == pytest.approx(0.048)
    assert list(ch.published) == list(ch.rows)


def test_of_a_single_row_nothing_is_apart(make_run: Make) -> None:
    row = record(make_run, CAREFUL)
    alone = verdict.Verdicts([], [], [], {"careful fine-tune": [row]}, {"careful fine-tune": 0.9})
    assert (alone.widest, alone.closest) == (0.0, 0.0)


def test_the_miniature_is_judged_by_no_claim_and_no_published_figure(table: None, make_run: Make) -> None:
    for row in (BASELINE, CAREFUL):
        record(make_run, experiments.for_notebook(row, dataset="miniature", scale="smoke"))
    drawn = verdict.load(dataset="miniature", scale="smoke", seed=42)
    assert not drawn.claims and not drawn.published
    assert not drawn.changes and drawn.above == (0, 0)
    assert {run.dataset for run in drawn.runs} == {"miniature"}


def test_verdicts_are_counted_with_their_tests_and_their_short_runs(table: None, make_run: Make) -> None:
    for size in (32, 64, 128):
        record(make_run, experiments.BATCH_SIZES[str(size)].replace(**experiments.SCREENING))
    ch = verdict.load(**WHERE)
    assert sum(map(int, re.findall(r"\d+", ch.tally))) == len(ch.claims)
    assert "1 not tested fairly" in ch.tally and ch.short == ["C11"]
    cells = {row[0]: row[-1] for row in ch.listed}
    assert cells["[C11](04_finetune.ipynb)"] == "1, short" and "short" not in cells["[C5](04_finetune.ipynb)"]
    assert sum(map(int, re.findall(r"\d+", ch.tally_before))) == len(ch.claims) - 2, "C4 was one"
    assert "not tested fairly" not in ch.tally_before
    assert ch.tests == sum(int(row["tests"]) for row in ch.claims) >= 3


def test_runs_above_what_was_published_are_counted(table: None) -> None:
    """Careful fine-tunes at 90% and 92% beside 91.6%, a frozen network at 88% beside 86.8%."""
    ch = verdict.load(**WHERE)
    assert ch.above == (2, 3)
    assert ch.surplus["frozen network"] == pytest.approx(0.012) and ch.surplus[
        "careful fine-tune"
    ] == pytest.approx(-0.006)


def test_a_changed_rule_stands_with_both_outcomes(table: None, make_run: Make) -> None:
    for size in (32, 64, 128):
        record(make_run, experiments.BATCH_SIZES[str(size)].replace(**experiments.SCREENING))
    changes = {row[0]: row for row in verdict.load(**WHERE).changes}
    assert changes["C11"][-2:] == ("partly", "not tested fairly")
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", row[1]) for row in changes.values())


def test_a_refused_record_is_named(table: None, make_run: Make) -> None:
    other = record(make_run, Experiment(dropout=0.4)).path
    assert not verdict.load(**WHERE).refused
    other.write_text(other.read_text().replace("0.4", "0.5", 1))
    ((path, reason),) = verdict.load(**WHERE).refused
    assert path == other and "edited" in reason


def test_a_wrong_parameter_is_refused_before_anything_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict.run, "run", lambda *_: pytest.fail("trained"))
    with pytest.raises(ExperimentError, match="seed=-1"):
        verdict.load(**{**WHERE, "seed": -1})
