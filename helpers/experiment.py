"""What to run: an Experiment is every choice that can change a result, and nothing else.

Everything downstream (`run`, the records, the notebooks' parameters, the command line) speaks in these
fields. This module imports neither Keras nor NumPy, so reading a record or listing a study costs nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from helpers.errors import UserError

PROTOCOL = 2
"""Raised whenever the same fields would come to mean something else."""


class ExperimentError(UserError):
    """A field of an Experiment is unknown, mistyped or out of range."""


Engine = Literal["cached", "end_to_end"]
"""How stage 2 trains, with the same result: from the feature cache, or through the whole network."""
Diagnosed = bool | Literal["steps"]
"""Whether engine/diagnosis.py measures after every epoch of stage 2; "steps": engine/averages.py as well."""
Backbone = Literal[
    "mobilenet_v2", "mobilenet_v3_large", "efficientnet_v2_b0", "resnet50_v2", "efficientnet_lite0"
]
"""The pre-trained networks, by name: the first is the original study's."""


STUDY_DATA = "cifar10"
"""The original study's images: its claims and its published figures are about these and no others."""
NAMED = (STUDY_DATA, "miniature")
"""The data sets that have a name."""
FOLDER = "folder:"
"""What the dataset of a person's own images begins with; the path of their folder follows."""
SIDE = 32
"""Pixels a side of CIFAR-10's and the miniature's images."""


def is_study_data(dataset: str) -> bool:
    """Whether a dataset's results may be set beside the original study's."""
    return dataset == STUDY_DATA


@dataclass(frozen=True)
class Scale:
    """How much of the full protocol is run: upper limits on images, epochs and views."""

    train: int
    val: int
    test: int
    stage1_epochs: int
    epochs: int
    views: int


SCALES: dict[str, Scale] = {
    "smoke": Scale(train=256, val=128, test=128, stage1_epochs=2, epochs=2, views=2),
    "quick": Scale(train=2000, val=500, test=1000, stage1_epochs=10, epochs=3, views=2),
    "full": Scale(train=45000, val=5000, test=10000, stage1_epochs=1000, epochs=1000, views=1000),
}


def _within(low: float, high: float, default: Any, **more: Any) -> Any:
    """A numeric field with an inclusive range."""
    return field(default=default, metadata={"low": low, "high": high, **more})


@dataclass(frozen=True)
class Experiment:
    """Every choice that can change a result. The defaults are the original study's final ones.

    A field that is younger than the first records names, as `older` in its metadata, the value that these
    were made with. The key leaves it out at that value, so that their keys stay.

    Raises ExperimentError, where it is built, for a mistyped or out-of-range field.
    """

    dataset: str = STUDY_DATA
    """The images: cifar10; miniature, drawn ones that ship with the package; folder:PATH, a person's own."""
    scale: Literal["smoke", "quick", "full"] = "full"
    """How much of the protocol is run: seconds (smoke), minutes (quick), or as the study did (full)."""
    seed: int = _within(0, 2**31 - 1, 42)
    """Seed of the head's initial weights, of dropout and of the order of the batches."""
    backbone: Backbone = field(default="mobilenet_v2", metadata={"older": "mobilenet_v2"})
    """The pre-trained network, without its top."""
    image_size: int = _within(32, 224, 160)
    """Side of the square image that the backbone sees, in pixels."""
    backbone_weights: str = "imagenet"
    """'imagenet' (the file that <BACKBONE>_WEIGHTS names, else a download), 'miniature', or a file."""
    n_unfreeze: int = _within(0, 200, 30)
    """Layers unfrozen from the top of the backbone, counting every one that is not batch norm."""
    backbone_bn: Literal["frozen", "train"] = "frozen"
    """Whether the unfrozen blocks' batch norm keeps its ImageNet statistics or trains."""
    head_norm: Literal["batch", "frozen", "frozen_statistics", "frozen_scale", "layer", "none"] = "batch"
    """Normalization of the pooled features; frozen: a batch norm that stays as stage 1 left it, wholly, in
    its statistics alone (training uses them too), or in its scale and offset alone."""
    head_momentum: float = _within(0.0, 1.0, 0.99, older=0.99)
    """Share of the moving statistics of the head's batch norm that outlives an optimizer step."""
    head_norm_epochs: int = _within(1, 1000, 1000, older=1000)
    """Passes of stage 2 after which the head's batch norm is frozen."""
    norm_evaluation: Literal["moving", "re-estimated"] = field(default="moving", metadata={"older": "moving"})
    """What batch norms that move evaluate with; re-estimated: anew before every evaluation."""
    head_units: int = _within(0, 4096, 128)
    """Width of the head's hidden layer; 0 puts the softmax straight on the pooled features, from zero."""
    dropout: float = _within(0.0, 0.95, 0.25)
    """Share of the head's hidden units dropped in training."""
    label_smoothing: float = _within(0.0, 0.9, 0.05)
    """Share of each label spread evenly over all the classes."""
    class_weights: Literal["balanced", "none"] = "balanced"
    """Of a folder's images in the loss: each class counts alike, or each image. CIFAR-10's do both."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """Optimizer of stage 2; sgd has Nesterov momentum 0.9."""
    learning_rate: float = _within(0.0, 10.0, 1e-5)
    """Initial (with cosine: peak) learning rate of stage 2."""
    weight_decay: float = _within(0.0, 1.0, 1e-4)
    """Decoupled weight decay of stage 2 (adamw, sgd); adam has none."""
    schedule: Literal["plateau", "cosine", "constant"] = "plateau"
    """plateau: halved after 4 epochs without a lower val_loss; cosine: 200 warm-up steps, to zero."""
    precision: Literal["float32", "bfloat16"] = field(default="float32", metadata={"older": "float32"})
    """Of the pointwise convolutions' products, forward and backward, while stage 2 trains."""
    batch_size: int = _within(1, 4096, 64)
    """Images per optimizer step of stage 2."""
    stage1_optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """Optimizer of stage 1, the head on frozen features."""
    stage1_learning_rate: float = _within(0.0, 10.0, 1e-3)
    """Initial learning rate of stage 1."""
    stage1_batch_size: int = _within(1, 4096, 128)
    """Images per optimizer step of stage 1."""
    stage1_epochs: int = _within(0, 1000, 10)
    """Passes over the training features in stage 1."""
    stage1_patience: int = _within(1, 1000, 7)
    """Epochs without a lower val_loss after which stage 1 stops."""
    epochs: int = _within(0, 1000, 28)
    """Passes over the training set in stage 2."""
    head_epochs: int = _within(0, 1000, 0, older=0)
    """Passes in a stage 2 of the head alone, where nothing is unfrozen."""
    patience: int = _within(1, 1000, 10)
    """Epochs without a lower val_loss after which stage 2 stops."""
    augmentation: Literal["none", "flip", "crop", "standard", "standard+mixup"] = "standard"
    """Views of stage 2: plain; and flipped; and shifted; the study's turns, shifts, zooms, flips; mixed."""
    mixup_alpha: float = _within(1e-3, 10.0, 0.2)
    """Both parameters of the Beta distribution that mixup draws its weight from."""
    views: int = _within(1, 1000, 4)
    """How many augmented views of the training set exist; epoch e sees view e modulo views."""

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            object.__setattr__(self, spec.name, check(spec.name, getattr(self, spec.name)))
        drawn = [self.dataset == "miniature", self.backbone_weights == "miniature"]
        if drawn == [True, False] or (drawn == [False, True] and not self.folder):
            raise ExperimentError(
                f"dataset={self.dataset!r} with backbone_weights={self.backbone_weights!r}: the "
                "miniature's images and backbone go together and mix with no others; "
                "set both to 'miniature', or neither (its backbone also takes a folder, to try things out)"
            )
        if self.backbone_weights == "miniature" and self.backbone != "mobilenet_v2":
            raise ExperimentError(
                f"backbone={self.backbone!r} with backbone_weights='miniature': the miniature's weights are "
                "a MobileNetV2's; leave out one of the two"
            )
        if self.precision == "bfloat16" and self.backbone_bn != "frozen":
            raise ExperimentError(
                "precision='bfloat16' with backbone_bn='train': only convolutions joined with a frozen batch "
                "norm can multiply in bfloat16; set backbone_bn='frozen', or precision='float32'"
            )
        changes = (self.norm_evaluation != "moving") + (self.head_norm_epochs < 1000)
        if changes > (self.head_norm in ("batch", "frozen_scale")):
            raise ExperimentError(
                f"head_norm={self.head_norm!r}, norm_evaluation={self.norm_evaluation!r} and "
                f"head_norm_epochs={self.head_norm_epochs}: statistics are re-estimated only where training "
                "never uses them, and frozen later only where they move; leave out all but one"
            )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Experiment:
        """An Experiment from field names and values; an unknown name is refused with the nearest one."""
        known = [spec.name for spec in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise ExperimentError(f"unknown field {name!r}{nearest(name, known)}")
        return cls(**values)

    def replace(self, **changes: Any) -> Experiment:
        """A copy with some fields changed, checked like a new one."""
        return type(self).from_mapping({**dataclasses.asdict(self), **changes})

    @property
    def changes(self) -> dict[str, Any]:
        """The fields in which it differs from the careful fine-tune, whose fields are the defaults."""
        return changed(dataclasses.asdict(self))

    @property
    def described(self) -> str:
        """Its `changes` in words; unlike the slug, this misses none."""
        return ", ".join(f"{name}={value}" for name, value in self.changes.items()) or "the careful fine-tune"

    @property
    def command(self) -> str:
        """The command that runs it, as a shell takes it."""
        changes = self.changes.items()
        options = (f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in changes)
        return " ".join(["python -m helpers run", *options])

    @property
    def is_study_data(self) -> bool:
        """Whether its result may be set beside the original study's."""
        return is_study_data(self.dataset)

    @property
    def folder(self) -> Path | None:
        """The folder of a person's own images; None where the images are others."""
        return Path(self.dataset.removeprefix(FOLDER)) if self.dataset.startswith(FOLDER) else None

    @property
    def side(self) -> int:
        """Pixels a side of the images as they are stored; a folder's are stored as the network sees them."""
        return self.image_size if self.folder else SIDE

    @property
    def limits(self) -> Scale:
        """The scale's upper limits."""
        return SCALES[self.scale]

    @property
    def stage1_epochs_run(self) -> int:
        """Epochs of stage 1 at this scale, at most."""
        return min(self.stage1_epochs, self.limits.stage1_epochs)

    @property
    def epochs_run(self) -> int:
        """Epochs of stage 2 at this scale, at most; the head's own where nothing is unfrozen."""
        return min(self.epochs if self.n_unfreeze else self.head_epochs, self.limits.epochs)

    @property
    def views_run(self) -> int:
        """Views that stage 2 cycles through: as many as exist and its epochs can use."""
        most = {"none": 1, "flip": 2}.get(self.augmentation, self.views)
        return max(1, min(most, self.views, self.limits.views, self.epochs_run or 1))

    @property
    def key(self) -> str:
        """Hash of the choices alone: 12 hexadecimal digits, the same with whatever data and weights.

        Left out are the places of a weights file and of a folder of images, because their contents are in
        `identity`; what only stage 2 reads, where nothing is unfrozen; how classes weigh where they are
        equal; and a younger field at the value that older records had. A softmax alone has a key of its own
        since it starts at zero.
        """
        older = {spec.name: spec.metadata.get("older") for spec in dataclasses.fields(Experiment)}
        fields = {name: value for name, value in dataclasses.asdict(self).items() if value != older[name]}
        if fields["backbone_weights"] != "miniature":
            fields["backbone_weights"] = "imagenet"
        if self.folder:
            fields["dataset"] = FOLDER
        else:
            del fields["class_weights"]
        fields["views"] = self.views_run
        if "mixup" not in self.augmentation:
            del fields["mixup_alpha"]
        if self.head_norm in ("layer", "none"):
            fields.pop("head_momentum", None)
        if not self.head_units:
            fields |= SOFTMAX_START
        unused = STAGE2_FIELDS
        if self.epochs_run:
            unused = ["head_epochs"] if self.n_unfreeze else ["epochs", "backbone_bn", "precision"]
        for name in unused:
            fields.pop(name, None)
        limits = dataclasses.asdict(self.limits)
        return _digest({"protocol": PROTOCOL, "experiment": fields, "limits": limits})

    def identity(self, fingerprints: Mapping[str, str]) -> str:
        """Hash of the choices and of the data's and weights' fingerprints: names the record."""
        return _digest({"key": self.key, "fingerprints": dict(fingerprints)})

    @property
    def slug(self) -> str:
        """A readable, not necessarily unique, name for files and legends."""
        own = Experiment.__dataclass_fields__["backbone"].default
        parts = [self.backbone] * (self.backbone != own) + [f"n{self.n_unfreeze}"]
        if self.epochs_run:
            parts += [self.augmentation.replace("+", "-"), self.optimizer, f"lr{self.learning_rate:g}"]
            parts += [f"b{self.batch_size}"]
        return "_".join([*parts, f"s{self.seed}"])


SOFTMAX_START = {"softmax_starts": "at zero"}
"""Of every head without a hidden layer: the first records of these began at random, and are withdrawn."""
STAGE2_FIELDS = (
    "n_unfreeze backbone_bn optimizer learning_rate weight_decay schedule precision batch_size "
    "epochs head_epochs patience augmentation mixup_alpha views head_norm_epochs norm_evaluation"
).split()


def changed(config: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The choices of a record's configuration that differ from those of `base`: the careful fine-tune's.

    What older records hold besides, such as the engine that trained them, is no choice.
    """
    usual = dataclasses.asdict(Experiment()) if base is None else base
    return {name: value for name, value in config.items() if name in usual and value != usual[name]}


def nearest(name: str, known: list[str]) -> str:
    """'; did you mean ...?' for the known name most like `name`, or the list of all."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@functools.cache
def _hints() -> dict[str, Any]:
    return get_type_hints(Experiment)


def _is_dataset(value: Any) -> bool:
    return value in NAMED or (value.startswith(FOLDER) and value != FOLDER)


def check(name: str, value: Any) -> Any:
    """The value of one field of an Experiment, as its type; a name that is no field's passes unchanged.

    Raises ExperimentError, which says what is allowed, for a mistyped or out-of-range value.
    """
    if name not in (fields := Experiment.__dataclass_fields__):
        return value
    hint, limits = _hints()[name], fields[name].metadata
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ExperimentError(f"{name}={value!r}: allowed are {', '.join(map(repr, get_args(hint)))}")
        return value
    if hint is float and isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)  # to YAML 1.1, `1e-5` without a point is text
    wanted = (int, float) if hint is float else (hint,)
    if isinstance(value, bool) or not isinstance(value, wanted):  # to Python a bool is a whole number
        raise ExperimentError(f"{name}={value!r} is of type {type(value).__name__}, not {hint.__name__}")
    if value == "":
        raise ExperimentError(f"{name}='' is empty; leave it out for the default")
    if name == "dataset" and not _is_dataset(value):
        raise ExperimentError(
            f"dataset={value!r}: allowed are {', '.join(map(repr, NAMED))} and '{FOLDER}PATH'"
        )
    if "low" in limits and not limits["low"] <= value <= limits["high"]:
        raise ExperimentError(f"{name}={value!r} is outside {limits['low']} to {limits['high']}")
    return hint(value)
