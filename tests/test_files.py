"""Files are whole, whatever stops the writing of several."""

from pathlib import Path

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
