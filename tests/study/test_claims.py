"""Claims: each verdict is reached by its rule, from the right runs, and never without them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import made
import pytest

from helpers.analysis import groups, metrics
from helpers.records import published, store
from helpers.records.run import RecordError, Run
from helpers.study import experiments, verdict
from helpers.study.changes import CHANGES
from helpers.study.claims import CLAIMS

CLAIM = {claim.id: claim for claim in CLAIMS}
CHANGE = {change.id: change for change in reversed(CHANGES)}
"""Claim to the first change of its rule."""
MOST_LETTERS = 34
"""Of a claim's short name, which stands beside its verdict on a phone."""
Make = Callable[..., Run]


def outcome(claim: str, *runs: Run) -> str:
    return verdict.judge(CLAIM[claim], runs).outcome


# ---------------------------------------------------------------------------- the table


def test_all_claims_are_there_and_not_yet_run() -> None:
    rows = verdict.table([])
    assert [row["id"] for row in rows] == list(CLAIM), "each claim has an id of its own"
    for row in rows:
        assert row["short"] and len(row["short"]) <= MOST_LETTERS and row["brief"], row["id"]
    assert {row["verdict"] for row in rows} == {"not yet run"}
    assert {row["evidence"] for row in rows} == {row["seeds"] for row in rows} == {"–"}
    assert all(row["measured"].startswith("still to be run: ") for row in rows)
    assert all(claim.rule.sentence for claim in CLAIMS)


def test_only_full_scale_runs_on_cifar10_are_evidence(make_run: Make) -> None:
    logs, _ = store.read_folder(published.PUBLISHED_LOGS)
    small = [make_run(0.9, n_unfreeze=0, scale=scale) for scale in ("quick", "smoke")]
    drawn = make_run(0.9, n_unfreeze=0, dataset="miniature", backbone_weights="miniature")
    other = make_run(0.9, n_unfreeze=0, dropout=0.4)
    assert {row["verdict"] for row in verdict.table([*logs, *small, drawn, other])} == {"not yet run"}
    assert outcome("C1", drawn, other, make_run(0.9, n_unfreeze=0)) == "reproduced"


def test_a_row_names_its_evidence_and_the_interval(make_run: Make) -> None:
    run = make_run(0.9, val=0.91, n_unfreeze=0)
    row = verdict.table([run])[0]
    assert row["evidence"] == f"`{run.name}-{run.id}`"
    assert row["measured"] == "val 91.0% (89.1 to 92.6), test 90.0% (88.6 to 91.2)"
    assert row["page"] == "02_baseline.ipynb"


def test_a_row_counts_the_seeds_of_its_evidence(make_run: Make) -> None:
    runs = [make_run(0.9, n_unfreeze=0, seed=seed) for seed in (42, 0)]
    assert [verdict.table(some)[0]["seeds"] for some in (runs[:1], runs)] == ["1", "2"]


def test_evidence_is_what_was_compared(make_run: Make) -> None:
    """C4b pairs by seed: a baseline with a seed that no other run has bears on C1 alone."""
    same, lone = make_run(0.87, n_unfreeze=0), make_run(0.88, n_unfreeze=0, seed=7)
    failing = [make_run(0.4, learning_rate=3e-4, augmentation=name) for name in ("none", "standard")]
    assert verdict.judge(CLAIM["C4b"], [same, lone, *failing]).runs == (same, *failing)
    assert set(verdict.judge(CLAIM["C1"], [same, lone]).runs) == {same, lone}


def test_any_order_of_the_runs_gives_the_same_table(make_run: Make) -> None:
    runs = [make_run(0.87, n_unfreeze=0), make_run(0.92), make_run(0.5, learning_rate=3e-4)]
    runs += [make_run(0.915, seed=7), make_run(0.4, learning_rate=3e-4, augmentation="none")]
    tables = [verdict.table(order) for order in (runs, runs[::-1], runs[2:] + runs[:2])]
    verdicts = [[row["verdict"] for row in each] for each in tables]
    assert verdicts[0] == verdicts[1] == verdicts[2]


# ---------------------------------------------------------------------------- the rules


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.90], "reproduced"),
        ([0.875], "partly"),
        ([0.80], "not reproduced"),
        ([0.875, 0.88, 0.885], "partly"),
        ([0.89, 0.89, 0.895], "reproduced"),
    ],
)
def test_c1_needs_the_whole_interval(make_run: Make, shares: list[float], expected: str) -> None:
    runs = [make_run(share, n_unfreeze=0, seed=seed) for seed, share in enumerate(shares)]
    assert outcome("C1", *runs) == expected


@pytest.mark.parametrize(
    ("train", "val", "expected"),
    [(0.98, 0.87, "reproduced"), (0.96, 0.85, "partly"), (0.98, 0.89, "not reproduced")],
)
def test_c2_judges_the_second_stage(make_run: Make, train: float, val: float, expected: str) -> None:
    curves = {"stage2": {"accuracy": [0.5, train], "val_accuracy": [0.5, val]}}
    run = make_run(0.87, **dataclasses.asdict(experiments.BASELINE_TWO_STAGES), curves=curves)
    assert outcome("C2", run) == expected


@pytest.mark.parametrize(
    ("train", "expected"), [(0.985, "reproduced"), (0.95, "partly"), (0.88, "not reproduced")]
)
def test_c2_and_c12_as_they_were_judge_the_last_gap(make_run: Make, train: float, expected: str) -> None:
    curve = {"accuracy": [train], "val_accuracy": [0.87]}
    curves = {"stage1": curve, "stage2": curve}
    assert CHANGE["C2"].outcomes([make_run(0.87, n_unfreeze=0, curves=curves)])[0] == expected
    opposite = {"reproduced": "not reproduced", "partly": "not reproduced", "not reproduced": "reproduced"}
    assert CHANGE["C12"].outcomes([make_run(0.87, curves=curves)])[0] == opposite[expected]
    nearer = {"stage2": {**curve, "accuracy": [0.905]}}
    assert CHANGE["C12"].outcomes([make_run(0.87, curves=nearer)])[0] == "partly"


@pytest.mark.parametrize(
    ("train", "expected"), [(0.889, "reproduced"), (0.915, "partly"), (0.93, "not reproduced")]
)
def test_c12_judges_new_views_in_the_kept_epoch(make_run: Make, train: float, expected: str) -> None:
    fresh = dataclasses.asdict(experiments.NEW_VIEWS)
    curve = {"accuracy": [0.5, train, 0.99], "val_accuracy": [0.5, 0.87, 0.86], "val_loss": [2.0, 0.5, 0.6]}
    assert outcome("C12", make_run(0.87, **fresh, curves={"stage2": curve})) == expected
    assert outcome("C12", make_run(0.87)) == "not yet run"


@pytest.mark.parametrize(
    ("val", "test", "expected"),
    [
        (0.92, 0.91, "reproduced"),
        (0.95, 0.95, "reproduced"),
        (0.92, 0.90, "partly"),
        (0.90, 0.92, "not reproduced"),
    ],
)
def test_c5_takes_the_worse_of_validation_and_test(
    make_run: Make, val: float, test: float, expected: str
) -> None:
    assert outcome("C5", make_run(test, val=val)) == expected


@pytest.mark.parametrize(
    ("published", "logged", "expected"),
    [(0.14, 0.42, "reproduced"), (0.90, 0.70, "partly"), (0.90, 0.88, "not reproduced")],
)
def test_c4b_judges_both_versions(make_run: Make, published: float, logged: float, expected: str) -> None:
    runs = [make_run(0.87, n_unfreeze=0), make_run(published, learning_rate=3e-4, augmentation="none")]
    assert outcome("C4b", *runs) == "not yet run"
    assert outcome("C4b", *runs, make_run(logged, learning_rate=3e-4)) == expected


def failing(
    make_run: Make, *lowest: float, diagnosis: tuple[Sequence[tuple[float, float, float]], ...] = ()
) -> list[Run]:
    """A run as published, and as logged one a seed that falls to a share and recovers at half the rate."""
    steps = {"learning_rate": [3e-4, 3e-4, 1.5e-4]}
    runs = [make_run(0.9, learning_rate=3e-4, augmentation="none")]
    passes = diagnosis or ([(0.88, 0.88, 0.88)] * 4,) * len(lowest)
    for seed, (low, each) in enumerate(zip(lowest, passes, strict=True)):
        curves = {"stage2": {**steps, "val_accuracy": [0.85, low, 0.9]}}
        runs.append(
            make_run(0.9, learning_rate=3e-4, seed=seed, curves=curves, diagnosis=made.diagnosed(*each))
        )
    return runs


@pytest.mark.parametrize(
    ("lowest", "expected"),
    [((0.1, 0.4), "reproduced"), ((0.1, 0.6), "partly"), ((0.6, 0.6), "not reproduced")],
)
def test_c4a_wants_every_seed_to_collapse(make_run: Make, lowest: tuple[float, ...], expected: str) -> None:
    assert outcome("C4a", *failing(make_run, *lowest)) == expected


@pytest.mark.parametrize(
    ("again", "probe", "expected"),
    [
        ((0.86, 0.86), 0.88, "not reproduced"),
        ((0.86, 0.86), 0.70, "partly"),
        ((0.40, 0.86), 0.88, "partly"),
        ((0.40, 0.40), 0.88, "reproduced"),
    ],
)
def test_c4c_asks_the_weights(make_run: Make, again: tuple[float, ...], probe: float, expected: str) -> None:
    """They collapse to 28%; `again` is what new statistics give, by seed; a probe falls in the first."""
    diagnosis = tuple(
        [(0.88, 0.88, 0.88), (0.28, new, fresh), (0.28, new, 0.88), (0.88, 0.88, 0.88)]
        for new, fresh in zip(again, (probe, 0.88), strict=True)
    )
    runs = failing(make_run, 0.28, 0.28, diagnosis=diagnosis)
    assert outcome("C4c", *runs) == expected


def test_c4c_waits_for_a_diagnosed_run(make_run: Make) -> None:
    runs = [make_run(0.9, learning_rate=3e-4, augmentation=name) for name in ("none", "standard")]
    assert verdict.judge(CLAIM["C4c"], runs).measured == "no run was diagnosed"


@pytest.mark.parametrize(
    ("mixed", "seed", "expected"),
    [(0.88, 42, "reproduced"), (0.91, 60, "partly"), (0.93, 42, "not reproduced")],
)
def test_c6_needs_a_supported_loss(make_run: Make, mixed: float, seed: int, expected: str) -> None:
    new = {"views": experiments.NEW_VIEWS.views}
    runs = [make_run(0.915, **new), make_run(mixed, augmentation="standard+mixup", seed=seed, **new)]
    assert outcome("C6", *runs) == expected
    assert outcome("C6", make_run(0.915), make_run(mixed, augmentation="standard+mixup")) == "not yet run"


def test_runs_without_a_common_seed_are_said_to_have_none(make_run: Make) -> None:
    gains = [str(groups.gain([make_run(0.9)], [make_run(0.95, dropout=0.0, seed=seed)])) for seed in (42, 1)]
    assert ["different seeds" in text for text in gains] == [False, True]


def test_two_records_of_one_experiment_are_no_two_seeds(make_run: Make) -> None:
    """They differ in their weights: a mean over both would be a mean over nothing that was claimed."""
    run = make_run(0.9)
    other = dataclasses.replace(run, path=run.path.with_name("other.json"))
    with pytest.raises(RecordError, match=r"other\.json are one experiment on different data or"):
        groups.matching_runs([run, other], run.experiment)


def test_c7_needs_failure_and_no_cure_at_the_same_rate(make_run: Make) -> None:
    kept_late = {"stage2": {"learning_rate": [3e-4, 1e-6]}}
    runs = [
        make_run(0.87, n_unfreeze=0),
        make_run(0.92),
        make_run(0.42, learning_rate=3e-4, curves=kept_late),
    ]
    assert outcome("C7", *runs) == "partly"
    assert outcome("C7", *runs, make_run(0.40, learning_rate=3e-4, head_norm="layer")) == "reproduced"
    cured = verdict.judge(CLAIM["C7"], [*runs, make_run(0.93, learning_rate=3e-4, head_norm="none")])
    assert cured.outcome == "partly"
    assert "with no norm in the head" in cured.measured
    assert cured.measured.endswith("as logged, 3e-4 keeps weights trained at 1e-6")
    assert outcome("C7", runs[0], runs[1], make_run(0.92, learning_rate=3e-4)) == "not reproduced"


@pytest.mark.parametrize(
    ("flipped", "expected"), [(0.92, "not reproduced"), (0.925, "reproduced"), (0.96, "partly")]
)
def test_c8_pairs_the_views_of_the_same_run(make_run: Make, flipped: float, expected: str) -> None:
    assert outcome("C8", make_run(0.92, flipped=flipped)) == expected


def test_c9_needs_every_step(make_run: Make) -> None:
    ten, twenty, thirty = (
        at_fair_rates(make_run, share, n_unfreeze=depth)
        for depth, share in ((10, 0.88), (20, 0.90), (30, 0.92))
    )
    frozen = make_run(0.85, n_unfreeze=0)
    assert outcome("C9", frozen, *ten, *twenty, *thirty) == "reproduced"
    dip = at_fair_rates(make_run, 0.84, n_unfreeze=10)
    assert outcome("C9", frozen, *dip, *twenty, *thirty) == "partly"
    assert outcome("C9", make_run(0.93, n_unfreeze=0), *dip, *twenty, *thirty) == "not reproduced"
    assert outcome("C9", frozen, ten[0], *twenty, *thirty) == "not yet run"


def test_screening_runs_are_taken_where_full_ones_are_missing(make_run: Make) -> None:
    def screening(share: float, **fields: Any) -> Run:
        return make_run(share, **fields, **experiments.SCREENING)

    runs = screening(0.92), screening(0.88, optimizer="adam"), screening(0.80, optimizer="sgd")
    found = verdict.judge(CLAIM["C10"], [*runs, make_run(0.7)])
    assert found.outcome == "reproduced"
    assert "short runs: 8 passes" in found.measured


def test_c10_gives_each_optimizer_its_best_rate(make_run: Make) -> None:
    adamw, adam = make_run(0.92), make_run(0.88, optimizer="adam")
    slow, fast = (
        make_run(a, optimizer="sgd", learning_rate=rate) for a, rate in ((0.80, 1e-5), (0.95, 1e-3))
    )
    assert outcome("C10", adamw, adam, slow) == "reproduced"
    assert outcome("C10", adamw, adam, slow, fast) == "not reproduced"
    assert outcome("C10", adamw, make_run(0.92, optimizer="adam"), slow) == "partly"


def at_fair_rates(make_run: Make, share: float, **fields: Any) -> list[Run]:
    """Whole runs at each of the three rates, of which the second is a point better."""
    shares = zip(experiments.FAIR_RATES, (share - 0.01, share, share - 0.01), strict=True)
    return [make_run(each, learning_rate=rate, **fields) for rate, each in shares]


@pytest.mark.parametrize(
    ("others", "expected"),
    [((0.90, 0.90), "reproduced"), ((0.92, 0.90), "partly"), ((0.94, 0.90), "not reproduced")],
)
def test_c11_compares_batches_each_at_its_best_rate(
    make_run: Make, others: tuple[float, float], expected: str
) -> None:
    runs = at_fair_rates(make_run, 0.92)
    for size, share in zip((32, 128), others, strict=True):
        runs += at_fair_rates(make_run, share, batch_size=size)
    assert outcome("C11", *runs) == expected
    assert outcome("C11", *runs[:-1]) == "not yet run"


def test_without_whole_runs_at_fair_rates_a_claim_is_not_tested_fairly(make_run: Make) -> None:
    whole = [make_run(share, batch_size=size) for size, share in ((64, 0.92), (32, 0.90), (128, 0.90))]
    assert outcome("C11", *whole) == "not yet run"
    short = [make_run(0.9, batch_size=size, **experiments.SCREENING) for size in (64, 32, 128)]
    found = verdict.judge(CLAIM["C11"], [*whole, *short])
    assert found.outcome == "not tested fairly" and "short runs: 8 passes" in found.measured
    assert set(found.runs) == set(short) and found.is_short


def test_a_best_rate_at_the_end_of_those_tried_is_named(make_run: Make) -> None:
    runs = [run for size in (64, 32) for run in at_fair_rates(make_run, 0.92, batch_size=size)]
    rising = zip(experiments.FAIR_RATES, (0.90, 0.91, 0.92), strict=True)
    runs += [make_run(share, learning_rate=rate, batch_size=128) for rate, share in rising]
    found = verdict.judge(CLAIM["C11"], runs)
    assert found.measured.endswith("best at the end of the rates tried: 128 at 1e-4")
    depths = [make_run(0.85, n_unfreeze=0), *at_fair_rates(make_run, 0.88, n_unfreeze=10), *runs[:3]]
    rising = zip(experiments.FAIR_RATES, (0.90, 0.91, 0.92), strict=True)
    depths += [make_run(share, learning_rate=rate, n_unfreeze=20) for rate, share in rising]
    found = verdict.judge(CLAIM["C9"], depths)
    assert found.measured.endswith("alone; best at the end of the rates tried: 20 at 1e-4")


def test_c13_computes_floor_and_likelihood(make_run: Make) -> None:
    run = make_run(0.95)
    found = verdict.judge(CLAIM["C13"], [run])
    assert f"floor {metrics.smoothing_floor(0.05, 10):.3f}" in found.measured
    assert f"val loss {run.val_loss:.3f}" in found.measured
    assert found.outcome == "reproduced"
    assert outcome("C13", make_run(0.60)) == "partly"


def test_c13_is_judged_on_the_mean_of_the_seeds(make_run: Make) -> None:
    runs = [make_run(0.95), make_run(0.60, seed=0)]
    mean = (runs[0].val_loss + runs[1].val_loss) / 2
    assert f"val loss {mean:.3f}" in verdict.judge(CLAIM["C13"], runs).measured


@pytest.mark.parametrize(
    ("confused", "expected"),
    [
        ({3: 5, 5: 3, 1: 9, 9: 1, 0: 2, 2: 0}, "reproduced"),
        ({3: 5, 5: 3, 1: 9, 9: 1, 0: 8, 8: 0}, "partly"),
        ({0: 8, 8: 0, 4: 7, 7: 4, 2: 6, 6: 2}, "not reproduced"),
    ],
)
def test_c14_ranks_the_pairs(make_run: Make, confused: dict[int, int], expected: str) -> None:
    found = verdict.judge(CLAIM["C14"], [make_run(0.92, confused=confused)])
    assert found.outcome == expected
    assert (
        "in the study's own log: cat-dog 162, cat-frog 57, automobile-truck 55, 2 of its three"
        in found.measured
    )


def test_c15_needs_a_gpu(make_run: Make) -> None:
    assert outcome("C15", make_run(0.92)) == "not yet run"
    both = [make_run(0.92, seed=seed, content={"timing_sec": {"total": 3000.0 + seed}}) for seed in (0, 1)]
    assert "3,000 to 3,001 s" in verdict.judge(CLAIM["C15"], both).measured
    for total, expected in ((900.0, "reproduced"), (2000.0, "not reproduced")):
        content = {"environment": {"accelerator": "a GPU"}, "timing_sec": {"total": total}}
        assert outcome("C15", make_run(0.92, content=content)) == expected


def test_c16_compares_with_a_pass_in_every_epoch(make_run: Make) -> None:
    """Ten epochs cost ten extractions of the training images; one epoch, less than extracting them all."""
    for epochs, expected in ((10, "reproduced"), (1, "not reproduced")):
        curves = {"stage1": {"loss": [1.0] * epochs}}
        assert outcome("C16", make_run(0.88, n_unfreeze=0, curves=curves)) == expected


def test_c16_is_judged_on_the_seed_that_storing_saves_least(make_run: Make) -> None:
    runs = [
        make_run(
            0.88,
            n_unfreeze=0,
            seed=seed,
            curves={"stage1": {"loss": [1.0] * 10}},
            content={"timing_sec": {"feature_extract": 100.0, "top_train": head, "total": 200.0}},
        )
        for seed, head in ((0, 10.0), (1, 900.0))
    ]
    found = verdict.judge(CLAIM["C16"], runs)
    assert found.outcome == "not reproduced"
    assert "900 s head for 10 epochs: at least 0." in found.measured


OFF: dict[str, Any] = {
    "augmentation": "none",
    "batch_size": 128,
    "dropout": 0.0,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
}


@pytest.mark.parametrize(("harmless", "expected"), [(0, "reproduced"), (1, "partly"), (5, "not reproduced")])
def test_c17_counts_the_parts_that_help(make_run: Make, harmless: int, expected: str) -> None:
    runs = at_fair_rates(make_run, 0.92)
    for number, (name, value) in enumerate(OFF.items()):
        runs += at_fair_rates(make_run, 0.92 if number < harmless else 0.90, **{name: value})
    found = verdict.judge(CLAIM["C17"], runs)
    assert (found.outcome, found.brief, found.tests) == (expected, f"{5 - harmless} of 5 help", 5)


def test_c17_is_not_tested_fairly_by_short_runs(make_run: Make) -> None:
    runs = [make_run(0.90, **experiments.SCREENING, **{name: value}) for name, value in OFF.items()]
    assert outcome("C17", *runs) == "not yet run"
    assert outcome("C17", *runs, make_run(0.92, **experiments.SCREENING)) == "not tested fairly"


# ---------------------------------------------------------------------------- rules that changed


def test_a_rule_that_changed_names_claims_that_there_are() -> None:
    assert {name for change in CHANGES for name in change.after} <= CLAIM.keys()
    assert [change.date for change in CHANGES] == sorted(change.date for change in CHANGES)
    assert all(
        change.outcomes([]) == ("not yet run", ", ".join(["not yet run"] * len(change.after)))
        for change in CHANGES
    )


@pytest.mark.parametrize(
    ("losses", "before"),
    [((100, 100, 108), "reproduced"), ((0, 20, 40), "partly"), ((-40, -40, -40), "not reproduced")],
)
def test_c6_was_judged_by_the_seeds_alone(make_run: Make, losses: tuple[int, ...], before: str) -> None:
    runs = [make_run(0.90, seed=seed) for seed in range(3)]
    runs += [
        make_run(0.90 - loss / 2000, seed=seed, augmentation="standard+mixup")
        for seed, loss in enumerate(losses)
    ]
    assert CHANGE["C6"].outcomes(runs)[0] == before
    (later,) = [change for change in CHANGES if change.id == "C6" and change is not CHANGE["C6"]]
    one = [runs[0], runs[3]]
    assert CHANGE["C6"].outcomes(one) == (later.outcomes(one)[0], "not yet run")


def test_c13_was_judged_on_the_first_seed(make_run: Make) -> None:
    runs = [make_run(0.95), make_run(0.30, seed=0)]
    assert CHANGE["C13"].outcomes(runs) == ("reproduced", outcome("C13", *runs))
    assert outcome("C13", *runs) != "reproduced"


def test_c16_left_out_what_found_its_features_stored(make_run: Make) -> None:
    took = {"feature_extract": 1.0, "top_train": 10.0, "end2end": 0.0, "total": 11.0}
    stored = make_run(0.88, n_unfreeze=0, content={"timing_sec": took})
    assert CHANGE["C16"].outcomes([stored])[0] == "not yet run"
    computed = make_run(0.88, n_unfreeze=0, seed=1, curves={"stage1": {"loss": [1.0] * 10}})
    assert CHANGE["C16"].outcomes([stored, computed])[0] == "reproduced"


# ---------------------------------------------------------------------------- gains


def test_a_gain_over_seeds_pairs_equal_seeds(make_run: Make) -> None:
    first = [make_run(share, seed=seed) for seed, share in ((1, 0.90), (2, 0.91), (3, 0.80))]
    second = [make_run(share, seed=seed, dropout=0.0) for seed, share in ((2, 0.92), (1, 0.915))]
    change = groups.gain(first, second)
    assert (change.value, change.seeds) == (pytest.approx(0.0125), 2)
    assert change.low < 0.01 < change.high
    single = groups.gain(first[:1], second)
    assert (single.value, single.seeds) == (pytest.approx(0.015), 1)
