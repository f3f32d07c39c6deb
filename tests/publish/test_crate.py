"""ro-crate-metadata.json: true, and what the library of its makers reads."""

import hashlib
from pathlib import Path

from rocrate.rocrate import ROCrate

from helpers import paths
from helpers.publish import crate


def test_it_agrees_with_the_records() -> None:
    assert crate.FILE.read_text(encoding="utf-8") == crate.written(), "run `python -m helpers readme`"


def test_ro_crate_finds_every_record_whole() -> None:
    read = ROCrate(crate.FILE.parent)
    files = {str(each.id): each for each in read.data_entities}
    records = [path for path in sorted(paths.RESULTS.glob("*-*.*")) if path.suffix in crate.FORMATS]
    assert sorted(files) == [path.relative_to(paths.ROOT).as_posix() for path in records]
    for name, each in files.items():
        assert each["sha256"] == hashlib.sha256(Path(paths.ROOT, name).read_bytes()).hexdigest()
    assert read.root_dataset["license"] and read.root_dataset["datePublished"]
