"""ro-crate-metadata.json: the records as a research object, which archives and search engines read.

RO-Crate 1.1 (Soiland-Reyes et al. 2022, https://w3id.org/ro/crate/1.1): one JSON-LD file beside the data.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from helpers import paths
from helpers.records import store

FILE = paths.ROOT / "ro-crate-metadata.json"
STUDY = "From 87% to 92%: A Deep Dive into Optimizing Transfer Learning for CIFAR-10"
MIT = "https://spdx.org/licenses/MIT"
FORMATS = {".json": "application/json", ".npz": "application/zip"}


def written() -> str:
    """The metadata of all full-scale records in results/, as the file holds it.

    Raises RecordError where one of them is damaged.
    """
    runs = store.read_whole(paths.RESULTS)
    (released,) = re.findall(r"^date-released: (\S+)", (paths.ROOT / "CITATION.cff").read_text("utf-8"), re.M)
    parts = [
        _entity(path, f"{what} of the run {run.name}, seed {run.seed}")
        for run in sorted(runs, key=lambda run: run.path.name)
        for path, what in (
            (run.path, "Choices, curves, metrics and machine"),
            (run.path.with_suffix(".npz"), "Answers to the validation and test images"),
        )
    ]
    crate = {
        "@id": FILE.name,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": "Transfer learning on CIFAR-10, run again: the records",
        "description": f"{len(runs)} runs that test the claims of the study {STUDY!r}. "
        "How to read and to cite them: README.md and CITATION.cff.",
        "datePublished": released,
        "license": {"@id": MIT},
        "hasPart": [{"@id": each["@id"]} for each in parts],
    }
    graph = {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": [crate, root, *parts]}
    return json.dumps(graph, indent=1) + "\n"


def _entity(path: Path, name: str) -> dict[str, Any]:
    content = path.read_bytes()
    return {
        "@id": path.relative_to(paths.ROOT).as_posix(),
        "@type": "File",
        "name": name,
        "encodingFormat": FORMATS[path.suffix],
        "contentSize": str(len(content)),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
