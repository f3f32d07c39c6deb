"""Files written whole: the old content is there until the new one is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

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


def _refused(path: Path, error: OSError) -> DiskError:
    return DiskError(
        f"{path} cannot be written ({error}); make room there, or set REPORT_RESULTS (records) or "
        "REPORT_CACHE (what is stored) to a folder on another disk"
    )
