"""Files written whole, the old content there until the new one is; and locks."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock

from helpers.errors import UserError


class DiskError(UserError, OSError):
    """A file cannot be written: there is no room for it, or no permission."""


def write(files: Mapping[Path, bytes]) -> None:
    """Write files so that each is always whole on the disk: the old one until the new one is.

    All are written beside their places, then moved there in the given order. Raises DiskError where one
    cannot be written, before any is moved, or cannot be moved.
    """
    beside = {path: path.with_name(f".{path.name}.{os.getpid()}") for path in files}
    try:
        for path, content in files.items():
            with open(beside[path], "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path in files:
            os.replace(beside[path], path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        for left in beside.values():
            left.unlink(missing_ok=True)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A place to make a file or a folder at, which goes to `path` once the block has ended.

    After an error, `path` is as it was. Raises OSError where it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as beside:
        yield Path(beside, path.name)
        os.replace(Path(beside, path.name), path)


def locked(path: Path, waiting: str) -> filelock.AcquireReturnProxy:
    """A lock file, held until the `with` ends; says `waiting` where another process has it, and waits."""
    lock = filelock.FileLock(path)
    try:
        return lock.acquire(timeout=0)
    except filelock.Timeout:
        print(waiting, flush=True)
        return lock.acquire()


def reserve(path: Path) -> None:
    """Take a file's whole room on the disk, before it is filled through memory.

    A disk that fills would otherwise end the process by a signal (SIGBUS), with no word. Raises DiskError.
    Does nothing where the system has no such call, as macOS.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _refused(path, error) from error


def crc32(rows: Iterable[Any]) -> int:
    """CRC-32 of an array on the disk, row by row, so that Ctrl-C does not wait for the whole of it."""
    value = 0
    for row in rows:
        value = zlib.crc32(row, value)
    return value


def _refused(path: Path, error: OSError) -> DiskError:
    return DiskError(
        f"{path} cannot be written ({error}); make room there, or set REPORT_RESULTS (records) or "
        "REPORT_CACHE (what is stored) to a folder on another disk"
    )
