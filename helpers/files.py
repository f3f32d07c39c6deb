"""Files written whole: the old content is there until the new one is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def write(files: Mapping[Path, bytes]) -> None:
    """Write files so that each is always whole on the disk: the old one until the new one is.

    All are written beside their places, then moved there in the given order. Raises OSError where one
    cannot be written; then none was moved.
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
    finally:
        for left in beside.values():
            left.unlink(missing_ok=True)
