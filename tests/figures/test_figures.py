"""Figures: each draws, says in words what it shows, and refuses what it must not draw."""

from __future__ import annotations

import dataclasses
import io
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from made import MINIATURE, SECONDS, published_log, write_run
from matplotlib.text import Annotation
from PIL import Image

from helpers import figures
from helpers.analysis import frontier, metrics, speed
from helpers.analysis import people as asked
from helpers.figures import curves, diagrams, images, people, results, style
from helpers.figures import frontier as by_time
from helpers.records.run import RecordError, Run

LOG = published_log()
COLLAPSED = published_log("run_full_tune")
Runs = dict[str, Run]


def two_runs(folder: pytest.TempPathFactory, **fields: Any) -> Runs:
    """Two runs, of which the second is right far more often, in a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPORT_RESULTS", str(folder.mktemp("records")))
        first, second = (write_run(test, seed=seed, **fields) for seed, test in enumerate((0.6, 0.9), 1))
    return {"first": first, "second": second}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return two_runs(tmp_path_factory, scale="smoke")


@pytest.fixture(scope="module")
def miniatures(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return two_runs(tmp_path_factory, scale="smoke", **MINIATURE)


def of(*runs: Run) -> frontier.Frontier:
    return frontier.frontier(runs, runs[0], speed.read())


FROM_RUNS: dict[str, Callable[[Runs], style.Figure]] = {
    "learning_curves": curves.learning_curves,
    "per_class_accuracy": results.per_class_accuracy,
    "confusion": lambda runs: results.confusion(runs["first"]),
    "largest_confusions": lambda runs: results.largest_confusions(runs["first"]),
    "changed_confusions": results.changed_confusions,
    "reliability": results.reliability,
    "error_intervals": lambda runs: results.error_intervals({"both": list(runs.values())}, {}),
    "paired_outcomes": results.paired_outcomes,
    "gains_by_seed": lambda runs: results.gains_by_seed(
        {"it": ([runs["first"]], [runs["second"]])}, "It gains", -0.006
    ),
    "error_by_time": lambda runs: by_time.error_by_time(of(*runs.values()), 0.85),
    "gains": lambda runs: results.gains({"second": runs["second"]}, runs["first"]),
    "by_learning_rate": lambda runs: results.by_learning_rate(
        {"adamw": {1e-4: runs["first"], 1e-3: runs["second"]}}, "The rate matters"
    ),
}
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
LABELS = np.tile(np.arange(10), 2)
SHAPES = {
    "image": (8, 8, 3),
    "enlarged": (40, 40, 3),
    "stored": (5, 5, 96),
    "pooled": (1280,),
    "answer": (10,),
}
WEIGHTS = {"prefix": 437_888, "suffix": 1_723_840, "head": 167_818}
SURE = np.eye(10)[np.r_[LABELS[:18], 3, 4]] * 0.91 + 0.009  # wrong on the last two, which are 8 and 9
TAKEN = np.r_[LABELS[:18], 3, 4]  # as SURE has it
SAID = 50 * np.eye(10, dtype=int)[np.r_[LABELS[:19], 4]]  # people see the last one as it does
FROM_ARRAYS: dict[str, Callable[[str], style.Figure]] = {
    "contact_sheet": lambda dataset: images.contact_sheet(PIXELS, LABELS, dataset),
    "augmentation_sheet": lambda dataset: images.augmentation_sheet(PIXELS, PIXELS[:, None] / 2, dataset),
    "network_view": lambda dataset: images.network_view(
        PIXELS[:3], np.kron(PIXELS[:3], np.ones((1, 5, 5, 1))), dataset
    ),
    "network_layout": lambda dataset: diagrams.network_layout(
        PIXELS[0], np.kron(PIXELS[0], np.ones((5, 5, 1))), SHAPES, WEIGHTS, dataset
    ),
    "confident_errors": lambda dataset: images.confident_errors(PIXELS, LABELS, SURE, dataset),
    "error_by_agreement": lambda dataset: people.error_by_agreement(
        asked.bands(TAKEN == LABELS, asked.chosen(SAID, LABELS), [0.0, 0.5]), dataset
    ),
    "cost_growth": lambda dataset: figures.cost_growth(speed.read(), 2000, dataset),
    "sided_images": lambda dataset: people.sided_images(PIXELS, LABELS, TAKEN, SAID, dataset),
}


def _texts(figure: style.Figure) -> str:
    return " ".join(artist.get_text() for artist in figure.findobj(mpl.text.Text))


@pytest.mark.parametrize("name", FROM_RUNS)
def test_a_figure_of_runs_has_title_axes_and_alternative_text(name: str, runs: Runs) -> None:
    figure = FROM_RUNS[name](runs)
    assert figure.get_suptitle()
    assert figure.get_suptitle().replace("\n", " ") in figure.alt_text
    assert all(axes.get_ylabel() or axes.get_yticklabels() for axes in figure.axes)
    assert figure.axes[-1].get_xlabel()
    assert "smoke scale" in figure.alt_text.lower()
    assert "smoke scale" in _texts(figure).lower()


@pytest.mark.parametrize("name", FROM_RUNS)
def test_a_figure_of_the_miniature_says_so(name: str, miniatures: Runs) -> None:
    figure = FROM_RUNS[name](miniatures)
    assert "miniature" in _texts(figure).lower()
    assert "miniature" in figure.alt_text.lower()


@pytest.mark.parametrize("name", FROM_ARRAYS)
def test_a_figure_of_arrays_names_its_data_set_where_it_is_the_miniature(name: str) -> None:
    assert "Miniature" in _texts(FROM_ARRAYS[name]("miniature"))
    figure = FROM_ARRAYS[name]("cifar10")
    assert "Miniature" not in _texts(figure)
    assert figure.get_suptitle().replace("\n", " ") in figure.alt_text


def test_every_public_figure_is_tested() -> None:
    public = {
        name
        for name, made in vars(figures).items()
        if getattr(made, "__annotations__", {}).get("return") is style.Figure
        and made.__module__.split(".")[-1] not in ("batchnorm", "scoreboard")  # these have their own files
    }
    assert public == FROM_RUNS.keys() | FROM_ARRAYS.keys(), (
        "a figure has a line in FROM_RUNS, or in FROM_ARRAYS, of this file"
    )
    undecorated = [name for name in public if not hasattr(getattr(figures, name), "__wrapped__")]
    assert not undecorated, f"write @styled above {undecorated}"


def test_the_miniature_is_never_set_beside_cifar10(runs: Runs, miniatures: Runs) -> None:
    mixed = {"cifar": runs["first"], "drawn": miniatures["first"]}
    for draw in (curves.learning_curves, results.per_class_accuracy, results.reliability):
        with pytest.raises(ValueError, match="cifar10 and miniature"):
            draw(mixed)
    with pytest.raises(ValueError, match="cifar10 and miniature"):
        results.paired_outcomes(mixed)
    with pytest.raises(ValueError, match="published figures are CIFAR-10's"):
        results.error_intervals({"drawn": [miniatures["first"]]}, {"drawn": 0.916})


def test_one_step_epochs_of_a_published_log_stand_apart_from_the_passes() -> None:
    figure = curves.learning_curves({"the log": LOG})
    lines = [line for line in figure.axes[0].lines if np.size(line.get_xdata())]
    assert [(np.size(line.get_xdata()), line.get_linestyle()) for line in lines] == [
        (27, "None"),
        (27, "None"),
        (28, "--"),
        (28, "-"),
    ]
    assert "27 of the log" in figure.alt_text
    assert "single optimizer step" in _texts(figure)


def test_a_run_goes_on_through_its_second_stage_or_is_shown_in_that_alone() -> None:
    log = {"the log": published_log("run_n0_Adam")}
    lengths, marked = [], []
    for stages in (("stage1", "stage2"), ("stage1",), ("stage2",)):
        figure = curves.learning_curves(log, stages=stages)
        lines = [line.get_xdata() for line in figure.axes[0].lines]
        lengths.append([size for line in lines if (size := np.size(line)) > 2])
        marked.append([np.asarray(line).tolist() for line in lines if np.size(line) == 2])
    assert lengths == [[20, 20], [10, 10], [10, 10]]
    assert marked == [[[10.5, 10.5]], [], []]
    both = curves.learning_curves(log, stages=("stage1", "stage2"))
    assert "the log ends after 20 with validation 87.5%, training 11.5 points above it" in both.alt_text


def test_labels_of_curves_that_end_alike_stand_apart(runs: Runs) -> None:
    same = dict.fromkeys(("one", "two", "three"), runs["first"])
    marks = [mark for mark in curves.learning_curves(same).axes[0].texts if isinstance(mark, Annotation)]
    heights = sorted(mark.xy[1] for mark in marks if mark.get_text())
    assert len(heights) == 3 and min(np.diff(heights)) > 0


def test_titles_state_the_numbers() -> None:
    collapsed = curves.learning_curves({"the log": COLLAPSED})
    assert "validation 22.8%, training 62.4 points above it" in collapsed.alt_text
    assert (
        "Cat and dog are most often taken for each other: 162 of 810 errors"
        in results.confusion(LOG).alt_text
    )
    flows = results.largest_confusions(LOG)
    assert "Cat and dog are most often taken for each other: 162 of 810 errors" in flows.alt_text
    assert "dog taken for cat 78" in flows.alt_text and len(flows.axes[0].get_yticks()) == 10
    assert "cat is hardest, 79.1% right; truck easiest" in results.per_class_accuracy({"log": LOG}).alt_text
    assert "averaged over the flip: log, 91.9% right" in results.per_class_accuracy({"log": LOG}).alt_text
    errors = images.confident_errors(PIXELS, LABELS, SURE, "cifar10")
    assert "Of 2 errors, 2 were made with a probability above 90%" in errors.alt_text
    assert {"cat 92%\nlabel: ship", "deer 92%\nlabel: truck"} <= {axes.get_title() for axes in errors.axes}
    layout = diagrams.network_layout(PIXELS[0], PIXELS[0], SHAPES, WEIGHTS, "cifar10")
    assert "For every view of an image 2,400 values are stored (5 KB)" in layout.alt_text
    assert "0.44 M" in _texts(layout) and "stored\n5 × 5 × 96" in _texts(layout)


def test_flows_are_those_of_two_runs_before_and_after(make_run: Callable[..., Run]) -> None:
    before, after = make_run(0.8, confused={3: 5}), make_run(0.9, seed=1, confused={3: 5})
    drawn = results.changed_confusions({"before": before, "after": after})
    assert "After makes 200 errors, before 400." in drawn.alt_text
    assert "cat taken for dog 40, then 20" in drawn.alt_text and len(drawn.axes[0].get_yticks()) == 10
    assert "hold 400 and 200 of these errors" in drawn.alt_text


def test_gains_by_seed_have_a_mean_where_there_are_several(make_run: Callable[..., Run]) -> None:
    before, after = (
        [make_run(test, seed=seed, epochs=epochs) for seed in (0, 1)] for test, epochs in ((0.8, 1), (0.9, 2))
    )
    several = results.gains_by_seed({"it": (before, after)}, "It gains")
    assert [label.get_text() for label in several.axes[0].get_yticklabels()] == [
        "it, seed 0",
        "it, seed 1",
        "it, mean",
    ]
    assert "it, mean +10.0 points" in several.alt_text and "published" not in _texts(several)
    alone = results.gains_by_seed({"it": (before[:1], after[:1])}, "It gains", 0.005)
    assert len(alone.axes[0].get_yticks()) == 1 and "published" in _texts(alone)
    flip = results.gains_by_seed({"it": (before, before)}, "It gains", views=("plain", "tta"))
    assert "it, mean +0.0 points" in flip.alt_text


def test_gains_counts_what_the_paired_tests_show(runs: Runs) -> None:
    """The second run is right far more often than the first."""
    first, second = runs.values()
    up, down = (
        results.gains({"better": second, "same": first}, first),
        results.gains({"worse": first}, second),
    )
    assert "Of 2 changes 1 gain and 0 lose" in up.alt_text and "same +0.0 points (-0.1 to 0.1)" in up.alt_text
    assert "Of 1 changes 0 gain and 1 lose" in down.alt_text and "worse -" in down.alt_text


def test_a_learning_rate_is_chosen_by_validation(runs: Runs) -> None:
    """The second run is right far more often on test; validation is made to prefer the first."""
    second = dataclasses.replace(runs["second"], metrics={**runs["second"].metrics, "val_end2end": 0.0})
    for other, rate, share in ((runs["second"], 1e-1, 90), (second, 1e-2, 60)):
        drawn = results.by_learning_rate({"sgd": {1e-2: runs["first"], 1e-1: other}}, "Chosen")
        (ring,) = [line for line in drawn.axes[0].lines if line.get_markersize() == 13]
        assert np.asarray(ring.get_xydata())[0] == pytest.approx([rate, share / 100], rel=0.2)


def test_a_rate_that_diverges_is_marked_at_the_edge_and_off_the_scale(make_run: Callable[..., Run]) -> None:
    good, lost = make_run(0.9), make_run(0.1, seed=1)
    drawn = results.by_learning_rate({"sgd": {1e-2: good, 1e-1: lost}}, "Two rates")
    assert "diverged: 10.0% right" in _texts(drawn) and "sgd at 1e-1 10.0%" in drawn.alt_text
    assert drawn.axes[0].get_ylim()[0] > 0.8
    assert "diverged" not in _texts(results.by_learning_rate({"sgd": {1e-2: good}}, "One rate"))


def test_a_title_that_is_passed_in_is_the_finding(runs: Runs) -> None:
    rates = {"sgd": {1e-2: runs["first"]}}
    for figure in (
        curves.learning_curves(runs, "the errors are few"),
        results.by_learning_rate(rates, "the errors are few"),
    ):
        assert figure.get_suptitle() == "The errors are few"
        assert figure.alt_text.startswith("The errors are few.")


def test_the_time_to_a_target_is_told_with_the_studys_where_that_reached_it(
    make_run: Callable[..., Run],
) -> None:
    fast, slow = (
        make_run(test, epochs=epochs, content={"timing_sec": {**SECONDS, "total": seconds}})
        for test, epochs, seconds in ((0.8, 1, 100.0), (0.9, 28, 1500.0))
    )
    found = of(fast, slow)
    told = by_time.error_by_time(found, 0.85).alt_text
    assert told.startswith(
        "85.0% on test takes 1,500 s here. Test error by time. 1 pass: 100 s 20.0%. 28 passes:"
    )
    assert "the study" not in told and "plain Keras" not in told and "Left out" not in told
    assert by_time.error_by_time(found, 0.95).alt_text.startswith("95.0% on test is not reached here.")
    perfect = by_time.error_by_time(of(make_run(1.0, epochs=2)), 0.95)
    assert "2 passes: 1,000 s 0.0%" in perfect.alt_text and style.png(perfect)
    beside = dataclasses.replace(found, log=LOG, others=3, bench=speed.read())
    told = by_time.error_by_time(beside, 0.9).alt_text
    assert "takes 1,500 s here, and took the study's GPU 937 s." in told
    assert "the study, on a GPU: 937 s 8.4%" in told and "from scratch, at best:" in told
    assert "Left out: 3 experiments" in told
    assert "95.0% on test is not reached here. Test" in by_time.error_by_time(beside, 0.95).alt_text


def test_a_run_without_errors_and_two_equal_runs_are_drawn(runs: Runs) -> None:
    perfect = dataclasses.replace(runs["first"], confusion_matrix=(200 * np.eye(10, dtype=int)).tolist())
    for drawn in (results.confusion(perfect), results.largest_confusions(perfect)):
        assert "No test image is taken for another class" in drawn.alt_text
    assert (
        "Two makes 0 errors, one 0." in results.changed_confusions({"one": perfect, "two": perfect}).alt_text
    )


def test_the_error_is_told_where_few_and_where_all_choose_the_label() -> None:
    drawn = FROM_ARRAYS["error_by_agreement"]("cifar10")
    told = "errs on 100.0% where under 50% choose the label, on 5.3% where all do"
    assert told in drawn.alt_text and "all: network 5.3%, person 0.0%" in drawn.alt_text
    few = asked.bands([True, False], [0.6, 0.9], [0.0, 0.5, 0.8])
    assert "50% or more, under 80%: network 0.0%" in people.error_by_agreement(few, "cifar10").alt_text


def test_images_on_which_people_side_with_an_error_are_shown() -> None:
    drawn = FROM_ARRAYS["sided_images"]("cifar10")
    assert "In 1 of 2 errors most people say what the network says" in drawn.alt_text
    assert "deer 100%, label: truck" in drawn.alt_text
    none = people.sided_images(PIXELS, LABELS, LABELS, SAID, "cifar10")
    assert "In 0 of 0 errors" in none.alt_text


def test_where_all_is_right_the_least_sure_answers_are_shown() -> None:
    drawn = images.confident_errors(PIXELS, LABELS, np.eye(10)[LABELS], "cifar10")
    assert "All of 20 images are right" in drawn.alt_text and "least sure answers" in drawn.alt_text


def test_of_many_classes_the_most_telling_are_shown(make_run: Callable[..., Run]) -> None:
    names = [f"class {number}" for number in range(45)]
    counts = {"val": [20] * 45, "test": [20] * 45}
    own = {"class_counts": counts, "data": {"classes": names, "train": [60] * 45, "divided": ""}}
    settings: dict[str, Any] = {"dataset": "folder:pets", "scale": "quick", "content": own}
    one, two = make_run(0.8, **settings), make_run(0.9, seed=1, confused={7: 3}, **settings)
    pair = {"one": one, "two": two}
    for drawn, which in (
        (results.per_class_accuracy(pair), "20 of 45 classes: the hardest and the easiest"),
        (results.changed_confusions(pair), "of these errors"),
        (results.paired_outcomes(pair), "20 of 45 classes: those with most such images"),
        (results.confusion(two), "20 of the 90 errors"),
    ):
        assert (
            which in drawn.alt_text and "Own images (pets), of which the study says nothing" in drawn.alt_text
        )
        assert len(drawn.axes[0].get_yticks()) <= 20
    with pytest.raises(ValueError, match="do not compare"):
        results.per_class_accuracy({"own": one, "theirs": make_run(0.8)})


def test_classes_have_labels_that_can_be_drawn_and_told_apart(make_run: Callable[..., Run]) -> None:
    long = "a name that goes on and on, "
    names = ["$5_$10", "猫", "犬", f"{long}first", f"{long}last", "été", "x", "y", "z", "w"]
    labels = style.class_labels(names)
    assert labels[:3] == [r"\$5_\$10", "class 2", "class 3"] and len(set(labels)) == len(names)
    assert style.class_labels(["a", "猫"]) == ["a", "class 2"]
    assert len(set(style.class_labels(["猫", "class 1", "class 1 1"]))) == 3
    assert labels[5] == "été" and max(map(len, labels)) <= style.LONGEST + 2
    own = {"data": {"classes": names, "train": [60] * 10, "divided": ""}}
    run = make_run(0.8, dataset="folder:pets", scale="quick", content=own)
    drawn = results.per_class_accuracy({"own $1 and $2": run})
    assert "$5_$10" in drawn.alt_text and "\\" not in drawn.alt_text
    assert style.png(drawn)


def test_what_cannot_be_drawn_is_refused_by_name(runs: Runs, tmp_path: Path) -> None:
    first = runs["first"]
    with pytest.raises(ValueError, match="compares two runs and was given 1: first"):
        results.changed_confusions({"first": first})
    with pytest.raises(ValueError, match="6 series in one figure"):
        curves.learning_curves({str(number): first for number in range(6)})
    with pytest.raises(RecordError, match="json: holds no confusion matrix"):
        results.per_class_accuracy({"bare": dataclasses.replace(first, confusion_matrix=None)})
    with pytest.raises(ValueError, match="'bare' has no 'accuracy' in stage2"):
        curves.learning_curves({"bare": dataclasses.replace(first, curves={})})
    with pytest.raises(ValueError, match="different images"):
        results.changed_confusions({"log": LOG, "smoke": first})
    with pytest.raises(ValueError, match=r"pixels run from 0 to 1: images in \[0, 255\]"):
        images.contact_sheet(PIXELS / 255, LABELS, "cifar10")
    with pytest.raises(RecordError, match="no probabilities"):
        results.reliability({"log": LOG})


def test_drawing_changes_nothing_for_the_next_one(runs: Runs) -> None:
    before = dict(mpl.rcParams)
    results.per_class_accuracy(runs)
    assert dict(mpl.rcParams) == before


def test_a_figure_of_images_fits_a_phone_at_twice_the_density_and_describes_itself() -> None:
    figure = FROM_ARRAYS["contact_sheet"]("cifar10")
    with Image.open(io.BytesIO(style.png(figure))) as image:
        assert image.width == 880
        assert image.info["Description"] == figure.alt_text


def test_rare_classes_leave_blanks_and_make_no_tower() -> None:
    labels = np.array([0, 0, 0, 0, 0, *range(1, 10)])
    figure = images.contact_sheet(np.full((14, 8, 8, 3), 9.0), labels, "cifar10")
    width, height = figure.get_size_inches()
    assert height < 3 * width and "At most 4 images of each class" in figure.alt_text


def test_bins_are_those_that_are_asked_for(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    said = np.random.default_rng(0).dirichlet(np.full(10, 0.2), len(runs["first"].labels("test")))
    monkeypatch.setattr(Run, "probabilities", lambda run, split: said)
    for bins in (2, 15):
        error = metrics.calibration(said, runs["first"].labels("test"), bins).error
        _, names = results.reliability({"first": runs["first"]}, bins).axes[0].get_legend_handles_labels()
        assert names[1] == f"first, calibration error {error:.1%}"


def test_a_displayed_figure_carries_its_alternative_text(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(style, "publish_display_data", shown.append)
    monkeypatch.setattr(style, "png", lambda figure: b"pixels")
    figure = style.Figure()
    figure.alt_text = 'The "epochs" <28>'
    style.display(figure)
    assert 'alt="The &quot;epochs&quot; &lt;28&gt;"' in shown[0]["text/html"]
    assert shown[0]["text/plain"] == figure.alt_text


# Machado, Oliveira, Fernandes 2009, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", table 1, severity 1: linear RGB to what a person without one kind of cone sees.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def _linear(colour: str) -> np.ndarray:
    rgb = np.array(mpl.colors.to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    """CIELAB under D65, whose distances are about what the eye tells apart: 2 is just visible."""
    xyz = TO_XYZ @ np.clip(linear, 0, 1) / TO_XYZ.sum(axis=1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_the_palette_can_be_told_apart_by_the_colour_blind(deficiency: str) -> None:
    seen = [_lab(np.array(DEFICIENCIES[deficiency]) @ _linear(colour)) for colour in style.PALETTE]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15


def test_the_palette_stands_out_from_white() -> None:
    for colour in (*style.PALETTE, style.GREY):
        assert 1.05 / (TO_XYZ[1] @ _linear(colour) + 0.05) >= 3
    assert len(set(style.MARKERS)) == len(style.PALETTE)


def test_drawing_imports_no_framework_and_no_pyplot_figure() -> None:
    program = """
import sys
from helpers import figures
from helpers.records import published, store
figures.confusion(store.read(published.PUBLISHED_LOGS / "run_final_optimized.json"))
assert not {"tensorflow", "keras"} & sys.modules.keys(), "a framework was imported"
import matplotlib.pyplot as plt
assert not plt.get_fignums(), "a figure was left open"
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "setting", ["savefig.format: pdf", "text.usetex: True", "axes.labelpad: 40", "savefig.bbox: tight"]
)
def test_a_users_matplotlibrc_changes_no_figure(setting: str, runs: Runs, tmp_path: Path) -> None:
    plain = style.png(results.confusion(runs["first"]))
    (tmp_path / "matplotlibrc").write_text(setting)
    with mpl.rc_context(fname=tmp_path / "matplotlibrc"):
        assert style.png(results.confusion(runs["first"])) == plain
