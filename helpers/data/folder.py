"""A person's own images: a folder for each class, or train, val and test folders of such.

    files ──► checked: a class each, no picture twice ──► divided ──► read once, at one size, into the cache

What the pictures are decides everything: not where they lie, and not what their files are called. So a folder
that was moved, or whose files were renamed, gives the same fingerprint and finds the same records.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import io
import json
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from helpers import files, paths
from helpers.data import pictures
from helpers.data.split import DataError
from helpers.progress import bar
from helpers.text import span

MOST_CLASSES = 1000
SPLIT_SEED = 42
"""Of the division into training, validation and test pictures: the original study's own."""
HELD_OUT = 0.15
"""Share of each class that is kept for validation, and as much again for the test; at least one picture."""
READING = "folder-1"
"""Part of every fingerprint; changed whenever the same files would give other pixels or another division."""
SPLITS = ("train", "val", "test")
NAMES_OF_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Folders that hold a part of the pictures, where one of them is called train."""
PASSED_OVER = ("Thumbs.db", "desktop.ini")
"""Files that a system leaves in folders of pictures; those whose name begins with a dot are others."""
SHOWN = 10
"""Files that an error names, at most."""


@dataclass(frozen=True)
class Picture:
    """A file, by its path in the folder, the split and the class that it is in, and its content's SHA-256."""

    file: str
    split: str
    label: int
    digest: str


@dataclass(frozen=True)
class Folder:
    """The pictures of a folder, those of each split in the order in which a smaller scale takes the first."""

    root: Path
    classes: tuple[str, ...]
    """The names of the class folders, in alphabetical order."""
    pictures: tuple[Picture, ...]
    copies: tuple[tuple[str, str], ...]
    """A file that is left out, and the file of the same class that it is a copy of."""
    held_out: tuple[str, ...]
    """The splits that the folder does not have itself: held out of its pictures to train on."""

    @functools.cached_property
    def fingerprint(self) -> str:
        """What identifies the contents: the pictures, their classes and how they are divided; 16 digits."""
        lines = sorted(f"{each.split}/{self.classes[each.label]}/{each.digest}" for each in self.pictures)
        text = "\n".join([READING, *lines])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def labels(self, split: str) -> np.ndarray:
        """The classes of a split's pictures, int64 (n,)."""
        return np.array([each.label for each in self.pictures if each.split == split], np.int64)

    @property
    def division(self) -> str:
        """How the pictures were divided, in words."""
        held = " and ".join(self.held_out)
        return f"{held} held out class by class with seed {SPLIT_SEED}" if held else "as its folders say"


# ---------------------------------------------------------------------------- what the folder holds


def scan(root: Path) -> Folder:
    """What a folder of pictures holds; no picture is opened, but every file is read once for its SHA-256.

    Raises DataError, which names what is wrong: no folder, fewer than 2 or more than 1,000 classes, a class
    without a picture, folders within a class, the same picture in two classes or in two splits.
    """
    root = paths.whole(root)
    found = []
    for (split, name), folder in _class_folders(root).items():
        inside = _listed(folder)
        if deeper := [entry.name for entry in inside if _is_folder(entry)]:
            raise DataError(
                f"{folder} is taken for a class and holds the folder {deeper[0]}: give the folder whose "
                "folders are the classes, or one that holds train, val and test folders of such, called so, "
                f"and no others; {root} holds {_some(_folders(root))}"
            )
        if not inside:
            where = " from every part" if split else ""
            raise DataError(f"{folder} holds no picture: add some, or remove this class{where}")
        below = os.path.relpath(folder, root)
        found += [(split, name, os.path.join(below, entry.name), *_stamp(entry)) for entry in inside]
    return _checked(root, tuple(found))


def _stamp(entry: os.DirEntry[str]) -> tuple[int, int, int, int]:
    """Size and times of change of a file, of its content and its own, and its number: they move with it."""
    try:
        state = entry.stat()
    except OSError as error:
        raise _unreadable(entry.path, error) from error
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:  # a link to itself
        raise _unreadable(entry.path, error) from error


def _unreadable(path: str | Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be read ({error.strerror}): allow it, or move it elsewhere")


def _class_folders(root: Path) -> dict[tuple[str, str], Path]:
    """(split, class) to its folder, in order; the split is empty where the folder is not divided."""
    if not root.is_dir():
        raise DataError(f"{root} is no folder: a data set folder:PATH is one that holds a folder a class")
    parts, within = {"": root}, _folders(root)
    if "train" in within and within.keys() <= NAMES_OF_SPLITS.keys():
        parts = {NAMES_OF_SPLITS[name]: path for name, path in within.items()}
        if len(parts) < len(within):
            raise DataError(f"{root} holds {', '.join(within)}: leave one folder of pictures for validation")
    found = {(split, name): path for split, part in parts.items() for name, path in _folders(part).items()}
    names = sorted({name for _, name in found})
    if not 2 <= len(names) <= MOST_CLASSES:
        few = "1 class alone" if len(names) == 1 else f"{len(names):,} classes"
        raise DataError(
            f"{root} holds {few} (folders with pictures): 2 to {MOST_CLASSES:,} are needed, a folder each"
        )
    for split, part in parts.items():
        if missing := [name for name in names if (split, name) not in found]:
            raise DataError(f"{part} has no folder for the class {missing[0]}, which others have: add it")
    return found


def _folders(place: Path) -> dict[str, Path]:
    entries = _listed(place)
    for entry in entries:
        if entry.is_symlink() and not os.path.exists(entry.path):
            raise DataError(f"{entry.path} is a link to nothing: mend it, or remove it")
    found = {entry.name: place / entry.name for entry in entries if _is_folder(entry)}
    for name in found:
        if name.encode("utf-8", "ignore").decode() != name:  # no figure and no page could show it
            raise DataError(f"{place} holds a folder whose name is not UTF-8, {name!r}: rename it")
    return found


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, by name, but for what systems leave there."""
    try:
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise _unreadable(folder, error) from error
    return [entry for entry in inside if not entry.name.startswith(".") and entry.name not in PASSED_OVER]


@functools.lru_cache(maxsize=4)
def _checked(root: Path, found: tuple[tuple[str, str, str, int, int, int, int], ...]) -> Folder:
    """The folder of these files, given with their size and times of change: none is read again in vain."""
    labels = {name: label for label, name in enumerate(sorted({name for _, name, *_ in found}))}
    digests = _digests(root, [stamped for _, _, *stamped in found])
    every = [
        Picture(file, split, labels[name], digest)
        for (split, name, file, *_), digest in zip(found, digests, strict=True)
    ]
    first: dict[str, Picture] = {}
    copies: list[tuple[str, str]] = []
    clashes: list[tuple[str, str]] = []
    for each in every:
        other = first.setdefault(each.digest, each)
        if other is each:
            continue
        alike = (other.split, other.label) == (each.split, each.label)
        (copies if alike else clashes).append((each.file, other.file))
    if clashes:
        pairs = _some(f"{one} and {two}" for one, two in clashes)
        raise DataError(
            f"{root} holds the same picture in two classes, or in two of train, val and test: {pairs}. Such "
            "a test would say nothing: keep one of each"
        )
    held_out = tuple(split for split in SPLITS[1:] if split not in {split for split, *_ in found})
    divided = _divided(list(first.values()), tuple(labels), held_out, root)
    return Folder(root, tuple(labels), tuple(divided), tuple(copies), held_out)


def _digests(root: Path, found: Iterable[list[Any]]) -> list[str]:
    """The SHA-256 of each file's content, read again only where its size or a time of change is another."""
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    store = paths.writable(paths.cache_folder() / "folders", "REPORT_CACHE") / f"{name}.json"
    try:
        known = dict(json.loads(store.read_text()))
    except (OSError, ValueError, TypeError):
        known = {}
    fresh: dict[str, str] = {}
    for file, *stamp in found:
        key = "|".join(map(str, (file, *stamp)))
        try:
            fresh[key] = known.get(key) or hashlib.sha256((root / file).read_bytes()).hexdigest()
        except OSError as error:
            raise _unreadable(root / file, error) from error
    if fresh != known:
        files.write({store: json.dumps(fresh).encode()})
    return list(fresh.values())


def _some(names: Iterable[object]) -> str:
    """The first names, and how many there are more."""
    listed = list(map(str, names))
    more = f" and {len(listed) - SHOWN:,} more" if len(listed) > SHOWN else ""
    return f"{'; '.join(listed[:SHOWN])}{more}"


# ---------------------------------------------------------------------------- how it is divided


def _divided(
    every: Sequence[Picture], classes: Sequence[str], held_out: Sequence[str], root: Path
) -> list[Picture]:
    """The pictures with their split, those that lack one held out of the training pictures by class.

    Which are held out depends on the contents and on SPLIT_SEED alone. The first n pictures of each split
    have the classes in their proportions, and all of them where there are no more than n.
    """
    rng = np.random.default_rng(SPLIT_SEED)
    by_class: list[list[Picture]] = [[] for _ in classes]
    for each in sorted(every, key=lambda each: each.digest):
        by_class[each.label].append(each)
    placed = []
    for name, unordered in zip(classes, by_class, strict=True):
        own = [unordered[place] for place in rng.permutation(len(unordered))]
        parts = {split: [each for each in own if (each.split or "train") == split] for split in SPLITS}
        held, least = max(1, round(HELD_OUT * len(parts["train"]))), len(held_out) + 1
        if len(parts["train"]) < least:
            raise DataError(
                f"{root}: the class {name} has {len(parts['train'])} pictures to train on and to hold out "
                f"from, and needs {least} or more: add some, or remove its folder"
            )
        for split in held_out:
            parts[split], parts["train"] = parts["train"][:held], parts["train"][held:]
        for number, (split, part) in enumerate(parts.items()):
            for rank, each in enumerate(part):
                entry = dataclasses.replace(each, split=split)
                placed.append((number, rank / len(part), rng.random(), entry))
    return [each for *_, each in sorted(placed, key=lambda entry: entry[:3])]


# ---------------------------------------------------------------------------- the pictures in the cache


def images(folder: Folder, side: int) -> np.ndarray:
    """All pictures of a folder, uint8 (n, side, side, 3) in its order, mapped from the cache, read-only.

    They are read where the cache does not hold them as its checksum says. Raises DataError, which names them,
    for files that are no pictures, and CacheError where they cannot be stored.
    """
    place = paths.writable(paths.cache_folder() / "folders" / folder.fingerprint, "REPORT_CACHE")
    path, shape = place / f"{side}.npy", (len(folder.pictures), side, side, 3)
    with filelock.FileLock(place / f"{side}.lock"):
        if not path.exists() or (path not in _verified and not _is_sound(path, shape)):
            _store(folder, path, shape)
        _verified.add(path)
    return np.load(path, mmap_mode="r", allow_pickle=False)


_verified: set[Path] = set()
"""Files whose checksum this process has already borne out."""


def _is_sound(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether a file of pictures is there and is what its checksum says."""
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        noted = json.loads(path.with_suffix(".json").read_text())["crc32"]
    except (OSError, ValueError, EOFError, LookupError):
        return False
    return stored.shape == shape and stored.dtype == np.uint8 and files.crc32(stored) == noted


def _store(folder: Folder, path: Path, shape: tuple[int, ...]) -> None:
    """Read every picture into one file, which is there once all of them are, and write down the division."""
    needed, free = int(np.prod(shape)), shutil.disk_usage(path.parent).free
    if needed > 0.95 * free:
        raise paths.CacheError(
            f"storing {needed / 1e9:.2f} GB of pictures in {path.parent}, where {free / 1e9:.2f} GB are "
            "free, would fill the disk; free some, or set REPORT_CACHE to a larger disk"
        )
    beside = path.with_suffix(".unfinished")
    rows = np.lib.format.open_memmap(beside, "w+", np.uint8, shape)
    files.reserve(beside)
    refused = []
    with (
        warnings.catch_warnings(record=True) as assumed,
        bar(f"reading {folder.root.name} at {shape[1]} px", shape[0], "img") as shown,
    ):
        for place, each in enumerate(folder.pictures):
            try:
                rows[place] = pictures.read(folder.root / each.file, shape[1])
            except pictures.PictureError as error:
                refused.append(error)
            shown.update()
    if refused:
        beside.unlink()
        raise DataError(f"{_some(refused)}. Mend these files or move them out of the folder")
    rows.flush()
    files.write(
        {
            path.with_suffix(".json"): json.dumps({"crc32": files.crc32(rows)}).encode(),
            path.with_name("division.csv"): _division(folder),
        }
    )
    os.replace(beside, path)
    print(_summary(folder, path.with_name("division.csv"), [str(each.message) for each in assumed]))


def _division(folder: Folder) -> bytes:
    """Every file with its split and its class, or with the file that it is a copy of, as CSV."""
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(("file", "split", "class"))
    for each in folder.pictures:
        lines.writerow((each.file, each.split, folder.classes[each.label]))
    for copy, original in folder.copies:
        lines.writerow((copy, f"left out: {original}", ""))
    return text.getvalue().encode("utf-8", "surrogateescape")


def _summary(folder: Folder, division: Path, assumed: Sequence[str]) -> str:
    """What was read, in a few lines for the person whose pictures they are."""
    sizes = Counter(each.split for each in folder.pictures)
    counts = Counter(each.label for each in folder.pictures).values()
    lines = [
        f"{folder.root}: {len(folder.pictures):,} pictures of {len(folder.classes):,} classes, "
        f"{span(counts, ',')} each; {folder.division}: "
        f"{', '.join(f'{sizes[split]:,} {split}' for split in SPLITS)} (see {division})"
    ]
    if folder.copies:
        names = _some(copy for copy, _ in folder.copies)
        lines.append(f"left out as copies of others in their class: {names}")
    if assumed:
        lines.append(_some(assumed))
    return "\n".join(lines)
