"""Chapter 5 on made-up runs, on both sides of what its sentences depend on."""

from collections.abc import Callable, Sequence
from typing import Any

import made
import pytest

from helpers import markdown
from helpers.analysis import groups
from helpers.chapters import mixup
from helpers.errors import UserError
from helpers.records.run import Run
from helpers.study import claims, rules

PARAMETERS: dict[str, Any] = {
    "dataset": "cifar10",
    "scale": "full",
    "seed": 42,
    "mixup_alpha": 0.2,
    "n_unfreeze": 30,
    "learning_rate": 1e-5,
    "batch_size": 64,
    "epochs": 28,
}
MIXED = {"augmentation": "standard+mixup"}
WORDS = "helps", "hurts", "neither"


@pytest.fixture
def load(make_run: Callable[..., Run]) -> Callable[..., mixup.Mixup]:
    def stored(
        accuracies: Sequence[float], seeds: Sequence[int] = (42,), mixed: Any = (), standard: Any = ()
    ) -> mixup.Mixup:
        """Runs without mixup and with it, of these accuracies, with each seed; and other parts of each."""
        for seed in seeds:
            make_run(accuracies[0], seed=seed, **dict(standard))
            make_run(accuracies[1], seed=seed, **MIXED, **dict(mixed))
        return mixup.load(**PARAMETERS)

    return stored


@pytest.mark.parametrize("with_mixup, said", [(0.95, "helps"), (0.85, "hurts"), (0.9, "neither")])
def test_the_difference_is_told_by_the_interval_of_all_pairs(
    load: Callable[..., mixup.Mixup], with_mixup: float, said: str
) -> None:
    ch = load((0.9, with_mixup), seeds=(42, 1))
    assert markdown.describe_difference(ch.gain, *WORDS) == said
    assert ch.gain.value == pytest.approx(with_mixup - 0.9) and ch.gain.seeds == 2
    assert [share.value for share in ch.means] == pytest.approx([0.9, with_mixup])


def test_training_is_compared_with_validation_at_the_end(load: Callable[..., mixup.Mixup]) -> None:
    curves = {"stage2": {"accuracy": [0.7, 0.8], "val_accuracy": [0.8, 0.85]}}
    assert load((0.9, 0.9), mixed={"curves": curves}).gaps == pytest.approx([0.1, -0.05])


def test_the_rate_falls_before_its_epochs_or_never(load: Callable[..., mixup.Mixup]) -> None:
    rates = {"val_loss": [1.0, 1.0, 1.0, 1.0], "learning_rate": [1e-5, 1e-5, 5e-6, 2.5e-6]}
    ch = load((0.9, 0.9), mixed={"curves": {"stage2": rates}})
    assert ch.rate_drops == {"standard": "never", "with mixup": "before epochs 3 and 4"}


def test_other_threads_are_noticed(load: Callable[..., mixup.Mixup]) -> None:
    ch = load((0.9, 0.9), mixed={"content": {"environment": {**made.MACHINE, "threads": 1}}})
    assert ch.threads == [2, 1]


def test_only_full_runs_of_cifar10_test_the_claim(
    load: Callable[..., mixup.Mixup], make_run: Callable[..., Run]
) -> None:
    assert load((0.9, 0.9)).published == rules.MIXUP_GAINS
    counts = {"val": [50] * 10, "test": [100] * 10}
    for augmentation in ("standard", "standard+mixup"):
        make_run(scale="quick", augmentation=augmentation, content={"class_counts": counts})
    assert mixup.load(**{**PARAMETERS, "scale": "quick"}).published is None


def test_pairs_are_of_stored_seeds_and_the_asked_one_comes_first(
    load: Callable[..., mixup.Mixup], make_run: Callable[..., Run]
) -> None:
    alone = load((0.9, 0.88))
    assert list(alone.pairs) == [42] and alone.gain.seeds == 1
    make_run(0.9, seed=0)  # without its other half
    several = load((0.9, 0.88), seeds=(42, 1))
    assert [row[1] for row in several.by_seed] == [42, 1]
    assert [row[4].difference for row in several.by_seed] == pytest.approx([-0.02, -0.02])
    assert several.gain.seeds == 2 and several.gain.value == pytest.approx(-0.02)


def test_pairs_with_new_views_stand_below_the_chapters_own(load: Callable[..., mixup.Mixup]) -> None:
    ours = load((0.9, 0.88), seeds=(42, 1))
    assert list(ours.compared) == ["4 stored views"]
    assert [each.id for each in ours.shown.values()] == [each.id for each in ours.runs.values()]
    new = {"views": PARAMETERS["epochs"]}
    both = load((0.9, 0.91), standard=new, mixed=new)
    assert [row[:2] for row in both.by_seed] == [
        ("4 stored views", 42),
        ("4 stored views", 1),
        ("new views", 42),
    ]
    assert ours.gain.value == pytest.approx(-0.02) and both.gain.value == pytest.approx(0.01)
    assert [each.experiment.views for each in both.shown.values()] == [28, 28]
    assert len(both.records) == 6 and both.gap == pytest.approx(groups.train_gap(both.groups[0], "stage2"))
    assert "With 4 stored views, used in turn: -2.0" in both.in_turn and not ours.in_turn


def test_the_published_difference_is_the_claims() -> None:
    (claim,) = [each for each in claims.CLAIMS if each.id == "C6"]
    assert claim.published.endswith(f": {markdown.points(rules.MIXUP_GAINS)}")


def test_calibration_is_told_run_by_run(load: Callable[..., mixup.Mixup]) -> None:
    names, confidence, error, loss = zip(*load((0.9, 0.8)).calibration, strict=True)
    assert names == ("standard", "with mixup")
    assert confidence == ("91.0%", "91.0%") and error == ("1.0%", "11.0%")
    assert float(loss[0]) < float(loss[1])


@pytest.mark.parametrize("name", ["n_unfreeze", "epochs"])
def test_nothing_to_show_is_refused_before_anything_trains(name: str) -> None:
    with pytest.raises(UserError, match=rf"{name}=0 is outside what this chapter can show: 1 or more"):
        mixup.load(**{**PARAMETERS, name: 0})
