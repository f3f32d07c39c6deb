"""Many experiments: what they are, what a second call does, and what a killed worker leaves."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kills
import numpy as np
import psutil
import pytest

from helpers import cache
from helpers import run as door
from helpers.analysis import groups
from helpers.apps import sweep
from helpers.apps.groups import MissingPackageError
from helpers.apps.sweep import SweepError
from helpers.experiment import Experiment, ExperimentError
from helpers.records import published, store
from helpers.records.run import Run
from helpers.study import claims, experiments
from helpers.study.experiments import ANATOMY_EPOCHS, LADDER, RATES, RECIPES, SWEEPS

LONG = kills.small(batch_size=2, stage1_batch_size=2)
"""128 steps an epoch: long enough for its worker to be killed in the middle."""
SHORT = kills.small(n_unfreeze=0)
IMPOSSIBLE = kills.small(n_unfreeze=200)
"""Leaves nothing frozen to store: it is refused once it begins."""


# ---------------------------------------------------------------------------- named sweeps


@pytest.mark.parametrize(
    ("name", "claim"), [("depth", "C9"), ("optimizer", "C10"), ("batch", "C11"), ("regularizers", "C17")]
)
def test_a_sweep_runs_what_its_claim_asks_for_and_nothing_else(name: str, claim: str) -> None:
    (asking,) = (each for each in claims.CLAIMS if each.id == claim)
    runs: Any = [SimpleNamespace(key=each.key, experiment=each, seed=each.seed) for each in SWEEPS[name]]
    found = [
        groups.matching_runs(runs, each.replace(**experiments.SCREENING), asking.free)
        for each in asking.experiments.values()
    ]
    assert all(found)
    assert sum(map(len, found)) == len(runs)


def test_every_sweep_is_a_screening_at_full_scale() -> None:
    for name, sweep_of in SWEEPS.items():
        epochs = ANATOMY_EPOCHS if name in ("anatomy", "sgd") else experiments.SCREENING["epochs"]
        for each in sweep_of:
            assert (each.scale, each.epochs, each.dataset) == ("full", epochs, "cifar10")


def test_runs_are_named_by_what_they_vary_and_the_base_is_left_out() -> None:
    base = experiments.screening()
    named = experiments.varying(base, [*SWEEPS["depth"], *SWEEPS["batch"], base.replace(epochs=3, seed=1)])
    assert list(named)[:3] == ["n_unfreeze 0", "n_unfreeze 10", "n_unfreeze 20"]
    assert named["batch_size 128"] == experiments.screening(batch_size=128)
    assert list(named)[-1] == "seed 1, epochs 3, views 3"
    assert base not in named.values()


def test_each_optimizer_is_tried_at_equally_many_rates() -> None:
    tried = {name: {e.learning_rate for e in SWEEPS["optimizer"] if e.optimizer == name} for name in RATES}
    assert tried.keys() == {each.optimizer for each in SWEEPS["optimizer"]}
    assert {len(rates) for rates in tried.values()} == {5}


def test_views_end_in_fresh_ones_every_epoch() -> None:
    assert [each.views_run for each in SWEEPS["views"]] == [1, 2, 4, SWEEPS["views"][-1].epochs_run]


def test_the_anatomy_has_every_seed_at_full_scale_where_the_notebooks_is_one_of_them() -> None:
    seeds, names, rates = experiments.anatomy("full", 0)
    assert (seeds, names) == (list(experiments.SEEDS), list(experiments.INTERVENTIONS))
    assert experiments.anatomy("full", 7)[0] == experiments.anatomy("quick", 7)[0] == [7]
    assert set(experiments.anatomy("quick", 0)[2]) < set(rates)


def test_an_unknown_sweep_is_told_the_nearest() -> None:
    with pytest.raises(ExperimentError, match="no sweep 'dept'; did you mean 'depth'"):
        sweep.named("dept")
    with pytest.raises(ExperimentError, match="no sweep 'lader'; did you mean 'ladder'"):
        sweep.named("lader")


def test_a_file_of_weights_makes_another_experiment_and_the_failure_is_diagnosed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[Experiment, bool]] = []
    monkeypatch.setattr(door, "find", lambda each, diagnosed: asked.append((each, diagnosed)))
    monkeypatch.setattr(door, "run", lambda each, diagnosed, screening: None)
    files = [Experiment(backbone_weights=name) for name in ("a.h5", "b.h5")]
    failed = experiments.TABLE["3e-4, as logged"]
    sweep.run([*files, failed, failed])
    assert asked == [*((each, False) for each in files), (failed, True)]


def test_recipes_are_run_as_sweeps_are() -> None:
    assert sweep.named("ladder") == list(LADDER.values())
    assert all(each.scale == "full" for recipe in RECIPES.values() for each in recipe)


def test_a_sweep_is_tried_out_on_the_miniature() -> None:
    small = sweep.named("ladder", "smoke", "miniature")
    assert small == [
        experiments.for_notebook(each, dataset="miniature", scale="smoke") for each in LADDER.values()
    ]
    assert {(each.scale, each.dataset) for each in small} == {("smoke", "miniature")}
    assert sweep.named("ladder", dataset="folder:it")[0] == LADDER["frozen network"].replace(
        dataset="folder:it"
    )
    with pytest.raises(ExperimentError, match="scale='tiny': allowed are 'smoke'"):
        sweep.named("ladder", "tiny")


# ---------------------------------------------------------------------------- grids


def written(folder: Path, text: str) -> str:
    """The path of a grid file with that text."""
    path = folder / "grid.yaml"
    path.write_text(text)
    return str(path)


def test_a_grid_is_every_combination(tmp_path: Path) -> None:
    text = "scale: quick\nn_unfreeze: [10, 30]\nlearning_rate: [1e-5, 1e-4, 0.001]\naugmentation: none\n"
    found = sweep.named(written(tmp_path, text))
    assert [(each.n_unfreeze, each.learning_rate) for each in found] == [
        *((10, rate) for rate in (1e-5, 1e-4, 1e-3)),
        *((30, rate) for rate in (1e-5, 1e-4, 1e-3)),
    ]
    assert {(each.scale, each.augmentation) for each in found} == {("quick", "none")}


def test_a_grid_on_the_miniature(tmp_path: Path) -> None:
    text = "".join(f"{name}: {value!r}\n" for name, value in asdict(LONG).items())
    assert sweep.named(written(tmp_path, text)) == [LONG]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("n_unfreez: 10", "unknown field 'n_unfreez'; did you mean 'n_unfreeze'"),
        ("7: 10", "unknown field '7'"),
        ("n_unfreeze: [10, 201]", "n_unfreeze=201 is outside"),
        ("n_unfreeze: ten", "n_unfreeze='ten' is of type str"),
        ("learning_rate: fast", "learning_rate='fast' is of type str"),
        ("learning_rate: nan", "learning_rate=nan is outside"),
        ("optimizer: [adam, [sgd]]", r"optimizer=\['sgd'\]: allowed are"),
        ("optimizer: {name: adam}", "optimizer={'name': 'adam'}: allowed are"),
        ("epochs: []", r"epochs=\[\] is a list without a value"),
        ("dataset: miniature", "set both to 'miniature'"),
        ("- 1", "holds no mapping"),
        ("", "holds no mapping"),
        ("a: [", "cannot be read as YAML"),
        ("scale: !!python/object/apply:os.getcwd []", "cannot be read as YAML"),
    ],
)
def test_a_bad_grid_is_refused_by_file_field_and_value(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=f"grid.yaml.*{said}"):
        sweep.named(written(tmp_path, text))


def test_a_missing_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="no-such.yaml: there is no such file"):
        sweep.named(str(tmp_path / "no-such.yaml"))


# ---------------------------------------------------------------------------- one process


def test_first_come_one_of_each_set_of_activations() -> None:
    given = [Experiment(n_unfreeze=n, seed=seed) for n in (10, 30) for seed in (0, 1, 2)]
    ordered = sweep.interleaved(given)
    assert [each.n_unfreeze for each in ordered] == [10, 30] * 3
    assert set(ordered) == set(given)


def test_a_failed_experiment_is_reported_and_the_rest_are_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills.use(tmp_path, monkeypatch)
    some_run = store.read_folder(published.PUBLISHED_LOGS)[0][0]
    ran, screened = [], set()

    def trained(experiment: Experiment, diagnosed: bool, screening: bool) -> Run:
        ran.append(experiment)
        screened.update([experiment] if screening else [])
        if experiment == IMPOSSIBLE:
            raise MemoryError("not enough")
        return some_run

    monkeypatch.setattr(door, "run", trained)
    lost = Experiment(backbone_weights="lost.weights.h5")  # fails before it is run
    with pytest.raises(SweepError) as told:
        sweep.run([lost, IMPOSSIBLE, SHORT, SHORT, LONG])
    assert ran == [IMPOSSIBLE, SHORT, LONG]
    lines = str(told.value).splitlines()
    assert lines[0].startswith("2 of 4 experiments failed")
    assert "lost.weights.h5: WeightsError: " in lines[1]
    assert "n_unfreeze=200" in lines[2]
    assert lines[2].endswith("MemoryError: not enough")
    assert not screened
    assert sweep.run([SHORT, LONG], screening=True) == [some_run, some_run]
    assert screened == {SHORT, LONG}


def test_an_absent_group_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setattr(door, "find", lambda experiment, diagnosed: None)
    with pytest.raises(MissingPackageError, match="distributed is not installed.*make .venv/.sweep"):
        sweep.run([SHORT], workers=2)


def test_workers_and_a_scheduler_exclude_each_other() -> None:
    for workers, scheduler in ((0, ""), (2, "tcp://127.0.0.1:1")):
        with pytest.raises(ExperimentError, match=f"workers={workers}: give"):
            sweep.run([SHORT], workers=workers, scheduler=scheduler)


# ---------------------------------------------------------------------------- clusters


def eventually(look: Callable[[], Any], sweeping: Future[Any]) -> Any:
    """What `look` finds, once it finds something, as long as the sweep goes on."""
    while not (found := look()):
        assert not sweeping.done(), sweeping.exception()
        time.sleep(0.01)
    return found


def holder(experiment: Experiment, pids: list[int], store: Path) -> int | None:
    """The process that has begun to train the experiment and holds its lock, after a first epoch."""
    folders = (store / "cache" / "runs").glob(f"{experiment.slug}-*/stage1.npz")
    for lock in [cache.lock_of(path.parent) for path in folders]:
        for pid in pids:
            if any(Path(file.path).name == lock.name for file in psutil.Process(pid).open_files()):
                return pid
    return None


def share() -> int:
    """The threads of each of two workers."""
    return max(1, pytest.importorskip("dask.system").CPU_COUNT // 2)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SweepError]:
    """A store that two workers filled, one of them killed in the middle; and what the sweep said."""
    distributed = pytest.importorskip("distributed", reason="needs the group `sweep`")
    store = tmp_path_factory.mktemp("swept")
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        kills.use(store, patch)
        sweeping = pool.submit(sweep.run, [LONG, IMPOSSIBLE, SHORT], workers=2)

        def pids() -> dict[str, int]:
            try:
                client = distributed.default_client()
            except ValueError:  # none yet
                return {}
            found: dict[str, int] = client.run(os.getpid) if client.status == "running" else {}
            return found

        workers = eventually(pids, sweeping)
        assert len(workers) == 2
        killed = eventually(lambda: holder(LONG, list(workers.values()), store), sweeping)
        threads = distributed.default_client().run(os.getenv, "TF_NUM_INTRAOP_THREADS")
        os.kill(killed, signal.SIGKILL)
        assert not list((store / "results").rglob(f"{LONG.slug}-*.json"))
        told = sweeping.exception()
    assert isinstance(told, SweepError)
    assert set(threads.values()) == {str(share())}
    return store, told


def test_a_killed_workers_experiment_is_finished_by_another(swept: tuple[Path, SweepError]) -> None:
    runs, problems = store.read_folder(swept[0] / "results" / "miniature" / "smoke")
    assert {run.key for run in runs} == {LONG.key, SHORT.key}
    assert problems == []
    (long,) = (run for run in runs if run.key == LONG.key)
    assert long.steps == {"stage1": [128, 128], "stage2": [128, 128]}
    assert long.environment["threads"] == share()


def test_a_worker_trains_what_one_process_does(swept: tuple[Path, SweepError], tmp_path: Path) -> None:
    """To the last bit of a record and of the weights, at equal threads, whatever Dask's threads draw."""
    threads = str(share())
    for each in (SHORT, LONG):
        with pytest.MonkeyPatch.context() as patch:
            for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
                patch.setenv(name, threads)
            alone, _ = kills.undisturbed(each, tmp_path / each.slug)
        there = swept[0] / "results" / "miniature" / "smoke" / alone.path.name
        assert kills.difference(store.read(there), alone) == 0
        (weights,) = (tmp_path / each.slug).rglob("weights.npz")
        with np.load(weights) as one, np.load(swept[0] / weights.relative_to(tmp_path / each.slug)) as other:
            assert list(one) == list(other)
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])


def test_only_the_impossible_failed(swept: tuple[Path, SweepError]) -> None:
    first, second = str(swept[1]).splitlines()
    assert first.startswith("1 of 3 experiments failed")
    assert "n_unfreeze=200" in second
    assert "CacheError: " in second


def test_a_second_call_trains_nothing_and_needs_no_dask(
    swept: tuple[Path, SweepError], monkeypatch: pytest.MonkeyPatch
) -> None:
    kills.use(swept[0], monkeypatch)
    monkeypatch.setitem(sys.modules, "distributed", None)
    found = sweep.run([SHORT, LONG], workers=2)
    assert [run.key for run in found] == [SHORT.key, LONG.key]


def test_one_process_imports_no_dask(swept: tuple[Path, SweepError], monkeypatch: pytest.MonkeyPatch) -> None:
    kills.use(swept[0], monkeypatch)
    code = (
        "import sys\nfrom helpers.apps import sweep\nfrom helpers.experiment import Experiment\n"
        f"print(len(sweep.run([Experiment(**{asdict(SHORT)!r})])))\n"
        "assert not {'dask', 'distributed', 'fsspec', 'yaml', 'keras'} & sys.modules.keys()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout == b"1\n"


def test_a_record_comes_back_from_a_worker_that_shares_no_disk(
    swept: tuple[Path, SweepError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker finds its record stored, so that nothing has to be trained here; it travels all the same."""
    import distributed
    import fsspec

    kills.use(tmp_path, monkeypatch)
    there, url = kills.settings(swept[0]), "memory://records"
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", env=there
    ) as cluster:
        (run,) = sweep.run([LONG], scheduler=cluster.scheduler_address, output=url)
    assert run.path.parent == tmp_path / "results" / "miniature" / "smoke"
    assert sorted(path.suffix for path in run.path.parent.iterdir()) == [".json", ".npz"]
    original = swept[0] / run.path.relative_to(tmp_path)
    for suffix in (".json", ".npz"):
        assert run.path.with_suffix(suffix).read_bytes() == original.with_suffix(suffix).read_bytes()
        copied, place = fsspec.url_to_fs(f"{url}/{run.path.with_suffix(suffix).name}")
        assert copied.cat_file(place) == original.with_suffix(suffix).read_bytes()


def test_a_worker_with_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="needs the group `sweep`")
    monkeypatch.setattr(distributed, "get_worker", lambda: SimpleNamespace(address="tcp://there:1"))
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(SweepError, match="'jax' on tcp://there:1 and 'tensorflow' where the sweep is"):
        sweep._task(SHORT, {}, "tensorflow", screening=False)


def test_a_scheduler_that_cannot_serve_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="needs the group `sweep`")
    monkeypatch.setattr(door, "find", lambda experiment, diagnosed: None)
    with pytest.raises(SweepError, match="'nowhere' does not answer.*dask worker"):
        sweep.run([SHORT], scheduler="nowhere")
    for workers, said in ((0, "found: {}"), (1, ": 2}")):
        with (
            distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=2,
                processes=False,
                protocol="tcp",
                dashboard_address="127.0.0.1:0",
            ) as cluster,
            pytest.raises(SweepError, match=f"workers, of one thread each.*{said}.*--nthreads 1"),
        ):
            sweep.run([SHORT], scheduler=cluster.scheduler_address)
