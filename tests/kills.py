"""Real kills: an experiment is shot at random moments, resumed, and compared with one left in peace.

    python -m tests.kills --kills 20        about ten minutes on two idle cores; not a part of `make test`

Every kill is a SIGKILL to a process of its own. The log says when it came, what the process was doing, from
where the next one went on, and by how much the final record differs from the undisturbed one.

The rest are the tools that the engine's tests share.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import helpers
from helpers.data import miniature
from helpers.experiment import Experiment
from helpers.records import store
from helpers.records.run import VIEWS, Run

if TYPE_CHECKING:
    import pytest

Process = subprocess.Popen[bytes]

TOLERANCE = 1e-6
"""Largest difference between a resumed run's metrics, curves and probabilities and an undisturbed one's."""


# What the tests share -------------------------------------------------------------------------------


def small(scale: str = "smoke", **changes: object) -> Experiment:
    """An experiment of seconds: the careful fine-tune on the miniature, with some fields changed."""
    return miniature.stand_in(Experiment(scale="smoke").replace(scale=scale, **changes))


def still_waits(future: Future[Any], seconds: float = 2) -> bool:
    """Whether a future has no result after so many seconds."""
    try:
        future.result(seconds)
    except concurrent.futures.TimeoutError:  # the builtin one from Python 3.11 on
        return True
    return False


def settings(folder: Path) -> dict[str, str]:
    """The environment variables that put all stores into `folder`."""
    return {"REPORT_CACHE": str(folder / "cache"), "REPORT_RESULTS": str(folder / "results")}


def use(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Put this process's stores, and those of the workers that it starts, into `folder`."""
    for name, value in settings(folder).items():
        patch.setenv(name, value)
    return folder


def options(experiment: Experiment) -> list[str]:
    """The experiment for the command line."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in asdict(experiment).items()]


def training(experiment: Experiment, **how: Any) -> str:
    """Python code that runs an experiment, with these arguments of `run`."""
    return (
        "from helpers import run\n"
        "from helpers.experiment import Experiment\n"
        f"run.run(Experiment(**{asdict(experiment)!r}), **{how!r})\n"
    )


def fatal(pattern: str, code: str) -> str:
    """`code`, killed by SIGKILL just before it moves a file onto a path that matches `pattern`.

    Everything that must be whole is written beside its place and moved there: this is the last moment
    at which the new file is complete and does not count yet.
    """
    return (
        "import os, re, signal, sys\n"
        "def watch(event, arguments):\n"
        f"    if event == 'os.rename' and re.search({pattern!r}, os.fspath(arguments[1])):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(watch)\n"
    ) + code


@contextmanager
def process(code: str, folder: Path) -> Iterator[Process]:
    """A process that runs Python code with its stores and its `log` in `folder`; killed in the end."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = os.pathsep.join([str(Path(helpers.__file__).parents[1]), str(Path(__file__).parent)])
    environment = os.environ | settings(folder) | {"PYTHONPATH": paths}
    with open(folder / "log", "wb") as log:
        child = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=log, stderr=log)
    try:
        yield child
    finally:
        kill(child)


def kill(child: Process) -> bool:
    """SIGKILL; whether there was something left to kill."""
    alive = child.poll() is None
    if alive:
        child.kill()
    return child.wait() == -signal.SIGKILL and alive


def wait_for(condition: Callable[[], object], child: Process, folder: Path, seconds: float = 280) -> None:
    """Look a thousand times a second until the condition holds; AssertionError if the process ends before."""
    limit = time.monotonic() + seconds
    while not condition():
        ended = child.poll()
        assert ended is None, f"the process ended ({ended}) too early:\n{said(folder)[-3000:]}"
        assert time.monotonic() < limit, f"nothing happened in {seconds:.0f} s"
        time.sleep(0.001)


def said(folder: Path) -> str:
    """What the last process in `folder` printed."""
    return (folder / "log").read_text()


def checkpoint(folder: Path, stage: str) -> Path | None:
    """The checkpoint of a stage of the only experiment in `folder`, or None before its first epoch's end."""
    return next((folder / "cache" / "runs").glob(f"*/{stage}.npz"), None)


def epochs_done(path: Path) -> int:
    """How many epochs a checkpoint holds."""
    with np.load(path, allow_pickle=False) as stored:
        return len(json.loads(stored["json"].tobytes())["progress"]["steps"])


def difference(one: Run, other: Run) -> float:
    """The largest difference between two runs' metrics, curves and probabilities; inf where one lacks any."""
    if one.steps != other.steps or one.metrics.keys() != other.metrics.keys():
        return float("inf")
    pairs: list[tuple[Any, Any]] = [(one.metrics[name], other.metrics[name]) for name in one.metrics]
    for stage, curves in one.curves.items():
        pairs += [(values, other.curves[stage][name]) for name, values in curves.items()]
    for split, view in itertools.product(("val", "test"), VIEWS):
        pairs.append((one.probabilities(split, view), other.probabilities(split, view)))
    if any(np.shape(a) != np.shape(b) for a, b in pairs):
        return float("inf")
    return max(float(np.abs(np.subtract(a, b)).max()) for a, b in pairs)


# The long test --------------------------------------------------------------------------------------


def finished(path: Path) -> bool:
    """Whether a checkpoint is that of a finished stage."""
    with np.load(path, allow_pickle=False) as stored:
        return bool(json.loads(stored["json"].tobytes())["progress"]["finished"])


def doing(folder: Path) -> str:
    """What the experiment in `folder` was doing, by the files it left."""
    for stage, following in (("stage2", "evaluation"), ("stage1", "a view, or stage2 epoch 1")):
        if path := checkpoint(folder, stage):
            return following if finished(path) else f"{stage} epoch {epochs_done(path) + 1}"
    return "a view, or stage1 epoch 1" if list((folder / "cache").rglob("*.npy")) else "loading"


def went_on(log: str) -> str:
    """What a process took up first, by the first line of its progress."""
    return next(iter(re.findall(r"^(?:storing \S+|stage[12])", log, re.MULTILINE)), "-")


WORKING = "has no record yet"
"""What a run prints once it has the lock and begins."""


PEACE = 1e5
"""Seconds that no run takes: it is not killed."""


def undisturbed(experiment: Experiment, folder: Path) -> tuple[Run, float]:
    """The record of a run left in peace, in a process like the others, and the seconds its work took."""
    with process(training(experiment), folder) as child:
        wait_for(lambda: WORKING in said(folder), child, folder)
        begun = time.monotonic()
        assert child.wait() == 0, said(folder)[-3000:]
    return recorded(folder), time.monotonic() - begun


def recorded(folder: Path) -> Run:
    """The only record in `folder`."""
    (path,) = (folder / "results").rglob("*.json")
    return store.read(path)


def shoot(experiment: Experiment, folder: Path, delay: float) -> bool:
    """Run the experiment, kill it `delay` seconds into its work; whether it was killed before its end."""
    with process(training(experiment), folder) as child:
        wait_for(lambda: WORKING in said(folder) or child.poll() == 0, child, folder)
        try:
            child.wait(delay)
        except subprocess.TimeoutExpired:
            return kill(child)
        assert child.returncode == 0, said(folder)[-3000:]
        return False


def main() -> None:
    """At least `--kills` kills, over as many runs of one experiment as they take."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--kills", type=int, default=20, help="kills before the last run may end in peace")
    options.add_argument("--scale", default="quick", help="smoke or quick")
    options.add_argument("--seed", type=int, default=0, help="of the random moments")
    chosen = options.parse_args()
    moments = random.Random(chosen.seed)  # noqa: S311 (no secret depends on it)
    experiment = small(chosen.scale, stage1_patience=2, patience=1, learning_rate=3e-5)
    kills, largest = 0, [0.0]
    with tempfile.TemporaryDirectory() as name:
        reference, seconds = undisturbed(experiment, Path(name) / "undisturbed")
        epochs = {stage: len(steps) for stage, steps in reference.steps.items()}
        print(f"undisturbed: {seconds:.1f} s of work; epochs {epochs}; {reference.metrics}", flush=True)
        while kills < chosen.kills:
            folder = Path(name) / f"run{len(largest)}"
            delay = moments.uniform(0, seconds)
            while kills < chosen.kills and shoot(experiment, folder, delay):
                kills += 1
                print(f"kill {kills:3d} after {delay:6.1f} s, in {doing(folder):26s}", end="  ", flush=True)
                print(f"it had gone on from: {went_on(said(folder))}", flush=True)
                delay = moments.uniform(0, seconds)
            shoot(experiment, folder, PEACE)
            largest.append(difference(reference, recorded(folder)))
            print(f"run {len(largest) - 1:4d} ended; largest difference {largest[-1]:g}", flush=True)
    print(f"{kills} kills in {len(largest) - 1} runs; largest difference {max(largest):g}")
    sys.exit(0 if max(largest) <= TOLERANCE else 1)


if __name__ == "__main__":
    main()
