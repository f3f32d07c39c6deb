"""Records: write what one experiment left, read it back, find it again. The published logs are read too.

A record is two files. `<name>-<id>.json` is a superset of the original study's log. `<name>-<id>.npz` holds
the probabilities of the validation and test images, plain and flipped. Their rows are in class order: so the
counts of each class stand for the labels, and nothing of the data set is stored. The JSON is written last. It
carries the SHA-256 of the other file and of its own content: a record that is damaged, half-written or
edited by hand is refused, with the reason.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers import files
from helpers.experiment import Experiment
from helpers.paths import DEFAULT_BACKEND
from helpers.records.published import PUBLISHED_LOGS, read_log
from helpers.records.run import VIEWS, Diagnosis, RecordError, Run, refused

FORMAT = 1
"""Version of the record's layout; a record of another version is refused."""
BENCH = "bench.json"
"""What `make bench` leaves among the records without being one."""
DROPPED_BITS = 4
OUR_NAMES = {"format", "checksum", "key", "id", "fingerprints"}
REQUIRED = (
    *("name", "id", "key", "config", "metrics", "curves", "timing_sec", "confusion_matrix"),
    *("environment", "fingerprints", "steps", "train_images", "class_counts"),
)
"""What the content of a record of ours holds, by name."""
Arrays = Mapping[str, NDArray[Any]]


def compact(probabilities: NDArray[Any]) -> NDArray[np.float16]:
    """Softmax outputs (n, classes) as a record keeps them: float16, all but the largest value in fewer bits.

    15,000 images of ten classes in two views take 550 KB as compressed float16, and at most 460 KB with the
    last 4 bits rounded away. The largest value of a row keeps float16's relative error of 2**-11 and stays
    the largest: the predicted class is that of the float16 values. The others' error is at most 2**-7 (2**-6
    where rounding up would reach the largest) down to 6e-5, below which float16 itself is coarser.
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

    Takes {'val_plain', 'val_flipped', 'test_plain', 'test_flipped'}, each (n, classes) in class order. Gives,
    (n,) each, `<split>_<view>_predicted` in uint8 (uint16 of over 256 classes) and `<split>_<view>_true` in
    float16.
    """
    small: dict[str, NDArray[Any]] = {}
    for split, counts in class_counts.items():
        labels, smallest = np.repeat(np.arange(len(counts)), counts), np.min_scalar_type(len(counts) - 1)
        views = {view: np.asarray(arrays[f"{split}_{view}"], np.float32) for view in VIEWS}
        views["tta"] = np.mean(list(views.values()), axis=0)
        for view, values in views.items():
            small[f"{split}_{view}_predicted"] = values.argmax(axis=1).astype(smallest)
            small[f"{split}_{view}_true"] = values[np.arange(len(labels)), labels].astype(np.float16)
    return small


def write(content: Mapping[str, Any], arrays: Arrays, folder: Path | str) -> Run:
    """Write a record into `folder` (made if missing) and read it back; a record of the same name is replaced.

    `content` holds every name in REQUIRED. `arrays` holds `<split>_<view>`, each (n, classes) with n the
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
    compacted = {name: compact(array) if array.ndim == 2 else array for name, array in arrays.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **compacted)
    unsigned = {**content, "format": FORMAT, "npz_sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}
    plain = json.loads(json.dumps(unsigned, default=lambda value: value.tolist()))
    text = json.dumps({**plain, "checksum": _checksum(plain)}, indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write({path.with_suffix(".npz"): buffer.getvalue(), path: text.encode()})
    return read(path)


def _checksum(content: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of everything but the checksum itself."""
    rest = {name: value for name, value in content.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def published_log(name: str) -> Run:
    """One of the original study's logs, by its name, as in 'run_final_optimized'."""
    return read(PUBLISHED_LOGS / f"{name}.json")


def read(path: Path | str) -> Run:
    """The Run in a JSON file: a record of ours, checked against its checksums, or a published log.

    Raises RecordError, naming the file, the reason and the cure, for a damaged, edited or renamed record.
    """
    path = Path(path)
    content = _parsed(path)
    if not OUR_NAMES & content.keys():
        return read_log(path, content)
    if content.get("format") != FORMAT:
        raise refused(path, f"its format is {content.get('format')!r}, and this version reads {FORMAT}")
    if content.get("checksum") != _checksum(content):
        raise refused(path, "its content does not match its checksum: it was edited or damaged")
    if missing := [name for name in (*REQUIRED, "npz_sha256") if name not in content]:
        raise refused(path, f"it lacks {', '.join(missing)}")
    if not isinstance(content["fingerprints"], dict):
        raise refused(path, f"its fingerprints are a {type(content['fingerprints']).__name__}, not an object")
    if path.stem != f"{content['name']}-{content['id']}":
        raise refused(path, f"it was renamed: it holds {content['name']}-{content['id']}")
    try:
        found = hashlib.sha256(path.with_suffix(".npz").read_bytes()).hexdigest()
    except FileNotFoundError:
        raise refused(path, f"{path.stem}.npz, its probabilities, is missing") from None
    except OSError as error:
        raise refused(path, f"{path.stem}.npz cannot be read ({error.strerror})") from None
    if found != content["npz_sha256"]:
        raise refused(path, f"{path.stem}.npz is not the file that was written with it")
    diagnosis = [Diagnosis.of(measured) for measured in content.get("diagnosis", [])]
    held = {name: content[name] for name in REQUIRED}
    return Run(path=path, format=FORMAT, diagnosis=diagnosis, data=content.get("data", {}), **held)


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


def read_whole(folder: Path | str) -> list[Run]:
    """All the Runs of a folder by file name. Raises RecordError that names every file which is refused."""
    runs, problems = read_folder(folder)
    if problems:
        raise RecordError("; ".join(reason for _, reason in problems))
    return runs


def find(
    experiment: Experiment, folders: Iterable[Path | str], fingerprints: Mapping[str, str]
) -> Run | None:
    """The record of this experiment in the first folder that has one, or None.

    Only one made from the data and weights of `fingerprints`, and by that backend. Where no weights are
    asked for, "imagenet" is not answered by a run on a file that somebody named. Damaged records of other
    experiments are passed over; RecordError is raised where this experiment's own is damaged.
    """
    published = experiment.backbone_weights == "imagenet" and "weights" not in fingerprints
    for folder in folders:
        for path in paths(folder):
            try:
                content = _parsed(path)
            except RecordError:
                if path.name.startswith(f"{experiment.slug}-"):
                    raise
                continue
            if content.get("key") != experiment.key:
                continue
            if published and content.get("config", {}).get("backbone_weights", "imagenet") != "imagenet":
                continue
            made, usual = content.get("fingerprints", {}), {"backend": DEFAULT_BACKEND}
            if not isinstance(made, dict) or fingerprints.items() <= {**usual, **made}.items():
                return read(path)
    return None


def _parsed(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(f"{path}: there is no such record") from None
    except OSError as error:
        raise refused(path, f"it cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise refused(path, f"it is not JSON ({error})") from None
    if not isinstance(content, dict):
        raise refused(path, f"it holds a {type(content).__name__}, not an object")
    return content
