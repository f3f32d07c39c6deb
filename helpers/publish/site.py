"""The readable report: the notebooks executed in order, and the site around them.

    notebooks/*.ipynb ──► papermill ──► build/<scale>-<dataset>/notebooks ──► sphinx ──► a site, or one PDF

Nothing here computes a result. The landing page quotes outputs of the executed notebooks, found by the
tags of their cells, so that text and result cannot part. Wherever a page names a record, the site links it to
its row on the page of records, and that to the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import filelock
import nbformat
from docutils import nodes
from sphinx import addnodes

from helpers import files, markdown, paths
from helpers.analysis import intervals
from helpers.data import cifar10, cifar10h, sources, split, weights
from helpers.errors import UserError
from helpers.experiment import (
    FOLDER,
    SCALES,
    STUDY_DATA,
    Experiment,
    ExperimentError,
    changed,
    check,
    is_study_data,
    nearest,
)
from helpers.machine import machine
from helpers.publish import notebooks
from helpers.publish.console import Console
from helpers.records import published, store
from helpers.records.run import Run

PROVENANCE = "provenance.json"
QUOTED = ("findings", "verdict", "differences", notebooks.SCOREBOARD, notebooks.KEY_FIGURE)
"""Tags of the cells, one of each among the notebooks, whose outputs the landing page and the summary show."""
RECORDS = "records"
"""The page that lists the records, and that their names lead to."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SHOW_IMAGES = ("01_data", "07_beyond")
"""The chapters that show images of the data set itself, which no record holds."""
SHOW_PEOPLE = ("07_beyond",)
"""Those that, at full scale, show what people say of these images."""


class ReportError(UserError):
    """A notebook failed, the site could not be built, or something that the report needs is missing."""


def report(scale: str = "quick", dataset: str = "") -> Path:
    """Execute every notebook live and build the site; returns the page to open.

    `dataset` as in an Experiment. Where none is given: at full scale CIFAR-10, of which the committed records
    are read, and images needed only for what is missing among them; what shows more than records hold, and
    is not on this machine, is shown as it was committed. At the other scales CIFAR-10 is searched for and
    downloaded; failing that, all runs on the miniature.
    """
    if scale not in SCALES:
        raise ExperimentError(f"unknown scale {scale!r}{nearest(scale, list(SCALES))}")
    dataset = _prepared(dataset, scale) if dataset else STUDY_DATA if scale == "full" else available()
    committed = _as_committed(scale, dataset)
    pages = paths.build_folder() / f"{scale}-{_place(dataset)}" / "notebooks"
    with _alone(pages.parent):
        chapters = notebooks.series()
        print(f"{len(chapters)} notebooks at {scale} scale on {sources.described(dataset)}, one by one:")
        beside = pages.with_name("unfinished")
        execute(chapters, beside, scale=scale, dataset=dataset, committed=committed)
        site(beside)
        _swap(beside, pages)
    page = pages / "_build" / "html" / "index.html"
    print(f"\nThe report is ready. Open it in a browser:\n\n    {page}\n")
    return page


def _as_committed(scale: str, dataset: str) -> tuple[str, ...]:
    """The chapters that show what this machine does not have, and that records do not hold."""
    if not is_study_data(dataset):
        return ()
    if cifar10.locate() is None:
        return SHOW_IMAGES
    return SHOW_PEOPLE if scale == "full" and cifar10h.locate() is None else ()


def _prepared(dataset: str, scale: str) -> str:
    """The dataset with the whole path of a folder, whose pictures and backbone are at hand from here on.

    Raises DataError, ExperimentError or WeightsError where something about them is wrong.
    """
    if not dataset.startswith(FOLDER):
        if dataset == STUDY_DATA and scale != "full":
            with contextlib.suppress(split.DataError):  # else what shows images stays as committed
                cifar10.find_or_download()
        return check("dataset", dataset)
    place = paths.whole(dataset.removeprefix(FOLDER))
    experiment = Experiment(dataset=f"{FOLDER}{place}", scale=check("scale", scale))
    weights.find_or_download(experiment)
    sources.load(experiment)
    return experiment.dataset


def _place(dataset: str) -> str:
    """The name of a dataset's part of the build folder; of a person's images with their fingerprint."""
    own = dataset.startswith(FOLDER)
    return f"folder-{sources.data_fingerprint(Experiment(dataset=dataset))}" if own else dataset


def _alone(folder: Path) -> filelock.AcquireReturnProxy:
    """While this lasts no other process builds in the folder, which is made if it is missing."""
    lock = paths.writable(folder, "REPORT_BUILD") / ".lock"
    return files.locked(lock, f"Another process builds in {folder}: waiting for it.")


def _swap(new: Path, place: Path) -> None:
    """Put the folder `new` in its place; what stood there stands until then."""
    old = place.with_name("old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def pdf(scale: str = "quick", dataset: str = "") -> Path:
    """The report as one PDF, through Chromium; the notebooks are executed first if they are not yet.

    dataset: as in an Experiment; unless given, that of the last report at this scale. Raises ReportError,
    before anything runs, where no Chromium or Chrome is installed.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise ReportError(
            "The PDF is printed by Chromium or Chrome, and none is installed (looked for "
            f"{', '.join(BROWSERS)}). Install one, for instance `apt install chromium`, or open the site "
            "of `make report` in any browser and print it"
        )
    place = _place(_prepared(dataset, scale)) if dataset else "*"
    known = paths.build_folder().glob(f"{scale}-{place}/notebooks/{PROVENANCE}")
    if not (executed := sorted(known, key=os.path.getmtime)):
        report(scale, dataset)
        return pdf(scale, dataset)
    print(json.loads(executed[-1].read_text())["index"]["line"])
    pages = executed[-1].parent
    target = pages.parent / "report.pdf"
    with _alone(pages.parent):
        _print(browser, site(pages, builder="singlehtml") / "index.html", target)
    print(f"The report as one file:\n\n    {target}\n")
    return target


def available() -> str:
    """'cifar10' where its images and the ImageNet weights are here or can be downloaded, else 'miniature'.

    Says in one line which, and why. A stated place that is wrong (CIFAR10_DIR, MOBILENETV2_WEIGHTS) is an
    error and not a reason to use anything else; so is a cache that cannot be written, which the miniature
    needs as well (CacheError).
    """
    cifar10.locate()
    weights.configured_path(Experiment())
    try:
        images, network = cifar10.find_or_download(), weights.find_or_download(Experiment())
    except (split.DataError, weights.WeightsError) as error:
        print(f"Running on the miniature, which ships with this report: {str(error).split('. ')[0]}.")
        return "miniature"
    print(f"Running on CIFAR-10 from {images}, with the ImageNet weights in {network}.")
    return "cifar10"


def execute(
    chapters: Sequence[Path], pages: Path, scale: str, dataset: str, committed: Sequence[str] = ()
) -> None:
    """Execute notebooks into the folder `pages`, made anew, and put the site's own sources beside them.

    Those named in `committed` are put there as they are. Raises NotebookError where one fails, which is kept
    in `pages` up to the cell that did, and ReportError where there is none, or where one shows the miniature
    in a report on CIFAR-10.
    """
    if not chapters:
        raise ReportError(f"{paths.NOTEBOOKS} holds no notebook: restore it from version control")
    prepare(pages)
    start, given = time.monotonic(), {"scale": scale, "dataset": dataset}
    live = [path for path in chapters if path.stem not in committed]
    with contextlib.closing(Console(live)) as console:
        for path in live:
            notebooks.execute(path, pages / path.name, given, **console.begin(path))
            if is_study_data(dataset) and notebooks.shows_miniature(pages / path.name):
                raise ReportError(
                    f"{path.name} shows the miniature in a report on CIFAR-10: name it in SHOW_IMAGES"
                )
    kept = [path for path in chapters if path.stem in committed]
    for path in kept:
        shutil.copyfile(path, pages / path.name)
    describe(pages, scale, dataset, minutes=(time.monotonic() - start) / 60, committed=kept)


def prepare(pages: Path) -> None:
    """Make the folder `pages` anew, with all of the site's sources but the notebooks."""
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(
        paths.NOTEBOOKS, pages, ignore=shutil.ignore_patterns("*.ipynb", "_build", ".*", "__pycache__")
    )


def describe(pages: Path, scale: str, dataset: str, minutes: float, committed: Sequence[Path] = ()) -> None:
    """Write down how the pages in `pages` came about, for the line under each; 'index' is for all not named.

    `committed`: the notebooks that were not executed.
    """
    facts = machine()
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    line = (
        f"Executed on {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC at {scale} scale on "
        f"{sources.described(dataset)}, in about {max(1, round(minutes))} min. Python {facts['python']}, "
        f"{versions}. {facts['processor']}, threads: {facts['threads']}, {facts['platform']}."
    )
    said = {}
    for path in committed:
        own = notebooks.parameters(path)["scale"]["default"]
        lacks = "this machine lacks some of what it shows"
        kept = f"Shown as committed, executed at {own} scale on CIFAR-10: {lacks}."
        said[path.stem] = {"line": kept, "notice": _notice(own, "cifar10")}
    if said:
        line += f" Shown as committed, for want of what they show: {', '.join(said)}."
    said["index"] = {"line": line, "notice": _notice(scale, dataset)}
    (pages / PROVENANCE).write_text(json.dumps(said, indent=2))


def _notice(scale: str, dataset: str) -> str:
    """What stands above a page that is less than the published report; else nothing."""
    limits = SCALES[scale]
    if dataset == "miniature":
        return "Miniature: drawn images and a small network. No number here compares with CIFAR-10's."
    own = sources.described(dataset)
    said = "" if is_study_data(dataset) else f"{own[0].upper()}{own[1:]}: the study says nothing of them. "
    if scale == "full":
        return said.rstrip()
    said += (
        f"{scale.capitalize()} scale: at most {limits.train:,} training images and {limits.epochs} epochs, "
    )
    return f"{said}to show that it runs. The published numbers are those of full scale on CIFAR-10."


def site(pages: Path, builder: str = "html") -> Path:
    """The folder of the site that Sphinx builds from executed notebooks, every warning being an error.

    `builder`: 'html', or 'singlehtml' for one long page. Raises ReportError with Sphinx' own words.
    """
    # Two levels below the sources: MyST-NB puts its images one above, and Sphinx wants those inside.
    target = pages / "_build" / builder
    command = [sys.executable, "-m", "sphinx", "-q", "-n", "-W", "--keep-going", "-b", builder]
    command += [str(pages), str(target)]
    result = subprocess.run(command, capture_output=True, text=True, env=paths.environment())
    if result.returncode:
        raise ReportError(f"The site of {pages} could not be built:\n{result.stderr or result.stdout}")
    return target


def quotations(pages: Path) -> dict[str, str]:
    """What the site's own pages quote, as MyST Markdown: each tag of QUOTED, code, and two tables.

    'recipe' is recipe.py, 'chapters' are the notebooks and their questions, 'records' the records that the
    notebooks name.
    Raises ReportError where no cell, or more than one, has the tag.
    """
    notebooks = {path: nbformat.read(path, as_version=4) for path in sorted(pages.glob("[0-9][0-9]_*.ipynb"))}
    quoted = {tag.replace("-", "_"): _quote(tag, notebooks) for tag in QUOTED}
    openings = (_opening(*each) for each in notebooks.items())
    chapters = str(markdown.rows("chapter | question", openings).data)
    recipe = str(markdown.recipe().data)
    return {**quoted, "recipe": recipe, "chapters": chapters, "records": _listed(pages, notebooks)}


def link_records(app: Any, doctree: Any, page: str) -> None:
    """Make every name of a listed record a link to its row (Sphinx' event 'doctree-resolved').

    One long page is for printing: what leads to a file there loses its link and keeps its text.
    """
    target = app.builder.get_relative_uri(page, RECORDS)
    if app.builder.name == "singlehtml":
        target = ""
        for link in list(doctree.findall(addnodes.download_reference)):
            link.replace_self(link.children)
    listed = re.findall(r'<a id="(.+?)">', app.config.myst_substitutions["records"])
    for name in list(doctree.findall(nodes.literal)):
        if page != RECORDS and name.astext() in listed:
            link = nodes.reference("", "", name.deepcopy(), refuri=f"{target}#{name.astext()}", internal=True)
            name.replace_self(link)


def say_provenance(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Say of a page, below, how it came about; above, whether it is less than the report.

    Sphinx' event 'html-page-context'.
    """
    said = json.loads((Path(app.srcdir) / PROVENANCE).read_text())
    facts = said.get(page, said["index"])
    context["theme_extra_footer"] = f'<p class="report-footer">{facts["line"]}</p>'
    context["theme_announcement"] = facts["notice"]


def _quote(tag: str, notebooks: dict[Path, nbformat.NotebookNode]) -> str:
    cells = [
        cell for book in notebooks.values() for cell in book.cells if tag in cell.metadata.get("tags", [])
    ]
    shown = [output.data for cell in cells for output in cell.get("outputs", []) if "data" in output]
    if len(shown) != 1:
        raise ReportError(
            f"The site's own pages quote the one output of the cell tagged {tag!r}, and the notebooks have "
            f"{len(shown)}: tag exactly one cell with exactly one output so, and execute it"
        )
    if "text/markdown" in shown[0]:
        return shown[0]["text/markdown"]
    return f'<div class="quoted">{shown[0]["text/html"]}</div>'


def _opening(path: Path, book: nbformat.NotebookNode) -> tuple[str, str]:
    """A row of the table of chapters: number and title, and the question that a notebook begins with."""
    title, question = book.cells[0].source.split("\n\n")[:2]
    return f"[{int(path.name[:2])}. {title.lstrip('# ')}]({path.name})", " ".join(question.split())


def _listed(pages: Path, notebooks: dict[Path, nbformat.NotebookNode]) -> str:
    """The table of the records that notebooks name in their outputs, in the order of their first mention."""
    root = paths.results_folder(Experiment())
    known = {
        path.stem: path
        for folder in (published.PUBLISHED_LOGS, root)
        for path in store.paths(folder, below=True)
    }
    chapters: dict[str, list[str]] = {}
    for path, book in notebooks.items():
        outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
        texts = [output.get("data", {}).get("text/markdown", "") for output in outputs]
        for name in dict.fromkeys(re.findall(r"`([^`\s]+)`", "\n".join(texts))):
            if name in known:
                chapters.setdefault(name, []).append(f"[{int(path.name[:2])}]({path.name})")
    if not chapters:
        return "No chapter names a record."
    columns = (
        "record | choices other than the careful fine-tune's | test accuracy | minutes | made on | chapters"
    )
    described = (
        (*_described(store.read(known[name]), pages), ", ".join(links)) for name, links in chapters.items()
    )
    return str(markdown.rows(columns, described).data)


def _described(run: Run, pages: Path) -> tuple[object, ...]:
    """A record's cells in the table of records, but for the chapters; its name leads to its file."""
    name, file = run.path.stem, Path(os.path.relpath(run.path, pages)).as_posix()
    own = [f"{field} {value}" for field, value in changed(run.config).items()]
    choices = "the study's own log" if run.is_published_log else ", ".join(own) or "none"
    accuracy = intervals.proportion(run.test_accuracy, run.size("test"))
    minutes = f"{run.seconds / 60:.0f}" if "total" in run.timing_sec else "–"
    date = run.environment.get("date", "–")
    return f'<a id="{name}"></a>[`{name}`]({file})', choices, accuracy, minutes, date


def _print(browser: str, page: Path, target: Path) -> None:
    # A root user (in a container) has no sandbox to offer; this page is our own.
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    patience = ["--virtual-time-budget=20000", f"--print-to-pdf={target}"]
    result = subprocess.run([browser, *options, *patience, page.as_uri()], capture_output=True, text=True)
    if result.returncode or not target.is_file():
        raise ReportError(f"{browser} printed no PDF of {page}:\n{result.stderr}")
