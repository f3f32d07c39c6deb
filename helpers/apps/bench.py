"""Speed and memory against plain Keras, side by side in one run: what `make bench` prints and writes.

Each part takes minutes. A bench that is stopped goes on, the same day, with the parts that are missing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from helpers import files, paths, run
from helpers.analysis.speed import WAYS
from helpers.apps import compare
from helpers.apps.compare import PARTS, Sizes, Work
from helpers.data import sources
from helpers.engine import backbones, environment, keras
from helpers.errors import UserError
from helpers.experiment import Experiment
from helpers.records import store

STATUS = Path("/proc/self/status")
"""Where Linux tells what a process takes."""


def bench(experiment: Experiment, deeper: Experiment, sizes: Sizes | None = None) -> dict[str, Any]:
    """All the comparisons for one experiment, and an epoch of another; about 35 minutes on two cores.

    Raises DataError or WeightsError where the experiment's images or weights cannot be had, and UserError on
    another system than Linux.
    """
    if not STATUS.exists():
        raise UserError(f"the bench reads its memory from {STATUS}, which Linux alone has: run it there")
    sources.load(experiment)  # what is missing is told now, and not by the first part's process
    run.fingerprints(experiment)
    sizes = sizes or Sizes()
    print("Five comparisons, how costs grow, the machine's peak, memory: about 35 min.", flush=True)
    configuration = asdict(experiment) | {"backbone_weights": Path(experiment.backbone_weights).name}
    result: dict[str, Any] = {
        "experiment": configuration,
        "sizes": asdict(sizes),
        "environment": environment.environment(),
    }
    today = hashlib.sha256(json.dumps(result, sort_keys=True).encode()).hexdigest()[:8]
    place = paths.cache_folder() / "bench" / today
    given = asdict(experiment), asdict(deeper), asdict(sizes)
    for name in PARTS:
        result |= _kept(place / f"{name}.json", "compare.measured", name, *given, moved="REPORT_CACHE")
    if find_spec("torchvision"):
        shapes = dict(zip(("epoch", "deeper"), given, strict=False))
        size = sizes.epoch, sizes.pairs
        result["pytorch"] = _kept(
            place / "pytorch.json", "pytorch.measured", shapes, *size, moved="REPORT_CACHE"
        )
    peaks = {
        way: _kept(place / f"{way}.json", "bench.one_epoch", way, given[0], moved="REPORT_RESULTS") / 1e9
        for way in WAYS.values()
    }
    result["memory_gb"] = {way: _said(f"memory, {way}", peak, "GB") for way, peak in peaks.items()}
    result["peak_gflops"] = _said("matrix product", matrix_gflops(sizes.matrix), "GFLOP/s")
    result["arithmetic"] = _arithmetic(experiment, result)
    return result


def _kept(path: Path, function: str, *given: Any, moved: str) -> Any:
    """What `_in_child` returns, or what it returned before the bench was stopped."""
    if path.exists():
        print(f"{path.stem}: measured before the bench was stopped", flush=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write({path: json.dumps(_in_child(function, *given, moved=moved)).encode()})
    return json.loads(path.read_text())


def _in_child(function: str, *given: Any, moved: str) -> Any:
    """What a function of this room returns in a process of its own, in which one place is an empty folder.

    So everything that is timed is computed, memory is measured from nothing, and nothing is left behind.
    """
    code = (
        "import importlib, json, sys\n"
        "module, name = sys.argv[1].split('.')\n"
        "function = getattr(importlib.import_module(f'helpers.apps.{module}'), name)\n"
        "found = function(*json.loads(sys.argv[2]))\n"
        "open(sys.argv[3], 'w').write(json.dumps(found))\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer"
        command = [sys.executable, "-c", code, function, json.dumps(given), str(answer)]
        if subprocess.run(command, env=paths.environment() | {moved: folder}).returncode:
            kept = "what was measured before is kept, and the same command goes on from there"
            raise UserError(f"{function} failed, for the reason above; {kept}")
        return json.loads(answer.read_text())


def write(result: dict[str, Any], path: Path | None = None) -> Path:
    """Keep the result as results/bench.json, replaced as a whole; then its parts go."""
    path = path or paths.RESULTS / store.BENCH
    files.write({path: json.dumps(result, indent=1).encode()})
    shutil.rmtree(paths.cache_folder() / "bench", ignore_errors=True)
    return path


# ---------------------------------------------------------------------------- how near to the limit


DEPTHWISE, CONVOLUTIONS = keras.layers.DepthwiseConv2D, (keras.layers.DepthwiseConv2D, keras.layers.Conv2D)


def multiply_adds(network: Any, kinds: Any = CONVOLUTIONS) -> int:
    """Multiply-adds of a Keras model's convolutions, or of one kind, for one image, a pass forward."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, kinds):
            total += int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:3]))
    return total


def matrix_gflops(size: int) -> float:
    """The best of five float32 matrix products of `size` by `size`, in 1e9 operations a second."""
    one = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    return 2 * size**3 / min(compare.seconds(np.matmul, one, one) for _ in range(5)) / 1e9


def _arithmetic(experiment: Experiment, result: dict[str, Any]) -> dict[str, Any]:
    """Millions of multiply-adds an image, and the GFLOP/s that our features amount to."""
    network = backbones.backbone(experiment)
    cut = backbones.cut(network, experiment.n_unfreeze)
    whole = multiply_adds(network)
    above = whole - multiply_adds(keras.Model(network.input, network.get_layer(cut).output))
    return {
        "whole_million": whole / 1e6,
        "depthwise_million": multiply_adds(network, DEPTHWISE) / 1e6,
        "above_cut_million": above / 1e6,
        "features_gflops": 2e-9 * whole * result["features"]["ours_images_per_second"],
    }


def peak_memory() -> int:
    """The largest resident memory of this process so far, in bytes, files mapped included. Linux only.

    Not getrusage's ru_maxrss, in which a process inherits the peak of the one that started it.
    """
    (line,) = [one for one in STATUS.read_text().splitlines() if one.startswith("VmHWM")]
    return 1024 * int(line.split()[1])


def one_epoch(way: str, fields: dict[str, Any]) -> int:
    """Peak memory in bytes of a process that does nothing else than this, files mapped included.

    This is an experiment of one epoch from the cache with all that belongs to it, or the start of an epoch
    of plain Keras.
    """
    experiment = Experiment(**fields)
    if way == WAYS["ours"]:
        run.run(experiment.replace(epochs=1, views=1, stage1_epochs=1), progress=False)
        return peak_memory()
    work = Work(experiment)
    images, batch = work.images.train.images.astype(np.float32), experiment.batch_size
    # A few steps with all images in memory: a whole epoch takes more time and no more memory.
    work.plain(experiment).fit(
        images, work.targets, batch_size=batch, steps_per_epoch=min(30, len(images) // batch), verbose=0
    )
    return peak_memory()


def _said(name: str, value: float, unit: str) -> float:
    print(f"{name}: {value:.1f} {unit}", flush=True)
    return value
