"""What one experiment left: write it, read it back, find it again. The seed study's logs are read too.

A record is two files: `<name>-<id>.json` (a superset of the seed's log) and `<name>-<id>.npz` (the
probabilities of the validation and test images, plain and flipped). The rows are in class order, so that
the counts of each class stand for the labels and nothing of the data set is stored. The JSON is written
last and carries the SHA-256 of the other file and of its own content: a damaged, half-written or hand-edited
record is refused, with the reason.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers import storage
from helpers.experiment import Experiment

FORMAT = 1
"""Version of the record's layout; a record of another version is refused."""

SEED_LOGS = Path(__file__).resolve().parents[1] / "results" / "seed"
"""The seed study's five published logs."""

SEED_SPLIT = {"train": 45000, "val": 5000, "test": 10000}
"""Images of each split in the seed study, which its logs do not say."""

BENCH = "bench.json"
"""What `make bench` leaves among the records without being one."""

VIEWS = ("plain", "flipped")
CLASSES = 10
DROPPED_BITS = 4
OURS = {"format", "checksum", "key", "id", "fingerprints"}
REQUIRED = (
    *("name", "id", "key", "config", "metrics", "curves", "timing_sec", "confusion_matrix"),
    *("environment", "fingerprints", "steps", "train_images", "class_counts"),
)
"""What the content of a record of ours holds, by name."""

Arrays = Mapping[str, NDArray[Any]]


class RecordError(ValueError):
    """A record is damaged, was edited by hand, or lacks what was asked of it."""


@dataclass(frozen=True, eq=False)
class Run:
    """One record, ours or the seed's. What a seed log does not hold is empty or None."""

    name: str
    """The experiment's slug, or the stem of the seed's log."""
    id: str
    """The experiment's identity with its data and weights; empty for a seed log."""
    config: dict[str, Any]
    """The Experiment's fields, or the seed's own options under its own names."""
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
    """The layout's version; 0 for a log of the seed's schema."""
    key: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    steps: dict[str, list[int]] = field(default_factory=dict)
    """Stage to optimizer steps of each epoch, as counted."""
    train_images: int = SEED_SPLIT["train"]
    class_counts: dict[str, list[int]] = field(default_factory=dict)
    """Split to images of each class."""
    diagnosis: list[dict[str, Any]] = field(default_factory=list)
    """What `diagnosis` measured before stage 2 and after each of its epochs; empty unless asked for."""

    @property
    def is_seed_log(self) -> bool:
        """Whether it is a log of the seed's schema, with no probabilities and no checksum."""
        return self.format == 0

    @property
    def scale(self) -> str:
        """smoke, quick or full; the seed's logs are full."""
        return self.config.get("scale", "full")

    @property
    def dataset(self) -> str:
        """cifar10 or miniature; the seed's logs are of cifar10."""
        return self.config.get("dataset", "cifar10")

    @property
    def learning_rate(self) -> float | None:
        """Initial learning rate of stage 2; None for a seed log that holds it nowhere."""
        logged = self.curves.get("stage2", {}).get("learning_rate")
        first = logged[0] if logged else None
        return self.config.get("learning_rate", self.config.get("lr_stage2", first))

    def size(self, split: str) -> int:
        """Number of images in 'val' or 'test'."""
        return SEED_SPLIT[split] if self.is_seed_log else sum(self.class_counts[split])

    def labels(self, split: str) -> NDArray[np.int64]:
        """True classes (n,) of 'val' or 'test', in the order of the stored rows: 0 ... 0, 1 ... 1, ..."""
        if self.is_seed_log:
            raise RecordError(f"{self.path}: a log of the seed study holds no predictions of single images")
        return np.repeat(np.arange(CLASSES), self.class_counts[split])

    def probabilities(self, split: str, view: str = "plain") -> NDArray[np.float32]:
        """Softmax outputs (n, 10) in class order; view 'plain', 'flipped', or 'tta', the mean of the two.

        Raises RecordError for a seed log and for a screening record, which hold none.
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
        return not self.is_seed_log and "test_plain_predicted" in self._npz()

    def _npz(self) -> Any:
        if self.is_seed_log:
            raise RecordError(f"{self.path}: a log of the seed study holds no probabilities")
        return np.load(self.path.with_suffix(".npz"), allow_pickle=False)

    def _array(self, name: str) -> NDArray[Any]:
        with self._npz() as stored:
            if name not in stored:
                raise RecordError(f"{self.path}: holds no {name!r}, only {', '.join(stored)}")
            return stored[name]


# ---------------------------------------------------------------------------- what is stored


def compact(probabilities: NDArray[Any]) -> NDArray[np.float16]:
    """Softmax outputs (n, 10) as a record keeps them: float16, all but the largest value in fewer bits.

    15,000 images in two views take 550 KB as compressed float16, and at most 460 KB with the last 4 bits
    rounded away. The largest value of a row keeps float16's relative error of 2**-11 and stays the largest:
    the predicted class is that of the float16 values. The others' error is at most 2**-7 (2**-6 where
    rounding up would reach the largest) down to 6e-5, below which float16 itself is coarser.
    Applying it twice changes nothing: metrics computed from its result can be recomputed exactly.
    """
    half = np.asarray(probabilities).astype(np.float16)
    bits = half.view(np.uint16)
    step = np.uint16(1 << DROPPED_BITS)
    below = (bits // step * step).view(np.float16)
    nearest = ((bits + step // 2) // step * step).view(np.float16)
    rows = np.arange(len(half)), half.argmax(axis=1)
    rounded = np.where(nearest < half[rows][:, None], nearest, below)
    rounded[rows] = half[rows]
    return rounded


def screening(arrays: Arrays, class_counts: Mapping[str, list[int]]) -> dict[str, NDArray[Any]]:
    """The arrays of a screening record: of each view, and of their mean, classes and true probabilities.

    Takes {'val_plain', 'val_flipped', 'test_plain', 'test_flipped'}, each (n, 10) in class order, and gives
    `<split>_<view>_predicted` (n,) uint8 and `<split>_<view>_true` (n,) float16.
    """
    small: dict[str, NDArray[Any]] = {}
    for split, counts in class_counts.items():
        labels = np.repeat(np.arange(CLASSES), counts)
        views = {view: np.asarray(arrays[f"{split}_{view}"], np.float32) for view in VIEWS}
        views["tta"] = np.mean(list(views.values()), axis=0)
        for view, values in views.items():
            small[f"{split}_{view}_predicted"] = values.argmax(axis=1).astype(np.uint8)
            small[f"{split}_{view}_true"] = values[np.arange(len(labels)), labels].astype(np.float16)
    return small


def write(content: Mapping[str, Any], arrays: Arrays, folder: Path | str) -> Run:
    """Write a record into `folder` (made if missing) and read it back; a record of the same name is replaced.

    `content` holds every name in REQUIRED. `arrays` holds `<split>_<view>`, each (n, 10) with n the
    sum of the split's class_counts, rows in class order; or what `screening` makes of them.
    Raises RecordError where something is missing or the rows do not fit the counts.
    """
    if missing := [name for name in REQUIRED if name not in content]:
        raise RecordError(f"the record to write lacks {', '.join(missing)}")
    path = Path(folder) / f"{content['name']}-{content['id']}.json"
    for name, array in arrays.items():
        expected = sum(content["class_counts"][name.split("_")[0]])
        if len(array) != expected:
            raise RecordError(f"{path}: {name} has {len(array)} rows, but class_counts sum to {expected}")
    kept = {name: compact(array) if array.ndim == 2 else array for name, array in arrays.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **kept)
    unsigned = {**content, "format": FORMAT, "npz_sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}
    plain = json.loads(json.dumps(unsigned, default=lambda value: value.tolist()))
    text = json.dumps({**plain, "checksum": _checksum(plain)}, indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.write({path.with_suffix(".npz"): buffer.getvalue(), path: text.encode()})
    return read(path)


def _checksum(content: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of everything but the checksum itself."""
    rest = {name: value for name, value in content.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


# ---------------------------------------------------------------------------- reading


def read(path: Path | str) -> Run:
    """The Run in a JSON file: a record of ours, checked against its checksums, or a log of the seed's schema.

    Raises RecordError, naming the file, the reason and the cure, for a damaged, edited or renamed record.
    """
    path = Path(path)
    content = _parsed(path)
    if not OURS & content.keys():
        return _seed_log(path, content)
    if content.get("format") != FORMAT:
        raise _refused(path, f"its format is {content.get('format')!r}, and this version reads {FORMAT}")
    if content.get("checksum") != _checksum(content):
        raise _refused(path, "its content does not match its checksum: it was edited or damaged")
    if path.stem != f"{content['name']}-{content['id']}":
        raise _refused(path, f"it was renamed: it holds {content['name']}-{content['id']}")
    try:
        found = hashlib.sha256(path.with_suffix(".npz").read_bytes()).hexdigest()
    except FileNotFoundError:
        raise _refused(path, f"{path.stem}.npz, its probabilities, is missing") from None
    if found != content["npz_sha256"]:
        raise _refused(path, f"{path.stem}.npz is not the file that was written with it")
    diagnosis = content.get("diagnosis", [])
    return Run(path=path, format=FORMAT, diagnosis=diagnosis, **{name: content[name] for name in REQUIRED})


def paths(folder: Path | str, below: bool = False) -> list[Path]:
    """The records' JSON files in a folder, and in those below it where asked for, by path."""
    found = Path(folder).rglob("*.json") if below else Path(folder).glob("*.json")
    return sorted(path for path in found if path.name != BENCH)


def read_folder(folder: Path | str) -> tuple[list[Run], list[tuple[Path, str]]]:
    """All the Runs of a folder by file name, and (path, reason) of each file that is refused."""
    runs, problems = [], []
    for path in paths(folder):
        try:
            runs.append(read(path))
        except RecordError as error:
            problems.append((path, str(error)))
    return runs, problems


def find(
    experiment: Experiment, folders: Iterable[Path | str], fingerprints: Mapping[str, str] | None = None
) -> Run | None:
    """The record of this experiment in the first folder that has one, or None.

    With `fingerprints`, only one made from those data and weights. Damaged records of other
    experiments are passed over; RecordError is raised where this experiment's own is damaged.
    """
    for folder in folders:
        for path in paths(folder):
            try:
                content = _parsed(path)
            except RecordError:
                if path.name.startswith(f"{experiment.slug}-"):
                    raise
                continue
            wanted = (fingerprints or {}).items()
            if content.get("key") == experiment.key and wanted <= content.get("fingerprints", {}).items():
                return read(path)
    return None


def _parsed(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(f"{path}: there is no such record") from None
    except ValueError as error:
        raise _refused(path, f"it is not JSON ({error})") from None
    if not isinstance(content, dict):
        raise _refused(path, f"it holds a {type(content).__name__}, not an object")
    return content


def _refused(path: Path, reason: str) -> RecordError:
    return RecordError(
        f"{path}: {reason}. Restore the .json and the .npz from version control, or delete both and run "
        "the experiment again"
    )


def _seed_log(path: Path, content: dict[str, Any]) -> Run:
    """A Run from a log of the seed's schema; its first versions left out curves, times and matrix."""
    for name in ("config", "metrics"):
        if not isinstance(content.get(name), dict):
            raise _refused(path, f"{name!r} is missing: it is no record and no log of the seed's schema")
    logged = content.get("curves") or {}
    if not isinstance(logged, dict) or not all(isinstance(curve or {}, dict) for curve in logged.values()):
        raise _refused(path, "'curves' does not hold a stage's metrics by name")
    curves = {stage: curve or {} for stage, curve in logged.items()}
    for stage, curve in curves.items():
        if len({len(values) for values in curve.values()}) > 1:
            raise _refused(path, f"the curves of {stage} differ in length")
    matrix = content.get("confusion_matrix")
    if matrix is not None and np.shape(matrix) != (CLASSES, CLASSES):
        raise _refused(path, f"its confusion matrix has shape {np.shape(matrix)}, not (10, 10)")
    return Run(
        name=path.stem,
        id="",
        config=content["config"],
        metrics=content["metrics"],
        curves=curves,
        timing_sec=content.get("timing_sec") or {},
        confusion_matrix=matrix,
        path=path,
    )


# ---------------------------------------------------------------------------- facts about a run


def one_step_epochs(run: Run, stage: str = "stage2") -> list[int]:
    """Indices, from 0, of the logged "epochs" that took a single optimizer step instead of a pass.

    Ours are counted. In a seed log they show in the training accuracy: a step over one batch gives a
    multiple of 1 / batch_size, to float32's precision, which a whole pass hits about once in 700. Keras 3
    alternates, so the test must hold for every second epoch; a chance hit elsewhere changes nothing.
    """
    if not run.is_seed_log:
        per_pass = -(-run.train_images // _batch_size(run, stage))
        return [index for index, steps in enumerate(run.steps.get(stage, [])) if steps < per_pass]
    accuracy = np.asarray(run.curves.get(stage, {}).get("accuracy", []))
    second = np.arange(1, len(accuracy), 2)
    batch_size = run.config.get("batch_size")
    if batch_size is None or not len(second):
        return []
    correct = accuracy[second] * batch_size
    one_step = np.abs(correct - correct.round()) <= batch_size * np.finfo(np.float32).eps
    return second.tolist() if one_step.all() else []


def real_epochs(run: Run, stage: str = "stage2") -> list[int]:
    """Indices, from 0, of the logged epochs that were one pass over the training set."""
    logged = len(run.curves.get(stage, {}).get("loss", []))
    return sorted(set(range(logged)) - set(one_step_epochs(run, stage)))


def passes(run: Run, stage: str = "stage2") -> NDArray[np.int64]:
    """For each logged epoch, how many passes over the training set had been made by its end."""
    real = real_epochs(run, stage)
    return np.cumsum(np.isin(np.arange(len(real) + len(one_step_epochs(run, stage))), real))


def elapsed(run: Run) -> NDArray[np.float64]:
    """Seconds from the start to the end of each logged epoch of stage 2, (n,).

    All that came before counts: loading, the frozen part on every view, the head. The stage's passes, which
    do the same work each, share its time evenly.
    """
    before = sum(run.timing_sec.get(part, 0.0) for part in ("load", "feature_extract", "top_train"))
    made = passes(run)
    return before + run.timing_sec["end2end"] * made / made[-1]


def _batch_size(run: Run, stage: str) -> int:
    return run.config["stage1_batch_size" if stage == "stage1" else "batch_size"]


def matrix_accuracy(run: Run) -> float | None:
    """Accuracy in 0 to 1 of the confusion matrix: its trace over its sum."""
    if run.confusion_matrix is None:
        return None
    return float(np.trace(run.confusion_matrix) / np.sum(run.confusion_matrix))


def tta_accuracy(run: Run) -> float | None:
    """Test accuracy in 0 to 1 with the flip averaged in; None where a run holds none.

    A seed log does not name it, but where its confusion matrix counts other predictions than its test
    accuracy, those are the averaged ones.
    """
    if not run.is_seed_log:
        return run.metrics["test_tta"]
    accuracy, plain = matrix_accuracy(run), run.metrics.get("test_end2end")
    if accuracy is None or plain is None or round((accuracy - plain) * run.size("test")) == 0:
        return None
    return accuracy
