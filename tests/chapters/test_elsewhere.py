"""Chapter 9 on made-up runs, on both sides of what its sentences depend on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import made
import pytest

from helpers import markdown, paths
from helpers.chapters import elsewhere
from helpers.chapters.elsewhere import CAREFUL, FROZEN, MOVING, RECIPE, UNTUNED
from helpers.data import cifar10
from helpers.records.run import RecordError, Run, caution
from helpers.study.experiments import ELSEWHERE, FINGERPRINTS, SEEDS, SETS

Load = Callable[..., elsewhere.Elsewhere]
Write = Callable[..., None]
START = (0.90, 0.90, 0.90)
COURSES = {
    "undone": [START, (0.40, 0.89, 0.9), (0.95, 0.95, 0.9)],
    "not undone": [START, (0.40, 0.60, 0.9), (0.95, 0.95, 0.9)],
    "no collapse": [START, (0.89, 0.95, 0.9), (0.95, 0.95, 0.9)],
}


@pytest.fixture
def write(make_run: Callable[..., Run]) -> Write:
    def written(
        name: str, accuracies: Mapping[str, float] | None = None, courses: tuple[str, ...] = ("undone",) * 3
    ) -> None:
        """Records of a set: test accuracy by way, 0.8 where none is given; a course for each seed."""
        images = SETS[name].get("dataset", "")
        prints = {"data": FINGERPRINTS.get(images, cifar10.FINGERPRINT), "weights": "w" * 64}
        for seed, course in zip(SEEDS, courses, strict=False):
            for way, experiment in ELSEWHERE.items():
                asked = experiment.replace(seed=seed, **SETS[name])
                content: dict[str, Any] = {"fingerprints": prints, "id": asked.identity(prints)}
                measured = made.diagnosed(*COURSES[course]) if way == MOVING else ()
                share = (accuracies or {}).get(way, 0.8)
                make_run(share, content=content, diagnosis=measured, **asked.changes)

    return written


@pytest.fixture
def load(write: Write) -> Load:
    def stored(*args: Any, **kwargs: Any) -> elsewhere.Elsewhere:
        """Runs on sign digits alone."""
        write("sign digits", *args, **kwargs)
        (found,) = shown()
        return found

    return stored


def seeds(ch: elsewhere.Elsewhere) -> list[int]:
    return [each.seed for each in ch.runs[CAREFUL]]


def shown() -> list[elsewhere.Elsewhere]:
    return elsewhere.load(dataset="cifar10", scale="full", seed=42)


@pytest.mark.parametrize("frozen", [0.9, 0.7, 0.8])
def test_what_the_careful_rate_costs_is_the_gain_of_a_frozen_norm(load: Load, frozen: float) -> None:
    ch = load({FROZEN: frozen})
    assert ch.gain(FROZEN).value == pytest.approx(frozen - 0.8)
    assert elsewhere.gaining([ch, ch], FROZEN) == ("2 of 2 tests" if frozen > 0.8 else "0 of 2 tests")
    assert (seeds(ch), ch.first.seed, len(ch.records)) == ([42, 0, 1], 42, 15)
    assert caution(ch.asked) == "" and caution(ch.first)


@pytest.mark.parametrize(
    "courses, counts, holds",
    [
        (("undone", "undone", "no collapse"), (2, 2), True),
        (("undone", "not undone", "not undone"), (3, 1), False),
        (("undone", "no collapse", "no collapse"), (1, 1), False),
    ],
)
def test_a_collapse_is_counted_and_so_is_what_undoes_it(
    load: Load, courses: tuple[str, ...], counts: tuple[int, int], holds: bool
) -> None:
    ch = load(courses=courses)
    assert [each.told[-1] for each in ch.falls] == list(courses)
    assert ((ch.collapses, ch.undone), ch.holds) == (counts, holds)
    assert ch.largest_gap == pytest.approx(0.49)
    assert (ch.falls[0].lowest.epoch, ch.falls[0].lowest.moving.value) == (1, 0.4)


def test_every_way_has_its_line(load: Load) -> None:
    ch = load({UNTUNED: 0.7, RECIPE: 0.9})
    assert [line[:2] for line in ch.ends] == [("sign digits", way) for way in ELSEWHERE]
    (untuned, careful, *_, recipe) = ch.ends
    assert untuned[3:] == ("–", "–") and careful[4] == "–"
    assert [round(gain.value, 3) for gain in (careful[3], *recipe[3:])] == [0.1, 0.2, 0.1]
    assert markdown.rows("a | b | c | d | e", ch.ends).data.count("\n") == len(ELSEWHERE) + 1


@pytest.mark.usefixtures("make_run")
def test_a_readers_own_folder_of_results_need_not_hold_what_ships() -> None:
    assert [each.name for each in shown()] == list(SETS)


def test_seeds_that_are_not_stored_are_left_out(load: Load) -> None:
    assert seeds(load(courses=("undone",))) == [42]


def test_a_set_is_shown_once_a_seed_has_all_its_runs(write: Write) -> None:
    write("sign digits")
    write("Fashion-MNIST", {FROZEN: 0.7}, ("no collapse",) * 2)
    digits, clothes = shown()
    assert (digits.name, clothes.name, seeds(clothes)) == ("sign digits", "Fashion-MNIST", [42, 0])
    assert (digits.holds, clothes.holds) == (True, False)
    assert clothes.gain(FROZEN).value == pytest.approx(-0.1) and digits.gain(FROZEN).value == 0
    first, second = clothes.runs[RECIPE]
    second.path.unlink()
    assert [seeds(each) for each in shown()] == [[42, 0, 1], [42]]
    first.path.unlink()
    assert [each.name for each in shown()] == ["sign digits"]


def test_another_network_stands_beside_other_images(write: Write) -> None:
    write("sign digits")
    write(LITE0 := "CIFAR-10 with EfficientNet-Lite0", {FROZEN: 0.9}, ("no collapse",) * 3)
    _, lite = shown()
    assert (lite.name, seeds(lite), lite.holds) == (LITE0, [42, 0, 1], False)
    assert {each.experiment.backbone for each in lite.records} == {"efficientnet_lite0"}
    assert lite.first.is_study_data and lite.gain(FROZEN).value == pytest.approx(0.1)


def test_without_any_record_the_page_says_so(
    make_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    with pytest.raises(RecordError, match="no run on sign digits is stored"):
        shown()
