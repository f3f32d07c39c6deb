"""The site: built from executed notebooks, every warning an error, asking for nothing outside itself."""

import html.parser
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kills
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers import paths
from helpers.data import cifar10
from helpers.data.split import DataError
from helpers.experiment import ExperimentError
from helpers.publish import notebooks
from helpers.publish import site as building
from helpers.publish.notebooks import NotebookError

PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href", "object": "data"}
BROWSER = next(filter(None, map(shutil.which, building.BROWSERS)), None)
RECORD = next(paths.RESULTS.glob("n0_s42-*.json"))
HARMLESS_LINKS = {"canonical", "next", "prev", "search", "index", "author", "license", "genindex"}


def shown(data: dict[str, str], tag: str) -> nbformat.NotebookNode:
    output = new_output("display_data", data)
    return new_code_cell(
        "show()", outputs=[output], execution_count=1, metadata={"tags": ["hide-input", tag]}
    )


def notebook(title: str, *cells: nbformat.NotebookNode) -> nbformat.NotebookNode:
    opening = new_markdown_cell(f"# {title}\n\nDoes it hold? With $x^2$ and [a source](https://example.org).")
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return new_notebook(cells=[opening, *cells], metadata=metadata)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site's sources with two executed notebooks, as `report.execute` leaves them."""
    folder = tmp_path_factory.mktemp("build") / "notebooks"
    building.prepare(folder)
    for path in notebooks.series():
        nbformat.write(notebook(path.stem), folder / path.name)
    findings = shown({"text/markdown": "1. **It holds**: 87.5%", "text/plain": ""}, "findings")
    figure = shown({"text/html": f'<img src="{PIXEL}" alt="a pixel">', "text/plain": "a pixel"}, "key-figure")
    board = shown({"text/html": f'<img src="{PIXEL}" alt="the board">', "text/plain": "it"}, "scoreboard")
    told = shown({"text/markdown": "> Eight of ten.", "text/plain": ""}, "verdict")
    differs = shown(
        {"text/markdown": "what | here\n--- | ---\nsplit | the same", "text/plain": ""}, "differences"
    )
    names = f"records `{RECORD.stem}` and `n0_s42-lost`; the study's log `run_n0_Adam`"
    source = shown({"text/markdown": names, "text/plain": ""}, "provenance")
    nbformat.write(
        notebook("Verdict", told, board, findings, figure, differs, source), folder / "08_verdict.ipynb"
    )
    machine = {"python": "3.12.1", "processor": "a processor", "threads": 2, "platform": "Linux"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "machine", lambda: {**machine, "versions": {"keras": "3.15.1"}})
        building.describe(folder, scale="quick", dataset="miniature", minutes=3)
    return folder


@pytest.fixture(scope="module")
def site(pages: Path) -> Path:
    return building.site(pages)


@pytest.fixture(scope="module")
def long_page(pages: Path) -> Path:
    """All of the site as one page, which is what the PDF is printed from."""
    return building.site(pages, builder="singlehtml") / "index.html"


class Requests(html.parser.HTMLParser):
    """The addresses that a browser fetches of its own accord to show a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "link" and set((attributes.get("rel") or "").split()) <= HARMLESS_LINKS:
            return
        for name in {LOADING.get(tag, ""), "srcset", "poster"} & set(attributes):
            self.found.append(attributes[name] or "")


def foreign(page: str) -> list[str]:
    """Addresses outside the site that a page makes the browser ask for, styles included."""
    styled = re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')\s;]+)", page)
    return [address for address in [*Requests(page).found, *styled] if re.match(r"(?:https?:)?//", address)]


def test_site_asks_for_nothing_outside_itself(site: Path) -> None:
    checked = sorted([*site.glob("*.html"), *site.rglob("*.css")])
    assert len(checked) > 5
    assert {path.name: foreign(path.read_text()) for path in checked if foreign(path.read_text())} == {}


def test_mathematics_is_set_by_the_sites_own_script(site: Path) -> None:
    (source,) = re.findall(r'src="([^"]*mathjax[^"?]*)', (site / "08_verdict.html").read_text())
    assert (site / source).is_file()


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/css">',
        '<img src="http://example.org/x.png">',
        "<style>@import 'https://example.org/x.css'</style>",
        "<style>@font-face { src: url(https://example.org/x.woff2) }</style>",
    ],
)
def test_what_would_count_as_foreign(page: str) -> None:
    assert foreign(page)


def test_outbound_links_are_not_requests() -> None:
    assert not foreign('<a href="https://example.org">a source</a> <link rel="canonical" href="https://a.b">')


def test_landing_page_quotes_the_notebooks(site: Path) -> None:
    page = (site / "index.html").read_text()
    assert "<strong>It holds</strong>: 87.5%" in page
    assert 'alt="a pixel"' in page and 'alt="the board"' in page
    assert 'href="08_verdict.html"' in page and 'href="summary.html"' in page
    summary = (site / "summary.html").read_text()
    assert "Eight of ten." in summary and "87.5%" in summary and "<td><p>the same</p></td>" in summary


def test_names_of_records_lead_to_their_rows_and_those_to_the_files(site: Path) -> None:
    page, listed = ((site / f"{name}.html").read_text() for name in ("08_verdict", building.RECORDS))
    for name in (RECORD.stem, "run_n0_Adam"):
        assert re.search(
            rf'href="{building.RECORDS}.html#{name}"[^>]*><code[^>]*><span class="pre">{name}', page
        )
        (row,) = re.findall(rf'<a id="{name}">.*?</tr>', listed, re.DOTALL)
        (file,) = re.findall(r'href="([^"]+\.json)"', row)
        assert json.loads((site / file).read_text())["metrics"]
        assert 'href="08_verdict.html"' in row
    assert "n0_s42-lost" in page and "n0_s42-lost" not in listed
    accuracy = json.loads(RECORD.read_text())["metrics"]["test_end2end"]
    assert f"{accuracy:.1%} (" in listed and "n_unfreeze 0" in listed


def test_records_are_found_where_the_stated_folder_is_relative(
    pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is below the folder of the report's process; Sphinx works in another."""
    sources = shutil.copytree(
        pages, tmp_path / "build" / "notebooks", ignore=shutil.ignore_patterns("_build")
    )
    shutil.copytree(
        RECORD.parent,
        tmp_path / "mine",
        ignore=lambda _, names: set(names) - {RECORD.name, f"{RECORD.stem}.npz"},
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPORT_RESULTS", "mine")
    listed = building.site(sources) / f"{building.RECORDS}.html"
    assert f'<a id="{RECORD.stem}">' in listed.read_text()


def test_in_one_long_page_records_are_within_and_files_are_no_links(long_page: Path) -> None:
    page = long_page.read_text()
    assert f'href="#{RECORD.stem}"' in page and f'<a id="{RECORD.stem}"></a>' in page
    assert ".json" not in page


def drawings(pdf: bytes) -> list[int]:
    """How often each page of a PDF from Chromium shows text or a picture."""
    parts = {int(m[1]): m[2] for m in re.finditer(rb"(?<!\d)(\d+) 0 obj\b(.*?)endobj", pdf, re.DOTALL)}
    pages = [part for part in parts.values() if re.search(rb"/Type\s*/Page\b", part)]
    contents = [parts[int(re.search(rb"/Contents (\d+) 0 R", part)[1])] for part in pages]  # type: ignore[index]
    streams = [part.split(b"stream\n", 1)[1].rsplit(b"endstream", 1)[0] for part in contents]
    plain = (zlib.decompressobj().decompress(stream) for stream in streams)
    return [len(re.findall(rb"\bT[jJ]\b|\bDo\b", each)) for each in plain]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")
def test_no_page_of_the_pdf_is_empty_wherever_a_chapter_ends(long_page: Path, tmp_path: Path) -> None:
    text = ("<h3>A chapter</h3><p>" + n * "A line of it.<br>" + "</p>" for n in range(20, 50))
    chapters = "".join(f'<span id="c{n}"></span><section>{body}</section>' for n, body in enumerate(text))
    page, toc = long_page.read_text(), '<div class="toctree-wrapper compound">'
    longer = long_page.with_name("longer.html")
    longer.write_text(page.replace(toc, toc + chapters))
    building._print(str(BROWSER), longer, tmp_path / "it.pdf")
    drawn = drawings((tmp_path / "it.pdf").read_bytes())
    assert len(drawn) > 30  # a chapter a page, at least
    assert min(drawn) > 1  # an empty page shows its number alone


def test_every_page_says_how_it_came_about(site: Path) -> None:
    for name in ("index.html", "08_verdict.html"):
        page = (site / name).read_text()
        assert re.search(r"Executed on \d{4}-\d\d-\d\d.* at quick scale on the miniature, in about 3", page)
        assert "Python 3.12.1, keras 3.15.1. a processor, threads: 2, Linux" in page
        assert "No number here compares with CIFAR-10" in page


@pytest.fixture
def illustrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two chapters committed with CIFAR-10's images; the first, live, shows the miniature's without these."""
    show = """from IPython.display import display
image = '<img src="data:image/png;base64,AA" alt="Miniature: it">'
display({"text/html": image, "text/plain": "Miniature: it"}, raw=True)"""
    committed = {"text/html": '<img src="data:image/png;base64,AA" alt="Cats">', "text/plain": "Cats"}
    written = []
    for name, source in (("01_data", show), ("02_other", "print('live')")):
        given = 'scale: str = "quick"\ndataset: str = "cifar10"'
        cell = new_code_cell(given, metadata={"tags": ["parameters"]})
        pictures = new_code_cell(source, outputs=[new_output("display_data", committed)])
        nbformat.write(notebook(name, cell, pictures), tmp_path / f"{name}.ipynb")
        written.append(tmp_path / f"{name}.ipynb")
    machine = {"python": "3.12.1", "processor": "a processor", "threads": 2, "platform": "Linux"}
    monkeypatch.setattr(building, "machine", lambda: {**machine, "versions": {"keras": "3.15.1"}})
    return written


def test_without_the_images_a_page_is_as_committed_and_says_so(
    illustrated: list[Path], tmp_path: Path
) -> None:
    pages = tmp_path / "pages"
    building.execute(illustrated, pages, "full", "cifar10", committed=["01_data"])
    assert (pages / "01_data.ipynb").read_bytes() == illustrated[0].read_bytes()
    assert "live" in (pages / "02_other.ipynb").read_text()
    said = json.loads((pages / building.PROVENANCE).read_text())
    assert re.match("Shown as committed, executed at quick scale on CIFAR-10: this", said["01_data"]["line"])
    assert said["01_data"]["notice"].startswith("Quick scale") and "02_other" not in said
    assert re.search(
        r"^Executed on .* at full scale .* want of what they show: 01_data\.$", said["index"]["line"]
    )
    assert said["index"]["notice"] == ""


def test_a_page_that_would_mix_is_an_error(illustrated: list[Path], tmp_path: Path) -> None:
    with pytest.raises(
        building.ReportError, match=r"01_data\.ipynb shows the miniature in a report on CIFAR"
    ):
        building.execute(illustrated, tmp_path / "pages", "full", "cifar10")


def test_each_footer_speaks_for_its_page(pages: Path, tmp_path: Path) -> None:
    sources = shutil.copytree(
        pages, tmp_path / "build" / "notebooks", ignore=shutil.ignore_patterns("_build")
    )
    said = json.loads((sources / building.PROVENANCE).read_text())
    said["03_forgetting"] = {"line": "Shown as committed.", "notice": ""}
    (sources / building.PROVENANCE).write_text(json.dumps(said))
    built = building.site(sources)
    first, last = ((built / f"{name}.html").read_text() for name in ("03_forgetting", "08_verdict"))
    assert "Shown as committed." in first and "No number here compares" not in first
    assert "Shown as committed." not in last and "No number here compares" in last


def test_a_page_is_as_committed_where_this_machine_lacks_what_it_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = Path("here")
    for images, people, scale, shown in (
        (None, here, "full", building.SHOW_IMAGES),
        (None, here, "quick", building.SHOW_IMAGES),
        (here, None, "full", building.SHOW_PEOPLE),
        (here, None, "quick", ()),
        (here, here, "full", ()),
    ):
        monkeypatch.setattr(building.cifar10, "locate", lambda found=images: found)
        monkeypatch.setattr(building.cifar10h, "locate", lambda found=people: found)
        assert building._as_committed(scale, "cifar10") == shown
        assert building._as_committed(scale, "miniature") == ()


def test_no_committed_page_shows_the_miniature() -> None:
    assert [path.stem for path in notebooks.series() if notebooks.shows_miniature(path)] == []
    assert {*building.SHOW_IMAGES, *building.SHOW_PEOPLE} <= {path.stem for path in notebooks.series()}


def test_a_warning_fails_the_build(pages: Path, tmp_path: Path) -> None:
    broken = tmp_path / "build" / "notebooks"
    broken.mkdir(parents=True)
    (broken / "conf.py").write_text("extensions = ['myst_nb']\nnb_execution_mode = 'off'\n")
    (broken / "index.md").write_text("# Title\n\n[nowhere](missing.md)\n")
    with pytest.raises(building.ReportError, match=r"missing\.md"):
        building.site(broken)


def test_a_missing_quotation_is_named(tmp_path: Path) -> None:
    nbformat.write(notebook("Verdict"), tmp_path / "08_verdict.ipynb")
    with pytest.raises(building.ReportError, match="tagged 'findings'.* have 0"):
        building.quotations(tmp_path)


def test_the_committed_notebooks_hold_what_the_landing_page_quotes() -> None:
    quoted = building.quotations(paths.NOTEBOOKS)
    assert quoted["findings"].strip() and "<img" in quoted["key_figure"] and "<img" in quoted["scoreboard"]
    assert quoted["verdict"].startswith("> **") and quoted["differences"].count("\n") > 5
    assert quoted["chapters"].count("?") >= 8


def test_an_unknown_scale_is_refused_before_anything_runs() -> None:
    with pytest.raises(ExperimentError, match="unknown scale 'fulll'; did you mean 'full'"):
        building.report("fulll")


def test_a_failing_notebook_is_named_with_its_cell(tmp_path: Path) -> None:
    parameters = new_code_cell('scale = "full"\ndataset = "cifar10"', metadata={"tags": ["parameters"]})
    failing = notebook("Failing", parameters, new_code_cell("raise ValueError(f'no record at {scale}')"))
    nbformat.write(failing, tmp_path / "01_failing.ipynb")
    with pytest.raises(NotebookError, match=r"01_failing.ipynb .*ValueError: no record at smoke"):
        building.execute(
            [tmp_path / "01_failing.ipynb"], tmp_path / "pages", scale="smoke", dataset="miniature"
        )
    assert (tmp_path / "pages" / "01_failing.ipynb").is_file()


# One report at a time, and never none where one was --------------------------------------------------


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """`building.report` over no real notebook: what it executes and builds is one file."""

    def execute(chapters: object, pages: Path, **parameters: object) -> None:
        building.prepare(pages)

    def site(pages: Path) -> Path:
        (pages / "_build" / "html").mkdir(parents=True)
        (pages / "_build" / "html" / "index.html").write_text("a good site")
        return pages / "_build" / "html"

    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(building, "available", lambda: "miniature")
    monkeypatch.setattr(building, "execute", execute)
    monkeypatch.setattr(building, "site", site)
    return lambda: building.report("smoke")


@pytest.mark.parametrize("stop", [NotebookError("a chapter failed"), KeyboardInterrupt()], ids=repr)
def test_the_good_site_stays_where_a_later_report_does_not_end(
    report: Callable[[], Path], stop: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = report()
    assert page.read_text() == "a good site"

    def stopped(chapters: object, pages: Path, **parameters: object) -> None:
        building.prepare(pages)
        raise stop

    with monkeypatch.context() as patch, pytest.raises(type(stop)):
        patch.setattr(building, "execute", stopped)
        report()
    assert page.read_text() == "a good site"
    assert report() == page and page.read_text() == "a good site"


def test_a_second_report_waits_for_the_first(
    report: Callable[[], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "build" / "smoke-miniature"
    with ThreadPoolExecutor() as pool:
        with building._alone(folder):
            second = pool.submit(report)
            assert kills.still_waits(second)
            assert not (folder / "unfinished").exists()
        assert second.result(60).read_text() == "a good site"
    assert f"Another process builds in {folder}: waiting" in capsys.readouterr().out


def test_no_browser_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(building.ReportError, match="Chromium or Chrome, and none is installed"):
        building.pdf("smoke")


def test_a_pdf_is_of_the_images_that_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REPORT_BUILD", str(tmp_path))
    monkeypatch.setattr(building.shutil, "which", lambda name: name)
    monkeypatch.setattr(building, "site", lambda pages, builder: pages)
    monkeypatch.setattr(building, "_print", lambda browser, page, target: None)
    for number, dataset in enumerate(("cifar10", "miniature")):
        pages = tmp_path / f"smoke-{dataset}" / "notebooks"
        pages.mkdir(parents=True)
        note = pages / building.PROVENANCE
        note.write_text(json.dumps({"index": {"line": f"Executed on {dataset}."}}))
        os.utime(note, (number, number))
    assert building.pdf("smoke").parent.name == "smoke-miniature"
    assert building.pdf("smoke", "cifar10").parent.name == "smoke-cifar10"
    assert "Executed on cifar10." in capsys.readouterr().out


def test_without_data_and_network_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("KERAS_HOME", "REPORT_CACHE"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("CIFAR10_DIR", "MOBILENETV2_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cifar10, "URL", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    assert building.available() == "miniature"
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Running on the miniature") and "could not be downloaded" in line


@pytest.mark.parametrize(("scale", "fetched"), [("quick", True), ("full", False)])
def test_images_that_are_asked_for_by_name_are_there_before_the_first_page(
    monkeypatch: pytest.MonkeyPatch, scale: str, fetched: bool
) -> None:
    """Else pages would show the committed images, and a later chapter would fetch the others."""
    asked: list[bool] = []
    monkeypatch.setattr(cifar10, "find_or_download", lambda: asked.append(True))
    assert building._prepared("cifar10", scale) == "cifar10" and bool(asked) == fetched


def test_a_stated_place_that_is_wrong_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CIFAR10_DIR", str(tmp_path))
    with pytest.raises(DataError, match="is missing"):
        building.available()
