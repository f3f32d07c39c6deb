"""One record in memory."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.data import sources
from helpers.errors import UserError
from helpers.experiment import FOLDER, STUDY_DATA, Experiment, is_study_data

PUBLISHED_SPLIT = {"train": 45000, "val": 5000, "test": 10000}
"""Images of each split in the original study; its logs do not say."""

VIEWS = ("plain", "flipped")
UNEQUAL = 1.5
"""A person's own classes are called unequal where the largest has more than this many times the smallest."""


class RecordError(UserError):
    """A record is damaged, was edited by hand, or lacks what was asked of it."""


RESTORE = "Restore the .json and the .npz from version control, or delete both and run the experiment again"


def refused(path: Path, reason: str, cure: str = RESTORE) -> RecordError:
    """The error for a record that cannot be used: it names the file, the reason and the cure."""
    return RecordError(f"{path}: {reason}. {cure}")


@dataclass(frozen=True)
class Curves:
    """One value an epoch of a stage; accuracies in 0 to 1, losses in nats. What was not logged is empty."""

    accuracy: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        """Epochs, as they were logged; 0 where there was no such stage."""
        return len(self.loss)

    @property
    def kept_epoch(self) -> int:
        """Index, from 0, of the epoch whose weights are kept: that of the lowest validation loss."""
        return self.val_loss.index(min(self.val_loss))


def _counted(channels: int | None, which: str) -> int:
    if channels is None:
        raise RecordError(f"a record is older than the count of {which} channels: run its experiment again")
    return channels


@dataclass(frozen=True)
class Diagnosis:
    """What engine/diagnosis.py measured of a network, before stage 2 or after one of its epochs."""

    accuracy: dict[str, dict[str, float]]
    """Images ('val' and 'val_augmented') to statistics to accuracy, 0 to 1."""
    probe: float
    """Accuracy on validation images of a fresh linear classifier on the features."""
    drift: dict[str, float]
    """Kernel to the norm of its change, divided by its norm before."""
    cka: dict[str, float]
    """Block to the similarity of its activations with those before, 0 to 1."""
    active_channels: int | None = None
    """Channels of the pooled features that vary; None in records older than this count."""
    kept_channels: int | None = None
    """Channels that keep at least a hundredth of their variance before."""
    averages: dict[str, dict[str, Any]] | None = None
    """What engine/averages.py measured between the steps of the epoch; None unless asked for."""

    @property
    def active(self) -> int:
        """The active channels. Raises RecordError where the record is older than their count."""
        return _counted(self.active_channels, "active")

    @property
    def kept(self) -> int:
        """The kept channels. Raises RecordError where the record is older than their count."""
        return _counted(self.kept_channels, "kept")

    @classmethod
    def of(cls, measured: Mapping[str, Any]) -> Diagnosis:
        """From the JSON of a record, whose names for the two counts are older than ours."""
        names = {"active_channels": "alive", "kept_channels": "kept"}
        found: dict[str, Any] = {
            each.name: measured.get(names.get(each.name, each.name)) for each in fields(cls)
        }
        return cls(**found)


@dataclass(frozen=True, eq=False)
class Run:
    """One record, ours or the original study's. What one of its logs does not hold is empty or None."""

    name: str
    """The experiment's slug, or the name of the published log."""
    id: str
    """The experiment's identity with its data and weights; empty for a published log."""
    config: dict[str, Any]
    """The Experiment's fields; in a published log, the study's options under its own names."""
    metrics: dict[str, float]
    """Accuracies in 0 to 1 (val_end2end, test_end2end, val_tta, test_tta, ...) and losses in nats."""
    curves: dict[str, dict[str, list[float]]]
    """Stage ('stage1', 'stage2') to Keras metric to one value an epoch."""
    timing_sec: dict[str, float]
    confusion_matrix: list[list[int]] | None
    """Test images: rows true class, columns predicted. Plain predictions in ours."""
    path: Path
    """The JSON file."""
    format: int = 0
    """The layout's version; 0 for a published log."""
    key: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    steps: dict[str, list[int]] = field(default_factory=dict)
    """Stage to optimizer steps of each epoch, as counted."""
    train_images: int = PUBLISHED_SPLIT["train"]
    class_counts: dict[str, list[int]] = field(default_factory=dict)
    """Split to images of each class."""
    diagnosis: list[Diagnosis] = field(default_factory=list)
    """What was measured before stage 2 and after each of its epochs; empty unless asked for."""
    data: dict[str, Any] = field(default_factory=dict)
    """Of a person's own images: names of their classes, training images of each, how they were divided."""

    @property
    def is_published_log(self) -> bool:
        """Whether it is a log like those of the original study, without probabilities and checksum."""
        return self.format == 0

    @property
    def scale(self) -> str:
        """smoke, quick or full; the published logs are full."""
        return self.config.get("scale", "full")

    @property
    def dataset(self) -> str:
        """cifar10, miniature, or folder:NAME without the path; the published logs are of cifar10."""
        return self.config.get("dataset", STUDY_DATA)

    @property
    def is_study_data(self) -> bool:
        """Whether its numbers may be set beside the original study's."""
        return is_study_data(self.dataset)

    @property
    def images(self) -> str:
        """What tells its images from others: the dataset; a folder's contents, as its name may change."""
        return self.fingerprints["data"] if self.dataset.startswith(FOLDER) else self.dataset

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the labels."""
        return tuple(self.data["classes"]) if self.data else sources.SOURCES[self.dataset].classes

    @property
    def has_unequal_classes(self) -> bool:
        """Whether accuracy says more of some classes than of others; of a person's own images alone."""
        return bool(self.data) and max(self.data["train"]) > UNEQUAL * min(self.data["train"])

    @property
    def learning_rate(self) -> float | None:
        """Initial learning rate of stage 2; None for a published log that does not hold it."""
        logged = self.curves.get("stage2", {}).get("learning_rate")
        first = logged[0] if logged else None
        return self.config.get("learning_rate", self.config.get("lr_stage2", first))

    @functools.cached_property
    def experiment(self) -> Experiment:
        """The choices that made it. A field that came after the record is at its default.

        Raises RecordError for a published log, which has other options.
        """
        if self.is_published_log:
            raise RecordError(f"{self.path}: a log of the original study is no Experiment of ours")
        known = {each.name for each in fields(Experiment)}
        return Experiment(**{name: value for name, value in self.config.items() if name in known})

    @property
    def seed(self) -> int:
        """The random seed."""
        return self.config["seed"]

    @property
    def stage1(self) -> Curves:
        """Curves of the head on frozen features; empty where there was no such stage."""
        return self.stage("stage1")

    @property
    def stage2(self) -> Curves:
        """Curves of suffix and head together; empty where there was no such stage."""
        return self.stage("stage2")

    def stage(self, name: str) -> Curves:
        """Curves of 'stage1' or 'stage2'; empty where there was no such stage."""
        logged = self.curves.get(name, {})
        return Curves(**{each.name: logged.get(each.name, []) for each in fields(Curves)})

    def accuracy(self, split: str, view: str = "plain") -> float:
        """Accuracy on 'val' or 'test', 0 to 1; view 'plain', or 'tta' with the flip averaged in."""
        return self.metrics[f"{split}_{'end2end' if view == 'plain' else view}"]

    @property
    def val_accuracy(self) -> float:
        """Accuracy on the validation images, 0 to 1."""
        return self.accuracy("val")

    @property
    def test_accuracy(self) -> float:
        """Accuracy on the test images, 0 to 1."""
        return self.accuracy("test")

    @property
    def stage1_val_accuracy(self) -> float:
        """Validation accuracy that stage 2 starts from, 0 to 1."""
        return self.metrics["stage1_val_accuracy"]

    @property
    def val_loss(self) -> float:
        """Loss on the validation images, in nats, with smoothed labels where the training had them.

        Each image counts alike; in the curve of a folder's run each class may.
        """
        return self.metrics["val_loss"]

    @property
    def seconds(self) -> float:
        """Time of the whole run."""
        return self.timing_sec["total"]

    @property
    def storing_seconds(self) -> float:
        """Time that the frozen part took on all views."""
        return self.timing_sec["feature_extract"]

    @property
    def stage1_seconds(self) -> float:
        """Time of stage 1's epochs."""
        return self.timing_sec["top_train"]

    @property
    def stage2_seconds(self) -> float:
        """Time of stage 2's epochs."""
        return self.timing_sec["end2end"]

    @property
    def threads(self) -> int:
        """Threads of the processor that it used."""
        return self.environment["threads"]

    @property
    def processor(self) -> str:
        """The processor's name."""
        return self.environment["processor"]

    @property
    def versions(self) -> dict[str, str]:
        """Versions of Python and of the libraries, by name."""
        return {"Python": self.environment["python"], **self.environment["versions"]}

    @property
    def accelerator(self) -> str:
        """The GPUs or other accelerators that it used; empty for none."""
        return self.environment.get("accelerator", "")

    def matrix(self) -> NDArray[np.int64]:
        """The confusion matrix (classes, classes) in test images.

        Raises RecordError for a log that holds none.
        """
        if self.confusion_matrix is None:
            raise RecordError(f"{self.path}: holds no confusion matrix: run it again, or choose another")
        return np.asarray(self.confusion_matrix)

    def size(self, split: str) -> int:
        """Number of images in 'val' or 'test'."""
        return PUBLISHED_SPLIT[split] if self.is_published_log else sum(self.class_counts[split])

    def labels(self, split: str) -> NDArray[np.int64]:
        """True classes (n,) of 'val' or 'test', in the order of the stored rows: 0 ... 0, 1 ... 1, ..."""
        if self.is_published_log:
            raise RecordError(f"{self.path}: a log of the original study holds no single predictions")
        counts = self.class_counts[split]
        return np.repeat(np.arange(len(counts)), counts)

    def probabilities(self, split: str, view: str = "plain") -> NDArray[np.float32]:
        """Softmax outputs (n, classes) in class order; view 'plain', 'flipped', or 'tta', their mean.

        Raises RecordError for a published log and for a screening record, which hold none.
        """
        views = VIEWS if view == "tta" else (view,)
        return np.mean([self._array(f"{split}_{name}").astype(np.float32) for name in views], axis=0)

    def predictions(self, split: str, view: str = "plain") -> NDArray[np.int64]:
        """Predicted classes (n,) in class order; of a screening record too."""
        if self.is_screening:
            return self._array(f"{split}_{view}_predicted").astype(np.int64)
        return self.probabilities(split, view).argmax(axis=1)

    def correct(self, split: str, view: str = "plain") -> NDArray[np.bool_]:
        """Whether each image (n,) was classified correctly: what paired tests compare."""
        return self.predictions(split, view) == self.labels(split)

    @property
    def is_screening(self) -> bool:
        """Whether only predicted classes and the true classes' probabilities were kept."""
        return not self.is_published_log and "test_plain_predicted" in self._npz()

    def _npz(self) -> Any:
        if self.is_published_log:
            raise RecordError(f"{self.path}: a log of the original study holds no probabilities")
        return np.load(self.path.with_suffix(".npz"), allow_pickle=False)

    def _array(self, name: str) -> NDArray[Any]:
        with self._npz() as stored:
            if name not in stored:
                raise RecordError(f"{self.path}: holds no {name!r}, only {', '.join(stored)}")
            return stored[name]


def caution(run: Run | Experiment) -> str:
    """What a reader must know before believing a run's numbers; empty for full CIFAR-10."""
    if run.dataset == "miniature":
        return "Miniature: drawn images, whose numbers say nothing about CIFAR-10"
    part = "" if run.scale == "full" else f"{run.scale.capitalize()} scale: a part of the images and epochs"
    if run.is_study_data:
        return part
    own = sources.described(run.dataset)
    weights = run.backbone_weights if isinstance(run, Experiment) else run.config["backbone_weights"]
    drawn = " with the miniature's backbone" if weights == "miniature" else ""
    return f"{own[:1].upper()}{own[1:]}{drawn}, of which the study says nothing{'. ' if part else ''}{part}"
