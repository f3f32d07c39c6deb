"""Chapter 7's facts from made-up runs, on both sides of every condition."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import made
import numpy as np
import pytest

from helpers import run
from helpers.analysis import speed
from helpers.chapters import beyond
from helpers.chapters.beyond import Beyond, Runs
from helpers.data import cifar10h
from helpers.data.split import Split
from helpers.experiment import Experiment, ExperimentError
from helpers.records.run import Run
from helpers.study import experiments
from helpers.study.experiments import BEST, FAST, LADDER

Make = Callable[..., Run]
WHERE: dict[str, Any] = {"dataset": "cifar10", "scale": "full", "seed": 42, "target": 0.9}


LEVEL = "shifts and flips alone"
SHARES = dict(zip(LADDER, 0.78 + np.cumsum([0.02 * (name != LEVEL) for name in LADDER]), strict=True))


def record(
    make_run: Make, experiment: Experiment, test: float = 0.9, seconds: float = 1000.0, **more: Any
) -> Run:
    content = {"timing_sec": {**made.SECONDS, "total": seconds}, **more.pop("content", {})}
    return make_run(test, content=content, **asdict(experiment), **more)


@pytest.fixture
def ladder(make_run: Make) -> dict[str, Run]:
    """Each rung two points above the one below, but for LEVEL, which stays where it is."""
    return {name: record(make_run, LADDER[name], share) for name, share in SHARES.items()}


def load(**changes: Any) -> Beyond:
    return beyond.load(**{**WHERE, **changes})


def test_the_ladder_is_compared_rung_by_rung(ladder: dict[str, Run]) -> None:
    ch = load()
    assert list(ch.rungs) == list(ch.changes) == list(LADDER) and ch.reaches_depth and ch.is_published
    assert ch.changes["frozen network"] == "n_unfreeze 0"
    assert ch.changes["products in bfloat16"] == "precision bfloat16"
    assert list(ch.rungs.steps()) == list(LADDER)[1:]
    assert [each.value for each in ch.rungs.accuracies()] == pytest.approx(list(SHARES.values()))
    steps = {name: step.low > 0 for name, step in ch.rungs.steps().items()}
    assert [name for name, gains in steps.items() if not gains] == [LEVEL]
    assert ch.start.id == ladder["careful fine-tune"].id and ch.top.id == list(ladder.values())[-1].id


def test_a_loss_and_what_validation_finds_otherwise_are_named(make_run: Make) -> None:
    rungs = {
        "frozen network": record(make_run, LADDER["frozen network"], 0.9, val=0.8),
        "careful fine-tune": record(make_run, LADDER["careful fine-tune"], 0.8, val=0.9),
    }
    ch = Beyond(Runs(rungs), Runs(), None, made.published_log(), "cifar10")
    assert ch.rungs.steps()["careful fine-tune"].high < 0
    assert ch.found_otherwise == ["careful fine-tune"] and not ch.reaches_depth
    same = Runs(dict(zip(rungs, [ch.start, ch.start], strict=True)))
    assert not Beyond(same, Runs(), None, made.published_log(), "cifar10").found_otherwise


def test_other_images_under_the_same_key_are_left_out(ladder: dict[str, Run], make_run: Make) -> None:
    """As those of two folders of pictures are; a network of its own has weights of its own."""
    top, prints = LADDER["more than twice as deep"], list(ladder.values())[-1].fingerprints
    for seed, others in enumerate([{"data": "d"}, {"weights": "v"}, {"backend": "jax"}]):
        content = {"fingerprints": {**prints, **others}, "id": f"fffffffffff{seed}"}
        record(make_run, top, content=content)
    own = record(make_run, top.replace(seed=0))
    lite = top.replace(backbone="efficientnet_lite0")
    other = record(make_run, lite, content={"fingerprints": {**prints, "weights": "lite"}, "id": "f" * 12})
    small = record(make_run, FAST, content={"fingerprints": {**prints, "weights": "128"}, "id": "e" * 12})
    ids = {run.id for run in ladder.values()} | {own.id, other.id, small.id}
    assert {run.id for run in load().stored} == ids and load().errors_left


AIMS = {"plain": 0.85, "flip": 0.85, "second": 0.85, "sweep": 5, "features": 2.5, "memory": 3}


def test_the_frontier_holds_every_record_and_the_study_beside_published_runs(
    ladder: dict[str, Run], make_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = record(make_run, FAST, 0.95, seconds=300)
    bench = dataclasses.replace(speed.read(), processor="Some CPU", threads=2)
    monkeypatch.setattr(speed, "read", lambda: bench)
    ch = load()
    assert (
        ch.frontier.bench is bench
        and len(ch.frontier.recipes) == len(LADDER) + 1
        and ch.frontier.log is ch.log
    )
    assert "long. In PyTorch the" in ch.slower and ch.slower.startswith("In plain Keras the recipes take ")
    monkeypatch.setattr(speed, "read", lambda: dataclasses.replace(bench, pytorch=None))
    assert load().slower.startswith("In plain Keras") and "PyTorch" not in load().slower
    assert {each.id for each in ch.records} >= {fast.id, *(rung.id for rung in ladder.values())}
    for name, each in list(LADDER.items())[:3]:
        record(make_run, experiments.for_notebook(each, dataset="miniature", scale="smoke"))
        assert name in ch.rungs
    small = load(dataset="miniature", scale="smoke")
    assert list(small.rungs) == list(LADDER)[: beyond.SMOKE_RUNGS] and not small.reaches_depth
    assert not small.is_published and not small.rates and small.targets({0.9: 400}, **AIMS) == []
    assert len(small.frontier.recipes) == len(small.rungs)
    assert small.frontier.log is None and small.frontier.bench is None and small.slower == ""


def test_every_aim_has_a_line_with_a_second_backbone_or_without(
    ladder: dict[str, Run], make_run: Make
) -> None:
    lines = load().targets({0.9: 1000, 0.99: 5000}, **AIMS)
    assert len(lines) == 2 + len(AIMS)
    assert [line[2] for line in lines[2:5]] == ["not yet run"] * 3
    other = experiments.OTHER_NETWORK
    record(make_run, other.replace(learning_rate=1e-4), 0.9)
    for seed in experiments.SEEDS:
        record(make_run, other.replace(seed=seed), 0.88)
        record(make_run, BEST.replace(seed=seed), 0.8)
    lines = load().targets({0.9: 1000}, **AIMS)
    assert [line[2].split()[0] for line in lines[1:4]] == ["80.0%", "80.0%", "88.0%"]
    assert lines[3][2].endswith("3 seeds): reached")


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
    ch = load()
    assert ch.best_leads  # of equal times too
    assert [run.seed for run in ch.seeds(ch.best)] == [42] and ch.errors_left == pytest.approx(0.05 / 0.18)
    for each, share in ((experiments.CAREFUL, 0.84), (BEST, 0.97)):
        record(make_run, each.replace(seed=0), share)
    record(make_run, BEST.replace(seed=1), 0.5)  # which the study's fine-tune lacks
    ch = load()
    assert [run.seed for run in ch.seeds(ch.best)] == [0, 42] and len(ch.seeds(ch.start)) == 2
    assert ch.errors_left == pytest.approx(0.04 / 0.17)
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
    ch = Beyond(Runs(rungs), Runs(), None, made.published_log(), "miniature")
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
