"""The command line: python -m helpers COMMAND. Each command is a function here; its docstring is its help."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import tyro

from helpers import cache as stored
from helpers import files, paths
from helpers import run as door
from helpers.analysis import intervals, metrics
from helpers.apps import sweep as sweeping
from helpers.apps import trackers
from helpers.data import cifar10, cifar10h, fashion_mnist, sources, weights
from helpers.data.pictures import PictureError
from helpers.errors import UserError
from helpers.experiment import FOLDER, Backbone, Engine, Experiment, ExperimentError
from helpers.publish import crate, notebooks, readme, site
from helpers.publish.console import Console
from helpers.records import store
from helpers.study import experiments


def _with_ranges() -> type[Experiment]:
    """An Experiment whose options show, in the help, the numbers that they take."""
    fields = [
        (
            spec.name,
            Annotated[hint, tyro.conf.arg(metavar="{low}..{high}".format(**spec.metadata))],
            spec.default,
        )
        for spec in dataclasses.fields(Experiment)
        if "low" in spec.metadata and (hint := get_type_hints(Experiment)[spec.name])
    ]
    return dataclasses.make_dataclass("Choices", fields, bases=(Experiment,), frozen=True)


if TYPE_CHECKING:
    Choices = Experiment
else:
    Choices = _with_ranges()


def _with_keras(app: str) -> ModuleType:
    """An app that brings Keras, which takes seconds: imported only for the command that needs it."""
    return importlib.import_module(f"helpers.apps.{app}")


def run(
    experiment: tyro.conf.OmitArgPrefixes[Choices],
    diagnosed: bool = False,
    engine: Engine = "cached",
    retrain: bool = False,
) -> None:
    """Run one experiment, or show its stored record. Every field of an Experiment is an option.

    Args:
        experiment: What to run.
        diagnosed: Measure after every epoch of stage 2 what happened to the network, too.
        engine: Train stage 2 from the feature cache, or push every image through the whole network.
        retrain: Train even where a record is stored; it stays, and the new one lies below the cache.
    """
    result = door.run(experiment, diagnosed=diagnosed, engine=engine, retrain=retrain)
    print(f"\n{result.name} ({result.dataset}, {result.scale} scale): {result.path}")
    for split in ("val", "test"):
        for label, view in (("plain", "plain"), ("with flip averaging", "tta")):
            print(f"  {split:4s} accuracy {label:20s} {intervals.accuracy(result.correct(split, view))}")
    if result.has_unequal_classes:
        balanced = metrics.balanced_accuracy(result.matrix())
        print(f"  test accuracy by class, on average  {balanced} (the classes are unequal)")
    print(f"  {result.seconds / 60:.1f} min in all on {result.environment['processor']}")


def predict(
    picture: Annotated[Path, tyro.conf.Positional],
    experiment: tyro.conf.OmitArgPrefixes[Experiment],
    more: Annotated[tuple[Path, ...], tyro.conf.Positional] = (),
    model: str = "",
) -> None:
    """Classify pictures, by a network that ships or was trained here: the three likeliest classes of each.

    Args:
        picture: A file of any common format and size.
        experiment: A run trained on this machine, by its fields, as to `run`; unless given, what ships.
        more: More such files.
        model: Another network: quick or best, where they ship, or a .keras file (of --dataset's classes).
    """
    predicting = _with_keras("predict")
    answers, refused = predicting.describe([picture, *more], predicting.chosen(model, experiment))
    if answers:
        print("\n".join(answers), flush=True)
    if refused:
        raise PictureError("\n".join(refused))


def ship(name: Annotated[str, tyro.conf.Positional]) -> None:
    """Write a network into models/, from its training here: file, record of its answers, and card.

    Args:
        name: quick or best: see helpers/apps/shipped.py.
    """
    found = _with_keras("ship").ship(name)
    print(f"written: {found.file}, {found.record.path}, {found.card}")


def export(
    what: Annotated[str, tyro.conf.Positional],
    experiment: tyro.conf.OmitArgPrefixes[Experiment],
    place: Annotated[str, tyro.conf.Positional] = "",
) -> None:
    """Write a trained network as one file or in all formats, or all records into TensorBoard or MLflow.

    Args:
        what: The .keras file to write, for keras.models.load_model anywhere. With a place: the network to
            write there, quick or best or a .keras file; or tensorboard, or mlflow.
        place: The folder for the network in every format, in float32 and int8, or of TensorBoard's files;
            or MLflow's tracking URI, such as sqlite:///runs.db.
        experiment: Whose network goes to the file; the careful fine-tune if no field is given, as to `run`.
            With a place: whose images a .keras file is measured on (--dataset), or whose records are sent
            (--dataset and --scale).
    """
    if what in trackers.TRACKERS:
        _export_records(what, place, experiment)
        return
    if place:
        print(_with_keras("formats").everywhere(what, experiment, Path(place)))
        return
    predicting = _with_keras("predict")
    predicting.export(experiment, Path(what))
    side, names = experiment.side, predicting.classes(experiment)
    print(f"written: {what}\n  from RGB pictures (n, {side}, {side}, 3), 0 to 255, to the probabilities of")
    print(f"  {', '.join(names)}")


def _export_records(tracker: str, place: str, experiment: Experiment) -> None:
    """Send all records of a data set and scale to another program; of a person's images those of these."""
    if not place:
        raise ExperimentError(f"export {tracker} needs a place: a folder, or for mlflow a tracking URI")
    if others := experiment.changes.keys() - {"dataset", "scale", "backbone_weights"}:
        raise ExperimentError(f"export {tracker} sends all records: leave out {', '.join(sorted(others))}")
    runs, refused = store.read_folder(paths.results_folder(experiment))
    if experiment.folder:
        runs = [run for run in runs if run.images == sources.data_fingerprint(experiment)]
    print("\n".join(f"left out: {path}: {reason}" for path, reason in refused), end="\n" if refused else "")
    added = trackers.TRACKERS[tracker](runs, place)
    print(f"{place}: {len(added)} records added, {len(runs) - len(added)} were there already")


def diagnose(
    model: Annotated[Path, tyro.conf.Positional],
    folder: Annotated[Path, tyro.conf.Positional],
    pixels: Literal["0..255", "0..1", "-1..1"] = "0..255",
    mended: Path | None = None,
) -> None:
    """Is a trained network really worse, or only its batch norm? Ends with what to do about it.

    Args:
        model: A file that Keras saved, of a network for pictures in colour or in grey.
        folder: A folder for each class, whose names are in the order of its outputs; or train and test
            folders of such, with the pictures that it was not trained on in test.
        pixels: The numbers that the network wants its pixels in: 0..255 where it scales them itself.
        mended: Where to write it with re-estimated statistics, as a .keras file, if these mend it.
    """
    examined, figure = _with_keras("diagnose").diagnose(model, folder, pixels, mended)
    print(f"{examined.report()}\nfigure: {figure}")
    if mended and examined.finding != "batch norm":
        reason = "are not what it lacks"
        if examined.finding == "pixels":
            reason = "would be those of wrong pixels"
        raise UserError(f"{mended} is not written: re-estimated statistics {reason}, see above")
    if mended:
        print(f"written: {mended}")


def find_data(download: bool = True, backbone: Backbone = "mobilenet_v2") -> None:
    """Find, verify or download CIFAR-10, a network's ImageNet weights and CIFAR-10H, and say what was found.

    Args:
        download: Fetch what is missing (CIFAR-10: 170 MB) rather than only report it.
        backbone: The network whose weights are wanted.
    """
    folder = cifar10.find_or_download() if download else cifar10.locate()
    if folder:
        cifar10.verify(folder)
        print(f"CIFAR-10: {folder}\n  all {len(cifar10.MD5)} batch files have their published MD5")
    else:
        print("CIFAR-10: not on this machine")
    find = weights.find_or_download if download else weights.on_disk
    path = find(Experiment(backbone=backbone))
    print(f"ImageNet weights: {path or 'not on this machine'}")
    if path:
        print(f"  fingerprint {weights.fingerprint(path)}")
    people = cifar10h.find_or_download() if download else cifar10h.locate()
    print(f"CIFAR-10H, what people say of the test images: {people or 'not on this machine'}")


def write_fashion_mnist(
    source: Annotated[Path, tyro.conf.Positional],
    target: Annotated[Path, tyro.conf.Positional],
    each: int = fashion_mnist.EACH,
) -> None:
    """Write Fashion-MNIST as a folder of pictures, for --dataset folder:TARGET.

    Args:
        source: The folder of its four .gz files; Debian's package has it in /usr/share/datasets.
        target: The folder to make.
        each: Training images of each class, the first ones; all the test images are written.
    """
    print(f"written: {fashion_mnist.write(source, target, each)}")


def cache(clear: bool = False) -> None:
    """List what is stored for re-use: prefix activations, copies of pictures, checkpoints, trained weights.

    Args:
        clear: Remove all of these but the trained weights; they are made again when needed.
    """
    print(stored.clear() if clear else stored.listing())


Pairs = Annotated[list[tuple[str, str]], tyro.conf.UseAppendAction, tyro.conf.arg(aliases=["-p"])]


def run_notebook(
    name: Annotated[str, tyro.conf.Positional],
    parameters: Pairs,
    output: Path | None = None,
    in_place: bool = False,
) -> None:
    """Run one notebook with parameters, which are checked first; without any option, list those that it has.

    Args:
        name: A notebook's number, name or path: 04, 04_finetune.
        parameters: A parameter and its value, as in: -p learning_rate 3e-5 -p scale quick.
        output: Where the executed notebook goes; <name>.ipynb in build/ (or REPORT_BUILD) unless given.
        in_place: Run it with its own parameters and, once all of it ran, put it in its place, tidied;
            at full scale its figures go to figures/.
    """
    path = notebooks.find(name)
    if in_place and parameters:
        raise ExperimentError("--in-place keeps a notebook's own parameters: leave out -p, or --in-place")
    if not (parameters or in_place or output):
        for parameter, facts in (known := notebooks.parameters(path)).items():
            print(f"  {parameter}: {facts['type']} = {facts['written']}\n      {facts['help']}")
        example = " ".join(f"-p {parameter} {known[parameter]['written']}" for parameter in list(known)[:2])
        print(f"\nRun it with one of them or more: python -m helpers notebook {name} {example}")
        return
    target = output or paths.build_folder() / path.name
    with contextlib.closing(Console([path])) as console:
        if in_place:
            notebooks.execute_in_place(path, target, **console.begin(path))
        else:
            notebooks.execute(path, target, dict(parameters), **console.begin(path))
    print(f"\nexecuted: {path if in_place else target}")


def tidy(names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()) -> None:
    """Take out of notebooks what tells of one run or one machine; what they show stays.

    Args:
        names: Numbers, names or paths; all of the report's unless given.
    """
    for path in map(notebooks.find, names) if names else notebooks.series():
        if notebooks.tidy(path):
            print(f"tidied: {path}")


def write_readme() -> None:
    """Write again what is computed from the records and the notebooks: README.md and the RO-Crate's file."""
    page = paths.ROOT / "README.md"
    told = {page: readme.written(page.read_text(encoding="utf-8")), crate.FILE: crate.written()}
    files.write({path: text.encode() for path, text in told.items()})
    print(f"written: {page}, {crate.FILE}")


def report(scale: str = "quick", dataset: str = "") -> None:
    """Run the notebooks live and build the site; ends with the page to open.

    Of your own images it also writes the recipe's network, which chapter 9 trains.

    Args:
        scale: smoke, quick, or full (from the committed records).
        dataset: cifar10, miniature, or folder:PATH for your own images; unless given, what can be had.
    """
    page = site.report(scale, dataset)
    if dataset.startswith(FOLDER):
        recipe = experiments.for_notebook(experiments.ELSEWHERE["recipe"], dataset=dataset, scale=scale)
        file = page.parents[3] / "recipe.keras"
        _with_keras("predict").export(recipe, file)
        print(f"The recipe's network for these images:\n\n    {file}\n")


def pdf(scale: str = "quick", dataset: str = "") -> None:
    """The report as one PDF, printed by Chromium, from its last pages; without any it is made first.

    Args:
        scale: smoke, quick, or full (from the committed records).
        dataset: cifar10, miniature, or folder:PATH; unless given, that of the last report at this scale.
    """
    site.pdf(scale, dataset)


def run_bench() -> None:
    """Compare speed and memory with plain Keras, on two idle cores, and write results/bench.json."""
    bench = _with_keras("bench")
    print(f"\nwritten: {bench.write(bench.bench(experiments.CAREFUL, experiments.BEYOND))}")


def sweep(
    what: Annotated[str, tyro.conf.Positional],
    workers: int = 1,
    scheduler: str = "",
    output: str = "",
    scale: str = "",
    dataset: str = "",
) -> None:
    """Run many experiments: a named sweep, or the grid in a .yaml file. Again: only what is missing.

    Args:
        what: A sweep's name, as in helpers/study/experiments.py (a name that is none lists them), or a
            .yaml file.
        workers: Local processes to train in, which share the cores.
        scheduler: Address of a Dask scheduler to train on instead, as in tcp://host:8786.
        output: A folder at any fsspec URL that every record is copied to as well.
        scale: smoke, quick or full, in the place of the experiments' own.
        dataset: miniature (tries them out) or folder:PATH, in the place of the experiments' own.
    """
    wanted, screening = sweeping.named(what, scale, dataset), what in experiments.SWEEPS
    runs = sweeping.run(wanted, workers=workers, scheduler=scheduler, output=output, screening=screening)
    for found in runs:
        print(f"{found.path}: test accuracy {intervals.accuracy(found.correct('test', 'plain'))}")


COMMANDS: dict[str, Callable[..., Any]] = {
    "run": run,
    "predict": predict,
    "ship": ship,
    "export": export,
    "diagnose": diagnose,
    "data": find_data,
    "fashion-mnist": write_fashion_mnist,
    "cache": cache,
    "sweep": sweep,
    "notebook": run_notebook,
    "tidy": tidy,
    "readme": write_readme,
    "report": report,
    "pdf": pdf,
    "bench": run_bench,
}


def main() -> None:
    """Run one command. An expected error is one line on stderr.

    Exit status: 0 done, 1 failed, 2 asked wrongly; 130 interrupted, see helpers/__main__.py.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for a name that the terminal cannot print
    try:
        try:
            tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="python -m helpers", description=__doc__)
        finally:
            sys.stdout.flush()  # here, and not as Python ends, when nothing could answer a broken pipe
    except BrokenPipeError:  # who reads has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except UserError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ExperimentError) else 1)
