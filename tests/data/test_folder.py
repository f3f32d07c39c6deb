"""A person's own images: what is refused, how they are divided, and what identifies them."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers import run
from helpers.apps import predict
from helpers.data import folder, sources
from helpers.data.split import DataError
from helpers.experiment import SCALES, Experiment
from helpers.records.run import caution

SIZES = {"apples": 20, "pears": 8, "quinces": 4}
SIDE = 48


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of this test alone."""
    monkeypatch.setenv("REPORT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def drawn(place: Path, sizes: Mapping[str, int] = SIZES, seed: int = 0) -> Path:
    """A folder of small pictures, each of another size and kind; a class is told by its colour."""
    rng = np.random.default_rng(seed)
    for label, (name, count) in enumerate(sizes.items()):
        (place / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 60, (40 + number, 60 - number, 3), dtype=np.uint8)
            pixels[..., label % 3] += 150
            Image.fromarray(pixels).save(place / name / f"{number:02d}.{('png', 'jpg')[number % 2]}")
    return place


def by_path(found: folder.Folder) -> dict[str, str]:
    """File to split."""
    return {each.file: each.split for each in found.pictures}


# ---------------------------------------------------------------------------- what is refused


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere is no folder: .* holds a folder a class"):
        folder.scan(tmp_path / "nowhere")


def test_one_class_alone_is_refused_and_so_are_more_than_a_thousand(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 class alone"):
        folder.scan(drawn(tmp_path / "one", {"apples": 3}))
    for number in range(folder.MOST_CLASSES + 1):
        (tmp_path / "many" / str(number)).mkdir(parents=True)
    with pytest.raises(DataError, match="1,001 classes"):
        folder.scan(tmp_path / "many")


def test_an_empty_class_is_refused_by_name(tmp_path: Path) -> None:
    (drawn(tmp_path / "own") / "medlars").mkdir()
    with pytest.raises(DataError, match=r"medlars holds no picture"):
        folder.scan(tmp_path / "own")


def test_a_class_too_small_to_divide_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the class pears has 2 pictures .* needs 3 or more"):
        folder.scan(drawn(tmp_path / "own", {"apples": 5, "pears": 2}))


def test_a_folder_one_level_too_high_is_refused(tmp_path: Path) -> None:
    drawn(tmp_path / "own" / "all")
    drawn(tmp_path / "own" / "more", seed=1)
    told = r"all is taken for a class and holds the folder apples.*own holds all; more"
    with pytest.raises(DataError, match=told):
        folder.scan(tmp_path / "own")


def test_a_folder_that_links_to_itself_and_a_name_that_no_page_can_show_are_refused(tmp_path: Path) -> None:
    own = drawn(tmp_path / "own")
    (own / "pears" / "loop").symlink_to("loop")
    with pytest.raises(DataError, match=r"loop cannot be read.*move it elsewhere"):
        folder.scan(own)
    (own / "pears" / "loop").unlink()
    try:
        os.mkdir(os.fsencode(own) + b"/caf\xe9")
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    with pytest.raises(DataError, match=r"own holds a folder whose name is not UTF-8, 'caf.*: rename it"):
        folder.scan(own)


def test_a_part_that_lacks_a_class_and_two_parts_for_validation_are_refused(tmp_path: Path) -> None:
    drawn(tmp_path / "own" / "train")
    drawn(tmp_path / "own" / "test", {"apples": 1, "pears": 1}, seed=1)
    with pytest.raises(DataError, match="test has no folder for the class quinces"):
        folder.scan(tmp_path / "own")
    drawn(tmp_path / "own" / "val", seed=2), drawn(tmp_path / "own" / "valid", seed=3)
    with pytest.raises(
        DataError, match="test, train, val, valid: leave one folder of pictures for validation"
    ):
        folder.scan(tmp_path / "own")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert folder.scan(drawn(tmp_path / "own", {"bus": 3, "train": 3})).classes == ("bus", "train")


def test_a_picture_in_two_classes_is_refused_by_name(tmp_path: Path) -> None:
    own = drawn(tmp_path / "own")
    shutil.copy(own / "apples" / "03.jpg", own / "pears" / "found.jpg")
    with pytest.raises(DataError, match=r"same picture .*: pears/found.jpg and apples/03.jpg"):
        folder.scan(own)


def test_a_picture_in_train_and_in_test_is_refused_by_name(tmp_path: Path) -> None:
    own = tmp_path / "own"
    drawn(own / "train"), drawn(own / "test", seed=1)
    shutil.copy(own / "train" / "apples" / "03.jpg", own / "test" / "apples" / "seen.jpg")
    with pytest.raises(
        DataError, match=r"train/apples/03.jpg and test/apples/seen.jpg|seen.jpg and .*03.jpg"
    ):
        folder.scan(own)


def test_files_that_are_no_pictures_are_refused_by_name_all_at_once(tmp_path: Path) -> None:
    own = drawn(tmp_path / "own")
    (own / "pears" / "notes.txt").write_text("no picture")
    whole = (own / "apples" / "02.png").read_bytes()
    (own / "apples" / "02.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"(?s)(notes.txt.*02.png|02.png.*notes.txt).*move them out"):
        sources.load(Experiment(dataset=f"folder:{own}", scale="smoke"))


def test_a_scale_with_fewer_images_than_classes_is_refused(tmp_path: Path) -> None:
    own = drawn(tmp_path / "own", {f"class {number}": 3 for number in range(130)})
    with pytest.raises(DataError, match=r"130 classes, more than smoke scale has .* \(128\)"):
        sources.load(Experiment(dataset=f"folder:{own}", scale="smoke", image_size=32))


# ---------------------------------------------------------------------------- how it is divided


def test_at_full_scale_all_pictures_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = drawn(tmp_path / "own")
    for name, few in (("full", False), ("quick", True)):
        small = dataclasses.replace(SCALES[name], train=4, val=3, test=3)
        monkeypatch.setitem(SCALES, name, small)
        experiment = Experiment(dataset=f"folder:{root}", image_size=SIDE).replace(scale=name)
        found, used = sources.load(experiment), sources.sizes(experiment)
        assert [len(split.labels) for split in (found.train, found.val, found.test)] == list(used)
        assert (used == (4, 3, 3)) is few and (sum(used) == len(folder.scan(root).pictures)) is not few


def test_every_class_is_in_every_split_in_its_proportion(tmp_path: Path) -> None:
    images = sources.load(Experiment(dataset=f"folder:{drawn(tmp_path / 'own')}", image_size=SIDE))
    counts = {name: np.bincount(getattr(images, name).labels).tolist() for name in ("train", "val", "test")}
    assert counts == {"train": [14, 6, 2], "val": [3, 1, 1], "test": [3, 1, 1]}
    assert images.classes == tuple(SIZES) and images.test.side == SIDE and "seed 42" in images.division
    for name in counts:
        split = getattr(images, name)
        assert split.images.shape[1:] == (SIDE, SIDE, 3) and split.images.dtype == np.uint8
        assert (split.images.mean(axis=(1, 2)).argmax(axis=1) == split.labels).all(), (
            "pictures and labels part"
        )
        first = split.first(len(SIZES))
        assert sorted(first.labels) == [0, 1, 2], "the first images of a split are of every class"


def test_what_train_and_test_folders_say_holds_and_validation_is_held_out_of_training(tmp_path: Path) -> None:
    own = tmp_path / "own"
    drawn(own / "train"), drawn(own / "test", {"apples": 2, "pears": 2, "quinces": 2}, seed=1)
    found = folder.scan(own)
    splits = by_path(found)
    assert all(split == "test" for path, split in splits.items() if path.startswith("test/"))
    assert {split for path, split in splits.items() if path.startswith("train/")} == {"train", "val"}
    drawn(own / "valid", {"apples": 1, "pears": 1, "quinces": 1}, seed=2)
    told = by_path(folder.scan(own))
    assert {path.split("/")[0]: split for path, split in told.items()} == {
        "train": "train",
        "valid": "val",
        "test": "test",
    }


def test_the_division_is_written_down_and_copies_are_left_out_by_name(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = drawn(tmp_path / "own")
    shutil.copy(own / "apples" / "03.jpg", own / "apples" / "again.jpg")
    (own / "apples" / ".DS_Store").write_text("not a picture")
    found = folder.scan(own)
    folder.images(found, SIDE)
    assert "copies of others in their class: apples/again.jpg" in capsys.readouterr().out
    (written,) = cache.rglob("division.csv")
    lines = written.read_text().splitlines()
    assert len(lines) == 1 + sum(SIZES.values()) + 1
    assert {line.rsplit(",", 1)[0] for line in lines} >= {f"{p},{s}" for p, s in by_path(found).items()}
    assert "apples/again.jpg,left out: apples/03.jpg," in lines


# ---------------------------------------------------------------------------- what identifies it


def test_a_moved_folder_with_renamed_files_is_the_same_and_its_pictures_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = drawn(tmp_path / "own")
    before = folder.scan(own)
    pixels = np.array(folder.images(before, SIDE))
    own.rename(tmp_path / "moved")
    (tmp_path / "moved" / "apples" / "00.png").rename(tmp_path / "moved" / "apples" / "zz.png")
    monkeypatch.setattr(folder, "_store", None)  # calling it would fail
    after = folder.scan(tmp_path / "moved")
    assert after.fingerprint == before.fingerprint
    np.testing.assert_array_equal(folder.images(after, SIDE), pixels)


def test_another_pixel_another_class_and_another_division_are_other_data(tmp_path: Path) -> None:
    own = drawn(tmp_path / "own")
    found = [folder.scan(own).fingerprint]
    Image.new("RGB", (50, 50)).save(own / "apples" / "00.png")
    found.append(folder.scan(own).fingerprint)
    (own / "apples").rename(own / "crabs")
    found.append(folder.scan(own).fingerprint)
    shutil.copytree(own, tmp_path / "divided" / "train")
    drawn(tmp_path / "divided" / "test", {"crabs": 1, "pears": 1, "quinces": 1}, seed=1)
    found.append(folder.scan(tmp_path / "divided").fingerprint)
    assert len(set(found)) == len(found)


def test_pictures_that_change_places_are_other_data(tmp_path: Path, cache: Path) -> None:
    """Of one size and one time of change, as unpacked files are."""
    own = tmp_path / "own"
    for label, name in enumerate(("apples", "pears")):
        (own / name).mkdir(parents=True)
        for number in range(4):
            path = own / name / f"{number}.bmp"
            Image.new("RGB", (8, 8), (100 * label, 20 * number, 0)).save(path)
            os.utime(path, ns=(0, 0))
    before = folder.scan(own).fingerprint
    (own / "apples" / "0.bmp").rename(tmp_path / "0.bmp")
    (own / "pears" / "0.bmp").rename(own / "apples" / "0.bmp")
    (tmp_path / "0.bmp").rename(own / "pears" / "0.bmp")
    after = folder.scan(own).fingerprint
    assert after != before
    (noted,) = (cache / "folders").glob("*.json")
    noted.write_text("[]")
    folder._checked.cache_clear()
    assert folder.scan(own).fingerprint == after
    for old, new in (("apples", "t"), ("pears", "apples"), ("t", "pears")):
        (own / old).rename(own / new)
    assert folder.scan(own).fingerprint not in (before, after)


def test_damaged_stored_pictures_are_read_again(tmp_path: Path, cache: Path) -> None:
    found = folder.scan(drawn(tmp_path / "own"))
    whole = np.array(folder.images(found, SIDE))
    (stored,) = cache.rglob(f"{SIDE}.npy")
    content = bytearray(stored.read_bytes())
    content[-1] ^= 255
    stored.write_bytes(content)
    folder._verified.clear()
    np.testing.assert_array_equal(folder.images(found, SIDE), whole)
    stored.unlink()  # as `cache --clear` does, in another process
    np.testing.assert_array_equal(folder.images(found, SIDE), whole)


# ---------------------------------------------------------------------------- a whole run


def test_a_run_on_unequal_classes_tells_its_classes_and_is_found_again_from_another_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REPORT_RESULTS", str(tmp_path / "results"))
    own = drawn(tmp_path / "own", {"apples": 40, "pears": 12, "quinces": 12})
    settings: dict[str, Any] = {"backbone_weights": "miniature", "image_size": SIDE, "scale": "smoke"}
    experiment = Experiment(dataset=f"folder:{own}", batch_size=16, n_unfreeze=10, **settings)
    found = run.run(experiment, progress=False)
    assert found.classes == ("apples", "pears", "quinces") and found.has_unequal_classes
    assert found.dataset == "folder:own" and found.data["train"] == [28, 8, 8] and found.train_images == 44
    assert found.class_counts == {"val": [6, 2, 2], "test": [6, 2, 2]}
    assert found.probabilities("test").shape == (10, 3) and np.shape(found.matrix()) == (3, 3)
    assert caution(found).startswith(
        "Own images (own) with the miniature's backbone, of which the study says"
    )
    assert found.test_accuracy > 0.9, "colours that differ so much are told apart by any network"
    alike = run.run(experiment.replace(class_weights="none"), progress=False)
    assert alike.stage1.loss != found.stage1.loss, "the weights of the classes change what is learned"

    own.rename(tmp_path / "elsewhere")
    moved = experiment.replace(dataset=f"folder:{tmp_path / 'elsewhere'}")
    again = run.find(moved)
    assert again is not None and again.id == found.id == moved.identity(run.fingerprints(moved))
    quince = next((tmp_path / "elsewhere" / "quinces").iterdir())
    (line, *_), _ = predict.describe([quince], predict.chosen("", moved))
    assert line.split(": ")[1].startswith("quinces")
    assert predict.classes(moved) == found.classes
    quince.unlink()
    assert run.find(moved) is None, "other pictures are another data set"
