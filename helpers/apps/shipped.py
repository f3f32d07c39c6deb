"""The trained networks that ship: a folder of models/ for each, with the record and the card of its file.

models/<name>/<name>.keras      the network
models/<name>/<record>          what that very file answers to the validation and test images
models/<name>/README.md         its card, computed from the record
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from helpers import paths
from helpers.errors import UserError
from helpers.experiment import Experiment, nearest
from helpers.records import store
from helpers.records.run import Run
from helpers.study import experiments

NETWORKS: Mapping[str, Experiment] = {"best": experiments.BEST.replace(seed=0), "quick": experiments.FAST}
"""The experiments whose networks may ship, by name, the most accurate first.

The best one's seed is the one whose weights were kept; chapter 7 compares it with others.
"""


class ShippedError(UserError):
    """A shipped network is missing, or is not the file that its record is of."""


@dataclass(frozen=True)
class Shipped:
    """A network's file and the record that is of this file."""

    name: str
    file: Path
    record: Run

    @property
    def card(self) -> Path:
        """The Markdown file that says what the network is fit for."""
        return self.file.with_name("README.md")


def default() -> str:
    """The name of the most accurate network that ships. Raises ShippedError where none does."""
    for name in NETWORKS:
        if place(name).is_file():
            return name
    raise ShippedError(f"{paths.MODELS} holds no network; restore it from version control")


def find(name: str) -> Shipped:
    """A shipped network by name, its file checked against its record.

    Raises ShippedError where the name is unknown, or the file is missing or another one; RecordError where
    the record is damaged.
    """
    file, cure = place(name), f"restore it from version control, or write it: python -m helpers ship {name}"
    if not file.is_file():
        raise ShippedError(f"the network {name!r} does not ship here: there is no {file}; {cure}")
    runs = store.read_whole(file.parent)
    if [run.fingerprints.get("network") for run in runs] != [fingerprint(file)]:
        raise ShippedError(f"{file} is not the file that the record beside it is of; {cure}")
    return Shipped(name, file, runs[0])


def experiment(name: str) -> Experiment:
    """The experiment of a network that may ship. Raises ShippedError for an unknown name."""
    if name not in NETWORKS:
        raise ShippedError(f"no network that ships is called {name!r}{nearest(name, list(NETWORKS))}")
    return NETWORKS[name]


def place(name: str) -> Path:
    """Where the file of a network lies that ships. Raises ShippedError for an unknown name."""
    experiment(name)
    return paths.MODELS / name / f"{name}.keras"


def fingerprint(file: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
