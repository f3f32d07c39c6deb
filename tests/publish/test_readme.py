"""README.md: what is computed in it is true, and nothing else is touched."""

import base64
import re
from pathlib import Path

import nbformat
import pytest

from helpers import paths
from helpers.chapters import findings
from helpers.experiment import ExperimentError
from helpers.publish import notebooks, readme
from helpers.records import store
from helpers.records.run import RecordError

README = Path(__file__).parents[2] / "README.md"
MOST_WORDS = 40
"""Of a figure's alternative text."""
START, END = "<!-- parameters, from the notebooks: python -m helpers readme -->", "<!-- end of parameters -->"


def test_it_agrees_with_the_records_and_the_notebooks() -> None:
    page = README.read_text(encoding="utf-8")
    assert readme.written(page) == page, "run `python -m helpers readme`"


def test_only_what_is_between_the_markers_is_written() -> None:
    page = f"# Title\n\n{START}\n| old |\n{END}\n\nAfter.\n"
    written = readme.between(page, "parameters", "| new |")
    assert written == f"# Title\n\n{START}\n\n| new |\n\n{END}\n\nAfter.\n"
    assert readme.between(written, "parameters", "| new |") == written


@pytest.mark.parametrize("page", ["", f"{START}\n", f"{END}\n{START}"])
def test_a_page_without_the_markers_is_refused(page: str) -> None:
    with pytest.raises(ExperimentError, match="<!-- .* -->.*<!-- .* -->"):
        readme.between(page, "parameters", "| new |")


def test_its_alternative_texts_are_short() -> None:
    texts = re.findall(r'<img [^>]*alt="([^"]*)"', README.read_text(encoding="utf-8"))
    assert len(texts) == 2
    assert all(len(text.split()) <= MOST_WORDS for text in texts)


def test_its_figure_is_the_tagged_cells_wherever_that_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tag in (notebooks.SCOREBOARD, notebooks.KEY_FIGURE):
        name = re.search(r'src="(figures/[^"]*)".* width="[45]\d\d"', notebooks.tagged_figure(tag))
        assert name and (README.parent / name[1]).is_file()
    wide = base64.b64encode(bytes(16) + (880).to_bytes(4, "big")).decode()
    cell = {"html": f'<img src="data:image/png;base64,{wide}" alt="">', "plain": "it & that"}
    data = {f"text/{kind}": text for kind, text in cell.items()}
    output = nbformat.v4.new_output("display_data", data)
    plain, tagged = (
        nbformat.v4.new_code_cell(outputs=[output], metadata={"tags": tags}) for tags in ([], ["key-figure"])
    )
    monkeypatch.setattr(notebooks, "series", lambda: [tmp_path / "01_it.ipynb"])
    for cells, number in (([tagged, plain], 1), ([plain, tagged], 2)):
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "01_it.ipynb")
        written = notebooks.tagged_figure("key-figure")
        assert written == f'<img src="figures/01_it-{number}.png" alt="it &amp; that" width="440">'
    nbformat.write(nbformat.v4.new_notebook(cells=[plain]), tmp_path / "01_it.ipynb")
    with pytest.raises(notebooks.NotebookError, match="no figure's cell is tagged 'key-figure'"):
        notebooks.tagged_figure("key-figure")


def test_a_damaged_record_is_no_missing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "n0_s42-damaged.json").write_text("{")
    monkeypatch.setenv("REPORT_RESULTS", str(tmp_path))
    with pytest.raises(RecordError, match="n0_s42-damaged.json: it is not JSON"):
        readme.written("")


def test_the_verdict_lists_the_findings_that_the_records_say() -> None:
    chapter = nbformat.read(paths.NOTEBOOKS / "08_verdict.ipynb", as_version=4)
    (cell,) = [cell for cell in chapter.cells if "findings" in cell.metadata.get("tags", [])]
    told = findings.numbered(store.read_folder(paths.RESULTS)[0])
    cure = "run `python -m helpers notebook 08 --in-place`, then `python -m helpers readme`"
    assert cell.outputs[0].data["text/markdown"] == told, cure
