"""Recipes by time, from made-up runs: which compare, which lead, and what stands beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import made
import pytest

from helpers.analysis import frontier as rooms
from helpers.analysis import speed
from helpers.analysis.frontier import Frontier
from helpers.experiment import Experiment
from helpers.records.run import Run
from helpers.study.experiments import CAREFUL, FAST, IN_STUDY_TIME, ONE_PASS

Make = Callable[..., Run]
BENCH = replace(speed.read(), processor="Some CPU", threads=2, peak_gflops=200.0)


def timed(make_run: Make, experiment: Experiment, seconds: float, test: float = 0.9, **more: Any) -> Run:
    content: dict[str, Any] = {"timing_sec": {**made.SECONDS, "total": seconds}}
    content |= {"environment": {**made.MACHINE, **more.pop("on", {})}}
    return make_run(test, content=content, **asdict(experiment), **more)


def of(*runs: Run, like: Run | None = None, bench: speed.Bench = BENCH) -> Frontier:
    return rooms.frontier(runs, like or runs[0], bench)


def test_runs_of_another_machine_count_for_accuracy_and_not_for_time(make_run: Make) -> None:
    here = timed(make_run, FAST, 400, 0.9)
    quicker = timed(make_run, FAST.replace(seed=0), 100, 0.92, on={"threads": 1})
    again = timed(make_run, FAST.replace(seed=1), 500, 0.94)
    elsewhere = timed(make_run, ONE_PASS, 50, on={"processor": "Another CPU"})
    on_gpu = timed(make_run, IN_STUDY_TIME, 50, on={"accelerator": "gpu:0"})
    found = of(here, quicker, again, elsewhere, on_gpu)
    (recipe,) = found.recipes
    assert (recipe.seconds, found.others) == (400, 2)
    assert recipe.accuracy().seeds == 3 and recipe.error == pytest.approx(0.08)
    assert of(quicker, here, elsewhere, like=quicker).recipes[0].seconds == 100


def test_what_was_taken_apart_or_is_of_other_images_or_another_network_is_no_recipe(make_run: Make) -> None:
    here = timed(make_run, FAST, 400)
    apart = timed(make_run, CAREFUL, 100, diagnosis=made.diagnosed((0.9, 0.9, 0.9)))
    smoke = timed(make_run, FAST.replace(scale="smoke"), 10)
    drawn = timed(make_run, Experiment(**made.MINIATURE), 10)
    other = timed(make_run, FAST.replace(backbone="efficientnet_lite0"), 10)
    found = of(here, apart, smoke, drawn, other, made.published_log())
    assert [each.fastest.id for each in found.recipes] == [here.id] and found.others == 0


def test_records_of_other_weights_are_another_recipe(make_run: Make) -> None:
    here = timed(make_run, FAST, 400)
    other = replace(here, fingerprints={**here.fingerprints, "weights": "v" * 64})
    assert [each.runs for each in of(here, other).recipes] == [[here], [other]]


def test_validation_chooses_the_line(make_run: Make) -> None:
    first = timed(make_run, ONE_PASS, 300, 0.91, val=0.90)
    lucky = timed(make_run, FAST, 400, 0.99, val=0.90)  # as good on validation, and better on test
    last = timed(make_run, IN_STUDY_TIME, 900, 0.90, val=0.95)
    found = of(last, lucky, first)
    assert [each.seconds for each in found.recipes] == [300, 400, 900]
    assert [each.fastest.id for each in found.leading] == [first.id, last.id]


@pytest.mark.parametrize(
    ("goal", "seconds"), [(0.85, 300), (0.905, 300), (0.915, 900), (0.925, None), (0.96, None)]
)
def test_a_goal_is_met_on_validation_and_on_test(make_run: Make, goal: float, seconds: float | None) -> None:
    found = of(
        timed(make_run, ONE_PASS, 300, 0.91, val=0.91), timed(make_run, IN_STUDY_TIME, 900, 0.92, val=0.95)
    )
    quick = found.quickest(goal)
    assert (quick and quick.seconds) == seconds


def test_plain_keras_and_the_peak_stand_beside_runs_of_the_benchs_machine_alone(make_run: Make) -> None:
    protocol = timed(make_run, CAREFUL, 4000, 0.8)
    one, small = timed(make_run, ONE_PASS, 300, 0.85), timed(make_run, FAST, 400, 0.9)
    shallow = timed(make_run, ONE_PASS.replace(n_unfreeze=30), 500, 0.8)
    found = of(protocol, one, small, shallow)
    plain = {each.fastest.id: seconds for each, seconds in found.in_plain_keras()}
    assert plain == {each.id: BENCH.plain_seconds(each) for each in (one, protocol)}
    torch = {each.fastest.id: seconds for each, seconds in found.in_pytorch()}
    assert torch == {each.id: BENCH.pytorch_seconds(each) for each in (one, protocol)}
    assert of(protocol, one, bench=replace(BENCH, pytorch=None)).in_pytorch() == []
    assert found.from_scratch() == [
        (pytest.approx(1450), pytest.approx(0.0599)),
        (15500, pytest.approx(0.04)),
    ]
    for bench in (replace(BENCH, processor="Another CPU"), replace(BENCH, threads=1)):
        other = of(protocol, one, bench=bench)
        assert (
            other.bench is None and other.in_plain_keras() == other.in_pytorch() == other.from_scratch() == []
        )


def test_a_recipe_is_named_by_its_passes_and_a_size_of_its_own(make_run: Make) -> None:
    named = {
        "head alone": Experiment(n_unfreeze=0),
        "1 pass": ONE_PASS,
        "2 passes, 128 px": FAST,
        "28 passes": CAREFUL,
    }
    found = [of(timed(make_run, each.replace(seed=3), 1)).recipes[0] for each in named.values()]
    assert [each.name for each in found] == list(named)
    assert [each.experiment for each in found] == list(named.values())
