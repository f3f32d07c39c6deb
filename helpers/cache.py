"""What is kept on disk for re-use: listed, bounded and cleared. Needs no Keras.

Stored activations (bank/), copies of pictures (folders/) and checkpoints (runs/) can be made again. Trained
weights (runs/) lie beside the latter and are kept.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import filelock

from helpers.experiment import Diagnosed, Experiment
from helpers.paths import CacheError, cache_bound, cache_folder, writable


def views() -> list[Path]:
    """Every stored view, the least recently used first."""
    used = {}
    for path in (cache_folder() / "bank").glob("*/*.npy"):
        with contextlib.suppress(FileNotFoundError):  # another process removed it meanwhile
            used[path] = path.stat().st_mtime
    return sorted(used, key=used.__getitem__)


def taken(path: Path) -> int:
    """Bytes that a file has on the disk: of one that was begun, those written; 0 where there is none."""
    try:
        state = path.stat()
    except OSError:
        return 0
    return min(state.st_size, 512 * state.st_blocks) if hasattr(state, "st_blocks") else state.st_size


def make_room(needed: int, folder: Path, keep: set[Path]) -> None:
    """See that `needed` more bytes can be stored in `folder`: within the bound, and on the disk.

    Removes the least recently used views beyond the bound, but none of `keep` and none that a process is
    writing. Raises CacheError, before anything is removed, where the folder cannot be written, the bound
    is smaller than the need, or the disk has no room.
    """
    writable(folder, "REPORT_CACHE")
    stored = views()
    kept = sum(taken(path) for path in stored if path in keep)
    if needed + kept > cache_bound():
        raise CacheError(
            f"the views wanted take {(needed + kept) / 1e9:.2f} GB and REPORT_CACHE_GB allows "
            f"{cache_bound() / 1e9:g}; raise it, or ask for fewer views"
        )
    removable = [path for path in stored if path not in keep]
    excess = needed + sum(map(taken, stored)) - cache_bound()
    free = shutil.disk_usage(folder).free
    if needed > 0.95 * free + max(0, excess):
        raise CacheError(
            f"storing {needed / 1e9:.2f} GB of activations in {folder}, where {free / 1e9:.2f} GB are free, "
            "would fill the disk; free some (python -m helpers cache --clear), set REPORT_CACHE to a larger "
            "disk, or ask for fewer views"
        )
    for path in removable:
        if excess <= 0:
            break
        size = taken(path)
        if _remove(path):
            excess -= size


def _remove(path: Path) -> bool:
    """Delete a stored view and its note, or a copy of pictures, unless a process holds its lock."""
    try:
        with filelock.FileLock(path.with_suffix(".lock"), timeout=0):
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)  # another process may have made room with it
    except filelock.Timeout:
        return False
    return True


def listing() -> str:
    """What is stored, the most recently used first, and how much it takes."""
    lines = [f"{cache_folder()}"]
    total = 0
    for path in reversed(views()):
        with contextlib.suppress(FileNotFoundError):  # another process made room with it
            state = path.stat()
            age, total = (time.time() - state.st_mtime) / 3600, total + state.st_size
            megabytes = f"{state.st_size / 1e6:8.1f} MB"
            lines.append(f"  {megabytes}  used {age:6.1f} h ago  {path.parent.name}/{path.name}")
    lines.append(f"  {total / 1e9:.2f} GB of stored activations; the bound is {cache_bound() / 1e9:g} GB")
    own = _copies()
    size = sum(map(taken, own))
    lines.append(f"  {size / 1e9:.2f} GB of your own pictures, at the size of a network, in {len(own)} files")
    runs = list((cache_folder() / "runs").glob("*/*.npz"))
    size = sum(map(taken, runs))
    lines.append(f"  {size / 1e9:.2f} GB of checkpoints and trained weights in {len(runs)} files")
    return "\n".join(lines)


def _copies() -> list[Path]:
    """The copies of a reader's own pictures, and those that an interrupted reading left unfinished."""
    return [path for end in ("npy", "unfinished") for path in (cache_folder() / "folders").glob(f"*/*.{end}")]


def run_folder(experiment: Experiment, found: Mapping[str, str], diagnosed: Diagnosed = False) -> Path:
    """The folder of an experiment's checkpoints and, once it has ended, of its trained weights.

    A diagnosed run has one of its own: it cannot go on from where one without measurements stopped.
    """
    name = f"{experiment.slug}-{experiment.identity(found)}"
    return cache_folder() / "runs" / (f"{name}-diagnosed" if diagnosed else name)


def lock_of(folder: Path) -> Path:
    """The lock file of an experiment's folder in runs/: its whole name, of which a rate's point is a part."""
    return folder.with_name(f"{folder.name}.lock")


def clear() -> str:
    """Delete the stored activations, checkpoints and copies of pictures that no process is writing.

    Trained weights stay: a run whose record exists is not trained again, and `predict` needs them.
    """
    removed = [path for path in views() if _remove(path)]
    busy = len(views())
    for folder in {path.parent for path in (cache_folder() / "runs").glob("*/stage*.npz")}:
        try:
            with filelock.FileLock(lock_of(folder), timeout=0):
                for checkpoint in folder.glob("stage*.npz"):
                    checkpoint.unlink()
        except filelock.Timeout:
            busy += 1
    busy += sum(not _remove(copy) for copy in _copies())  # a process that has one mapped keeps it to its end
    kept = f"; {busy} in use were kept" if busy else ""
    return (
        f"removed {len(removed)} stored views, the checkpoints and the copies of pictures{kept}; "
        "trained weights stay"
    )
