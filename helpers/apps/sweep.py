"""Many experiments: a named sweep or a file's grid; here, on local worker processes, or on a Dask cluster.

Each experiment goes through `run`: a second call runs only what has no record yet, and where a worker
is killed another one resumes its experiment. A grid file gives fields of an Experiment a value each, or a
list of values, and means every combination of them:

    scale: quick
    n_unfreeze: [10, 30]
    learning_rate: [1e-5, 1e-4]

`--dataset miniature --scale smoke` tries any of them in seconds a run. A grid that names the miniature itself
says it in full: `dataset: miniature`, `backbone_weights: miniature`, `image_size: 48`, and learning rates 30
times CIFAR-10's, as miniature.stand_in has them.

A cluster's machines need this package, its `sweep` group and the data; they need share no disk with
this one. START says how to start them.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tqdm import tqdm

from helpers import cost, files, paths, progress
from helpers import run as door
from helpers.apps.groups import imported
from helpers.errors import UserError
from helpers.experiment import Experiment, ExperimentError, nearest
from helpers.records import store
from helpers.records.run import Run
from helpers.study.experiments import DIAGNOSED, RECIPES, SWEEPS, for_notebook

START = "dask scheduler; on each machine: dask worker ADDRESS --nworkers N --nthreads 1 --memory-limit 0"
"""One experiment a process; no memory limit, because Dask counts the mapped activations as memory."""


class SweepError(UserError):
    """A sweep cannot be run as asked, or some of its experiments failed."""


# ---------------------------------------------------------------------------- what to run


def named(what: str, scale: str = "", dataset: str = "") -> list[Experiment]:
    """The experiments of a named sweep, or of the grid in a .yaml file.

    scale, dataset: what they are run at and on instead; on the miniature, their stand-ins there.
    Raises ExperimentError where there is neither, and for a grid that is none.
    """
    known = {**SWEEPS, **RECIPES}
    if Path(what).suffix in (".yaml", ".yml"):
        found = grid(Path(what))
    elif what in known:
        found = known[what]
    else:
        raise ExperimentError(f"no sweep {what!r}{nearest(what, list(known))}; a grid's file ends in .yaml")
    if scale:
        found = [each.replace(scale=scale) for each in found]
    if dataset:
        found = [for_notebook(each, dataset=dataset, scale=each.scale) for each in found]
    return found


def grid(path: Path) -> list[Experiment]:
    """Every combination of the values in a YAML file, the last field varying fastest.

    All of them are built before any is returned: ExperimentError names the file, the field and the value.
    """
    yaml = imported("yaml", "sweep")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ExperimentError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ExperimentError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(content, dict):
        raise ExperimentError(f"{path} holds no mapping of an Experiment's fields to values")
    choices = {str(name): value if isinstance(value, list) else [value] for name, value in content.items()}
    for name, values in choices.items():
        if not values:
            raise ExperimentError(f"{path}: {name}=[] is a list without a value")
    try:
        return [
            Experiment.from_mapping(dict(combination))
            for combination in itertools.product(
                *([(name, value) for value in values] for name, values in choices.items())
            )
        ]
    except ExperimentError as error:
        raise ExperimentError(f"{path}: {error}") from None


def interleaved(experiments: Iterable[Experiment]) -> list[Experiment]:
    """The experiments in rounds of one for each set of stored activations.

    Workers that begin together then seldom need the same ones, which one stores while the others wait.
    """
    sharing = defaultdict(list)
    for each in experiments:
        sharing[each.dataset, each.scale, each.image_size, each.n_unfreeze, each.augmentation].append(each)
    return [each for turn in itertools.zip_longest(*sharing.values()) for each in turn if each]


# ---------------------------------------------------------------------------- running

Outcome = Run | Exception | None


def run(
    experiments: Iterable[Experiment],
    *,
    workers: int = 1,
    scheduler: str = "",
    output: str = "",
    screening: bool = False,
) -> list[Run]:
    """The Runs of the experiments, in order: those stored, and those trained now, one process at a time.

    The options are the command's (`cli.sweep`), and `screening` is that of `run`.
    Raises SweepError at the end, with each failed experiment and its reason, once all the others are done.
    """
    if workers < 1 or (scheduler and workers > 1):
        raise ExperimentError(
            f"workers={workers}: give 1 or more, and none beside a scheduler, which has its own"
        )
    unique: dict[tuple[str, str, str], Experiment] = {}
    for each in experiments:
        unique.setdefault((each.key, each.dataset, each.backbone_weights), each)
    outcomes = {each: _attempt(_find, each) for each in unique.values()}
    missing = [each for each, outcome in outcomes.items() if outcome is None]
    stored = [(each, outcome) for each, outcome in outcomes.items() if outcome is not None]
    here = ((each, _attempt(partial(_run, screening=screening), each)) for each in missing)
    trained = _on_cluster(missing, workers, scheduler, screening) if scheduler or workers > 1 else here
    failed = []
    with progress.bar(f"{len(outcomes)} experiments", len(outcomes), "run", done=len(stored)) as bar:
        for each, outcome in itertools.chain(stored, trained if missing else ()):
            if output and isinstance(outcome, Run):
                outcome = _attempt(publish, outcome, output)
            if isinstance(outcome, Exception):
                failed.append(f"  {each.described}: {type(outcome).__name__}: {outcome}")
                bar.write(f"failed:{failed[-1]}")
            bar.update(outcomes[each] is None)
            outcomes[each] = outcome
    if failed:
        count = f"{len(failed)} of {len(outcomes)} experiments failed; the others have records:"
        raise SweepError("\n".join([count, *failed]))
    return [outcome for outcome in outcomes.values() if isinstance(outcome, Run)]


def _find(experiment: Experiment) -> Run | None:
    return door.find(experiment, diagnosed=DIAGNOSED.get(experiment.key, False))


def _run(experiment: Experiment, **given: Any) -> Run:
    return door.run(experiment, diagnosed=DIAGNOSED.get(experiment.key, False), **given)


def _attempt(function: Callable[..., Outcome], *arguments: Any) -> Outcome:
    """What the function returns or raises; whatever went wrong with one experiment, the others go on."""
    try:
        return function(*arguments)
    except Exception as error:
        return error


def _on_cluster(
    experiments: list[Experiment], workers: int, scheduler: str, screening: bool
) -> Iterator[tuple[Experiment, Outcome]]:
    """Each experiment and its outcome, as they end; Dask gives those of a killed worker to another.

    No worker is given a second experiment while it has one: one that kills its workers, four times at
    most, cannot drag down others that wait behind it.
    """
    waiting = iter(interleaved(experiments))
    running: dict[Any, Experiment] = {}
    with _client(min(workers, len(experiments)), scheduler) as client:
        if not (found := client.nthreads()) or max(found.values()) > 1:
            raise SweepError(f"a sweep needs workers, of one thread each; found: {found}. Start: {START}")
        ended = imported("distributed", "sweep").as_completed()
        for each in experiments:
            tqdm.write(f"to run: {each.described}, {cost.cost(each)} by itself")
        while True:
            hosts = Counter(urlsplit(address).hostname for address in client.nthreads())
            free = max(1, hosts.total()) - len(running)
            for each in itertools.islice(waiting, max(0, free)):
                # A pure task would be remembered by its arguments, also one that failed before.
                future = client.submit(_task, each, hosts, paths.keras_backend(), screening, pure=False)
                running[future] = each
                ended.add(future)
            if not running:
                return
            future = next(ended)
            each = running.pop(future)
            yield each, _attempt(_received, each, future)


@contextmanager
def _client(workers: int, scheduler: str) -> Iterator[Any]:
    """A client of the scheduler at that address, or of one started here with as many worker processes."""
    distributed = imported("distributed", "sweep")
    local = {"threads_per_worker": 1, "memory_limit": 0, "dashboard_address": "127.0.0.1:0"}
    try:
        with ExitStack() as stack:
            address = scheduler or stack.enter_context(
                distributed.LocalCluster(n_workers=workers, silence_logs=logging.CRITICAL, **local)
            )
            yield stack.enter_context(distributed.Client(address, timeout=10))
    except (OSError, ValueError) as error:
        if not scheduler:
            raise
        raise SweepError(f"the scheduler {scheduler!r} does not answer ({error}). Start: {START}") from None


def _task(
    experiment: Experiment, hosts: Mapping[str | None, int], backend: str, screening: bool
) -> dict[str, bytes]:
    """On a worker: run the experiment; its record's two files by name, the .npz first.

    hosts: host to its number of workers, which share its cores. backend: the one that the records have to be
    made by; SweepError where the worker has another. The variables are in time: TensorFlow reads them when it
    is imported, and `run` imports it when it trains.
    """
    address = imported("distributed", "sweep").get_worker().address
    if (own := paths.keras_backend()) != backend:
        raise SweepError(f"KERAS_BACKEND is {own!r} on {address} and {backend!r} where the sweep is: set one")
    host = urlsplit(address).hostname
    threads = max(1, imported("dask.system", "sweep").CPU_COUNT // hosts.get(host, 1))
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(threads)
    path = _run(experiment, progress=False, screening=screening).path
    return {file.name: file.read_bytes() for file in (path.with_suffix(".npz"), path)}


def _received(experiment: Experiment, future: Any) -> Run:
    """The Run that a worker sent, written to the results here unless both share their disk."""
    sent: dict[str, bytes] = future.result()
    if stored := _find(experiment):
        return stored
    folder = paths.results_folder(experiment)
    folder.mkdir(parents=True, exist_ok=True)
    files.write({folder / name: content for name, content in sent.items()})
    return store.read(next(folder / name for name in sent if name.endswith(".json")))


# ---------------------------------------------------------------------------- records elsewhere


def publish(found: Run, url: str) -> Run:
    """Copy a record's two files into the folder at any fsspec URL, made if missing; the same Run."""
    files, folder = imported("fsspec", "sweep").url_to_fs(url)
    files.makedirs(folder, exist_ok=True)
    for path in (found.path.with_suffix(".npz"), found.path):
        files.pipe_file(f"{folder}/{path.name}", path.read_bytes())
    return found
