"""What this report was to reach, what it reaches, and how near an aim is that it misses: for chapter 7."""

from collections.abc import Sequence

from helpers.analysis import groups
from helpers.analysis.frontier import Frontier
from helpers.analysis.speed import Bench
from helpers.records.run import Run
from helpers.study.experiments import SEEDS
from helpers.text import percent, points

FITTED = 0.99
"""Accuracy on the training images from which on more passes have little left to fit."""
Line = tuple[str, str, str, str]
"""What, the aim, what is reached in its stead, and of a missed aim how near it is and why."""


def _line(what: str, aim: str, here: str, reached: bool, why: str) -> Line:
    return (what, aim, f"{here}: reached", "–") if reached else (what, aim, f"{here}: missed", why)


def time(found: Frontier, goal: float, limit: float) -> Line:
    """Of the quickest recipe with a test accuracy of `goal`, 0 to 1, which is to take `limit` seconds."""
    what, aim = f"{goal:.2%} on test", f"{limit:g} s"
    if not (recipe := found.quickest(goal)):
        top = 1 - min(each.error for each in found.recipes)
        return _line(what, aim, "by no recipe", False, f"the best is at {percent(top)}")
    run, in_time = recipe.fastest, [each for each in found.leading if each.seconds <= limit]
    near = f"by then {percent(1 - in_time[-1].error)}" if in_time else "no recipe ends by then"
    rest = run.seconds - run.storing_seconds - run.stage1_seconds - run.stage2_seconds
    why = f"{near}; the frozen part takes {run.storing_seconds:.0f} s, "
    why += f"training {run.stage1_seconds + run.stage2_seconds:.0f} s, the rest {rest:.0f} s"
    which = f" (fastest of {len(recipe.timed)} runs)" if len(recipe.timed) > 1 else ""
    return _line(what, aim, f"{run.seconds:.0f} s{which}, {recipe.accuracy()}", run.seconds <= limit, why)


def accuracy(what: str, runs: Sequence[Run], goal: float, view: str = "plain") -> Line:
    """Test accuracy of a recipe, 0 to 1, as the mean of SEEDS; view 'plain' or 'tta'."""
    aim, missing = f"{goal:.1%}, {len(SEEDS)} seeds", len(SEEDS) - len(runs)
    if not runs:
        return what, aim, "not yet run", "–"
    mean, fitted = groups.mean_accuracy(runs, view=view), min(run.stage2.accuracy[-1] for run in runs)
    why = f"{points(mean.value - goal)}; training ends at {percent(fitted)}, so more passes have "
    why += f"{'little' if fitted >= FITTED else 'something'} left to fit"
    why += f"; {missing} of {len(SEEDS)} seeds are missing" if missing > 0 else ""
    return _line(what, aim, str(mean), mean.value >= goal and missing <= 0, why)


def bench(timed: Bench, sweep: float, features: float, memory: float) -> list[Line]:
    """Times faster than plain Keras at a selection and at features, and peak memory, in gigabytes at most."""
    shared, ours, part = timed.sweep.ratio, timed.features.ratio, timed.features_gflops / timed.peak_gflops
    selecting = f"{timed.sweep.experiments} experiments that share the frozen part, ours in "
    selecting += f"{timed.sweep.precision}, against Keras in float32"
    stored = timed.sweep.storing_seconds / sum(timed.sweep.ours_seconds)
    bound = f"storing takes {stored:.0%} of ours, the rest is training; with ours in float32, too, "
    bound += f"{timed.sweep_float32.ratio:.1f} times"
    peak = f"ours runs at {part:.0%} of the machine's peak, the aim takes {part * features / ours:.0%}; "
    peak += f"resizing takes {timed.profile['resizing']:.0%} of the time, and depthwise convolutions "
    peak += f"{timed.profile['depthwise convolution']:.0%} for "
    peak += f"{timed.depthwise_million / timed.whole_million:.0%} of the arithmetic"
    used, more = timed.ours_memory_gb, f"{timed.ours_memory_gb - memory:.1f} GB more"
    return [
        _line(selecting, f"{sweep:g} times", f"{shared:.1f} times", shared >= sweep, bound),
        _line(
            "frozen features, against Keras",
            f"{features:g} times",
            f"{ours:.1f} times",
            ours >= features,
            peak,
        ),
        _line("peak memory, the study's protocol", f"{memory:g} GB", f"{used:.1f} GB", used <= memory, more),
    ]
