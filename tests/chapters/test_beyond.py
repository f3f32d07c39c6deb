"""Chapter 7's facts from made-up runs, on both sides of every condition."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import made
import numpy as np
import pytest

from helpers import run
from helpers.analysis import groups
from helpers.chapters import beyond
from helpers.chapters.beyond import Beyond, Choice, Runs
from helpers.data import cifar10h
from helpers.data.split import Split
from helpers.experiment import Experiment, ExperimentError
from helpers.records.run import Run
from helpers.study import experiments
from helpers.study.experiments import BEST, FAST, IN_STUDY_TIME, LADDER, ONE_PASS

Make = Callable[..., Run]
WHERE: dict[str, Any] = {"dataset": "cifar10", "scale": "full", "seed": 42, "target": 0.9}


def record(
    make_run: Make, experiment: Experiment, test: float = 0.9, seconds: float = 1000.0, **more: Any
) -> Run:
    times = {"timing_sec": {**made.SECONDS, "total": seconds}}
    return make_run(test, content=times, **asdict(experiment), **more)


@pytest.fixture
def ladder(make_run: Make) -> dict[str, Run]:
    """Each rung two points above the one below, but for the last but one, which stays where it is."""
    shares = (0.80, 0.82, 0.84, 0.86, 0.88, 0.88, 0.90)
    return {name: record(make_run, LADDER[name], share) for name, share in zip(LADDER, shares, strict=True)}


def load(**changes: Any) -> Beyond:
    return beyond.load(**{**WHERE, **changes})


def test_the_ladder_is_compared_rung_by_rung(ladder: dict[str, Run]) -> None:
    ch = load()
    assert list(ch.rungs) == list(ch.changes) == list(LADDER) and ch.reaches_depth and ch.is_published
    assert ch.changes["frozen network"] == "n_unfreeze 0"
    assert ch.changes["products in bfloat16"] == "precision bfloat16"
    assert list(ch.rungs.steps()) == list(LADDER)[1:]
    assert [round(each, 2) for each in ch.rungs.shares()] == [0.80, 0.82, 0.84, 0.86, 0.88, 0.88, 0.90]
    steps = {name: step.low > 0 for name, step in ch.rungs.steps().items()}
    assert [name for name, gains in steps.items() if not gains] == ["shifts and flips alone"]
    assert (
        ch.start.id == ladder["the study's fine-tune"].id
        and ch.top.id == ladder["more than twice as deep"].id
    )


def test_a_loss_and_what_validation_finds_otherwise_are_named(make_run: Make) -> None:
    rungs = {
        "frozen network": record(make_run, LADDER["frozen network"], 0.9, val=0.8),
        "the study's fine-tune": record(make_run, LADDER["the study's fine-tune"], 0.8, val=0.9),
    }
    ch = Beyond(Runs(rungs), Runs(), Runs(), Runs(), {}, None, None, made.published_log(), "cifar10")
    assert ch.rungs.steps()["the study's fine-tune"].high < 0
    assert ch.found_otherwise == ["the study's fine-tune"] and not ch.reaches_depth
    same = Runs(dict(zip(rungs, [ch.start, ch.start], strict=True)))
    assert not Beyond(
        same, Runs(), Runs(), Runs(), {}, None, None, made.published_log(), "cifar10"
    ).found_otherwise


def test_plain_keras_and_the_studys_log_stand_beside_published_runs_alone(
    ladder: dict[str, Run], make_run: Make
) -> None:
    ch = load()
    assert len(ch.plain_minutes) == len(LADDER) and ch.plain_minutes[1] > ch.plain_minutes[0]
    assert "a quick recipe (below)" not in ch.accuracy_by_time()
    record(make_run, FAST)
    lines = load().accuracy_by_time()
    assert len(lines) == 5 and "the study's log, on a GPU" in lines
    plain, ours = lines["the protocol, plain Keras (computed)"], lines["the study's protocol"]
    assert (plain[1] == ours[1]).all() and len(plain[0]) == len(ours[0]) == 2
    for name, each in list(LADDER.items())[:3]:
        record(make_run, experiments.for_notebook(each, dataset="miniature", scale="smoke"))
        assert name in ch.rungs
    small = load(dataset="miniature", scale="smoke")
    assert list(small.rungs) == list(LADDER)[: beyond.SMOKE_RUNGS] and not small.reaches_depth
    assert not small.is_published and small.plain_minutes == []
    assert list(small.accuracy_by_time()) == ["the study's protocol", "top of the ladder"]
    assert not (small.rates or small.quick or small.long or small.choose({400: 0.9}))


def test_neighbouring_rates_are_those_of_the_same_optimizer(ladder: dict[str, Run], make_run: Make) -> None:
    assert load().neighbours == []
    shares = (0.9, 0.895, 0.8, 0.7)
    for each, share in zip(experiments.RECIPES["rates"], shares, strict=True):
        record(make_run, each, 0.9, val=share)
    ch = load()
    assert [round(test.difference, 3) for test in ch.neighbours] == [0, -0.1] and ch.clearly_below == 1
    assert list(ch.rates) == [
        "AdamW at 3e-4",
        "learning_rate 0.0001",
        "learning_rate 0.001",
        "optimizer sgd, learning_rate 0.002",
    ]


def test_the_choice_falls_on_the_best_on_validation_of_those_in_time(
    ladder: dict[str, Run], make_run: Make
) -> None:
    record(make_run, ONE_PASS, 0.95, seconds=300, val=0.91)
    record(make_run, FAST, 0.93, seconds=390, val=0.92)
    record(make_run, FAST.replace(seed=0), 0.92, seconds=380, val=0.92)
    record(make_run, IN_STUDY_TIME, 0.94, seconds=900, val=0.95)
    ch = load()
    soon, later, none = {400: 0.92}, {400: 0.92, 937: 0.94}, {100: 0.5}
    assert ch.choose(none) == []
    (quick,) = ch.choose(soon)
    assert (
        quick.seeds.times() == [390, 380]
        and quick.name == "image_size 128, epochs 2, augmentation flip, views 2"
    )
    assert [round(share, 3) for share in quick.seeds.shares()] == [0.93, 0.92] and quick.told == "reached"
    assert [each.limit for each in ch.choose(later)] == [400, 937]
    assert {each.id for each in ch.records} >= {row.id for row in (ch.start, quick.seeds["0"], ch.log)}


@pytest.mark.parametrize("limit, hoped, reached", [(400, 0.9, True), (390, 0.9, False), (400, 0.91, False)])
def test_a_goal_is_missed_by_a_seed_too_late_or_too_low(
    make_run: Make, limit: int, hoped: float, reached: bool
) -> None:
    seeds = Runs(
        {"42": record(make_run, FAST, 0.95, 380), "0": record(make_run, FAST.replace(seed=0), 0.9, 400)}
    )
    choice = Choice(limit, hoped, "a recipe", seeds)
    assert choice.reached is reached and choice.told == ("reached" if reached else "missed")


def test_best_in_time_is_none_where_all_are_late(make_run: Make) -> None:
    runs = {"a": record(make_run, FAST, 0.9, 10), "b": record(make_run, ONE_PASS, 0.9, 20)}
    assert [groups.best_in_time(runs, seconds) for seconds in (9, 10, 20)] == [None, "a", "a"]


def test_the_top_takes_the_best_networks_place_where_that_is_missing(
    ladder: dict[str, Run], make_run: Make
) -> None:
    ch = load()
    assert ch.found_best is None and ch.best is ch.top and list(ch.pair)[1] == "top of the ladder"
    record(make_run, experiments.LONGER, 0.9, val=0.93)
    record(make_run, BEST, 0.95, val=0.92)
    ch = load()
    assert list(ch.pair.values()) == [ch.start, ch.found_best] and list(ch.pair)[1] == "the best network"
    assert not ch.best_leads
    assert list(ch.calibration) == list(ch.pair)
    record(make_run, BEST, 0.95, val=0.94)
    assert load().best_leads
    assert beyond.errors_left(0.92, 0.96) == pytest.approx(0.5)


def test_images_come_in_the_order_of_the_records_rows(
    make_run: Make, monkeypatch: pytest.MonkeyPatch, ladder: dict[str, Run]
) -> None:
    monkeypatch.setattr(beyond.cifar10, "locate", lambda: None)
    assert load().answers is None and load().people is None
    rungs = {
        name: record(make_run, experiments.for_notebook(each, dataset="miniature", scale="smoke"))
        for name, each in list(LADDER.items())[:3]
    }
    ch = Beyond(Runs(rungs), Runs(), Runs(), Runs(), {}, None, None, made.published_log(), "miniature")
    assert ch.answers is not None
    drawn = beyond.sources.load(ch.top.experiment).test
    first = np.flatnonzero(drawn.labels == 0)
    assert (ch.answers[0][: len(first)] == drawn.images[first]).all()
    assert ch.people is None  # nobody was asked about these


def test_people_stand_beside_full_runs_of_cifar10(
    ladder: dict[str, Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    official = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 200))
    np.save(tmp_path / cifar10h.FILE, 50 * np.eye(10, dtype=int)[official])
    digest = hashlib.sha256((tmp_path / cifar10h.FILE).read_bytes()).hexdigest()
    monkeypatch.setattr(cifar10h, "SHA256", digest)
    monkeypatch.setenv("CIFAR10H_DIR", str(tmp_path))
    ch = load()
    vars(ch)["_test"] = Split(np.zeros((2000, 1, 1, 3), np.uint8), official)
    assert ch.people is not None and ch.people.agreed.min() == 1
    assert ch.people.errors == ch.people.clear_errors == 200  # a tenth of its answers


@pytest.mark.parametrize("wrong", [{"target": 91.56}, {"target": 0.0}, {"seed": -1}, {"scale": "huge"}])
def test_a_wrong_parameter_is_refused_before_anything_trains(
    wrong: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "run", lambda *_: pytest.fail("trained"))
    with pytest.raises(ExperimentError, match=next(iter(wrong))):
        load(**wrong)
