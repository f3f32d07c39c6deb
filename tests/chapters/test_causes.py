"""Why averages do not fit, from made-up runs that followed them: what each rule says on both of its sides."""

import made
import pytest

from helpers.analysis.batchnorm import Repeats
from helpers.chapters import causes
from helpers.chapters.causes import Followed, WithoutAdam
from helpers.experiment import Experiment
from helpers.records.run import Run
from helpers.study import experiments

START = (0.87, 0.88, 0.88)


def followed(lost: dict[int, float], moved: dict[int, float]) -> Run:
    passes = [each | made.followed(lost, moved) for each in made.diagnosed(*[START] * 4)]
    passes[2]["accuracy"]["val"] = {"moving": 0.4, "clean": 0.9, "resting": 0.8, "varying": 0.5}
    return made.run_without_files(Experiment(), diagnosis=passes)


LAGS = followed({70: 0.15, 100: 0.2, 1000: 0.4}, {100: 0.5, 1000: 2.0})
SWINGS = followed({70: 0.05, 100: 0.2, 1000: 0.1}, {100: 0.5, 1000: 0.6})


def test_features_move_on_or_swing() -> None:
    both = Followed({"seed 42": LAGS, "seed 0": SWINGS})
    assert both.readings == ["lag", "swing"] and both.growth == pytest.approx([4, 1.2])
    assert both.move_on == 1 and both.lose_most == [1000, 100]
    assert both.lost(100) == pytest.approx([20, 20]) and both.given_back() == pytest.approx([0.25, 0.75])
    assert both.enough_images == 1024


def test_the_channels_at_rest_carry_the_fault_or_not() -> None:
    found = Followed({"seed 42": LAGS})
    ((name, epoch, hidden, resting, varying),) = found.channels
    assert (name, epoch, hidden) == ("seed 42", 2, "+50.0 points")
    assert (resting, varying) == pytest.approx((0.8, 0.2)) and found.at_rest == 1
    for kinds in ({"resting": 0.6, "varying": 0.5}, {"resting": 0.8, "varying": 0.85}):
        other = followed({100: 0.2, 1000: 0.4}, {100: 0.5, 1000: 2.0})
        other.diagnosis[2].accuracy["val"].update(kinds)
        assert Followed({"seed 42": other}).at_rest == 0


def sgd(*after: tuple[float, float, float]) -> Run:
    return made.run_without_files(Experiment(optimizer="sgd"), diagnosis=made.diagnosed(START, *after))


def test_evaluation_fails_without_adam_where_the_weights_are_unharmed() -> None:
    hidden, shown = sgd((0.8, 0.87, 0.88), (0.1, 0.5, 0.5)), sgd((0.86, 0.87, 0.88))
    harmed = sgd((0.1, 0.5, 0.5))
    found = WithoutAdam({1e-4: Repeats([hidden, hidden, shown]), 1e-3: Repeats([harmed, shown, hidden])})
    assert found.failing == ["1e-4"]
    assert found.rows[0] == ("1e-4", "7.0, 7.0, 1.0", "2 of 3")
    assert found.rows[1] == ("1e-3", "weights harmed, 1.0, 7.0", "1 of 3")


def test_another_failing_run_has_none_of_these() -> None:
    other = made.run_without_files(experiments.LOGGED.replace(learning_rate=1e-4))
    assert causes.load(other) == (Followed(), WithoutAdam())
