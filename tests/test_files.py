"""Files are whole, whatever stops the writing of several."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from helpers import files


def test_what_cannot_be_moved_leaves_each_file_old_or_new_and_nothing_beside(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("a", "b", "c"))
    (second / "in the way").mkdir(parents=True)
    third.write_bytes(b"old")
    with pytest.raises(files.DiskError, match="b cannot be written"):
        files.write({first: b"new", second: b"new", third: b"new"})
    assert (first.read_bytes(), third.read_bytes()) == (b"new", b"old")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_what_cannot_be_written_moves_nothing(tmp_path: Path) -> None:
    first = tmp_path / "a"
    first.write_bytes(b"old")
    with pytest.raises(files.DiskError, match="absent"):
        files.write({first: b"new", tmp_path / "absent" / "b": b"new"})
    assert first.read_bytes() == b"old" and list(tmp_path.iterdir()) == [first]


def test_room_is_taken_before_a_file_is_filled_through_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "view.npy"
    np.lib.format.open_memmap(path, "w+", np.float16, (4096, 1024))
    assert path.stat().st_blocks * 512 < 2**20  # a sparse file: of its 8 MiB nothing is there yet
    files.reserve(path)
    assert path.stat().st_blocks * 512 >= 2**23

    def full(descriptor: int, start: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(files.DiskError, match=r"view.npy cannot be written .*No space left.*REPORT_CACHE"):
        files.reserve(path)
    assert not path.exists()
