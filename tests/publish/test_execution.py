"""One notebook at a time: tidied, executed in its place, its parameters listed."""

import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers import paths
from helpers.apps.cli import run_notebook
from helpers.experiment import ExperimentError
from helpers.publish import notebooks
from helpers.publish.console import Console
from helpers.publish.notebooks import NotebookError

TIMES = {"iopub.execute_input": "2025-11-01T10:00:00.000000Z", "shell.execute_reply": "2025-11-01T10:00:01Z"}


def write(path: Path, *cells: nbformat.NotebookNode, **metadata: object) -> Path:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=list(cells), metadata={**kernel, **metadata}), path)
    return path


def parameters(source: str) -> nbformat.NotebookNode:
    return new_code_cell(source, metadata={"tags": ["parameters"]})


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """A notebook as papermill and JupyterLab leave it between them, on somebody's own kernel."""
    outputs = [
        new_output("stream", name="stderr", text="I0000 00:00:1762.7 cpu_feature_guard.cc:227] ...\n"),
        new_output("stream", name="stdout", text="said\n"),
        new_output("stream", name="stderr", text="stage1:  50%|#####     | 1/2\r"),
        new_output("execute_result", {"text/plain": "0.9156"}, execution_count=1, metadata={"unit": "share"}),
    ]
    cell = new_code_cell("tell()", id="told", execution_count=1, outputs=outputs)
    cell.metadata = {
        "papermill": {"duration": 1.5, "status": "completed"},
        "execution": TIMES,
        "ExecuteTime": {"start_time": TIMES["iopub.execute_input"]},
        "tags": ["nbval-check-output"],
        "mystnb": {"number_source_lines": True},
        "scrolled": True,
        "collapsed": False,
        "editable": True,
        "slideshow": {"slide_type": ""},
        "jupyter": {"outputs_hidden": True, "source_hidden": False},
        "trusted": True,
    }
    text = new_markdown_cell("*Text.*", id="text", metadata={"papermill": {}, "tags": []})
    return write(
        tmp_path / "traces.ipynb",
        *(text, cell),
        kernelspec={"name": "venv-3.11", "display_name": ".venv (3.11)", "language": "python"},
        language_info={"name": "python", "pygments_lexer": "ipython3"},
        papermill={"input_path": "x.ipynb", "start_time": TIMES["iopub.execute_input"]},
        widgets={"application/vnd.jupyter.widget-state+json": {"state": {}}},
        vscode={"interpreter": {"hash": "3f2a"}},
    )


def test_tidy_takes_out_the_run_and_keeps_what_it_showed(traces: Path) -> None:
    assert notebooks.tidy(traces)
    content = json.loads(traces.read_text())
    assert content["metadata"] == {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python", "pygments_lexer": "ipython3"},
    }
    text, cell = content["cells"]
    assert text["metadata"] == {"tags": []}
    assert cell == {
        "cell_type": "code",
        "id": "told",
        "source": ["tell()"],
        "execution_count": 1,
        "metadata": {"tags": ["nbval-check-output"], "mystnb": {"number_source_lines": True}},
        "outputs": [
            {"output_type": "stream", "name": "stdout", "text": ["said\n"]},
            {
                "output_type": "execute_result",
                "data": {"text/plain": ["0.9156"]},
                "execution_count": 1,
                "metadata": {"unit": "share"},
            },
        ],
    }


def test_tidy_leaves_a_tidy_notebook_alone(traces: Path) -> None:
    notebooks.tidy(traces)
    once = traces.read_bytes()
    os.utime(traces, (0, 0))
    assert not notebooks.tidy(traces)
    assert traces.read_bytes() == once and traces.stat().st_mtime == 0, "it was written again"
    assert once.endswith(b"\n}\n") and b'\n "cells": [' in once


@pytest.mark.parametrize("path", notebooks.series(), ids=lambda path: path.stem)
def test_the_committed_notebooks_are_tidy(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    assert not notebooks.tidy(copy), f"run `python -m helpers tidy {path.name}`"
    assert copy.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("content", ['{\n<<<<<<< HEAD\n "cells": []\n=======\n', "{}"])
def test_tidy_refuses_by_name_what_is_no_notebook(content: str, tmp_path: Path) -> None:
    path = tmp_path / "merged.ipynb"
    path.write_text(content)
    with pytest.raises(NotebookError, match=r"(?s)merged\.ipynb is no notebook \(.*restore it"):
        Console([path])
    with pytest.raises(NotebookError, match=r"(?s)merged\.ipynb is no notebook \(.*restore it"):
        notebooks.tidy(path)
    assert path.read_text() == content


# In its place -------------------------------------------------------------------------------------


def test_a_notebook_executed_in_its_place_is_tidy_and_has_its_own_parameters(tmp_path: Path) -> None:
    stale = new_output("stream", name="stdout", text="an older answer\n")
    cell = new_code_cell("import sys\nprint('now', n)\nprint('noise', file=sys.stderr)", outputs=[stale])
    path = write(tmp_path / "01_small.ipynb", parameters("n: int = 3  # how many"), cell)
    notebooks.execute_in_place(path, tmp_path / "build" / path.name, progress_bar=False)
    cells = nbformat.read(path, as_version=4).cells
    assert [cell.metadata.get("tags", []) for cell in cells] == [["parameters"], []]
    assert [cell.execution_count for cell in cells] == [1, 2]
    assert [(output.name, output.text) for output in cells[1].outputs] == [("stdout", "now 3\n")]
    assert not notebooks.tidy(path)


def test_a_notebook_that_fails_in_its_place_stays_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path / "01_failing.ipynb", new_code_cell("1 / 0"))
    before, output = path.read_bytes(), tmp_path / "build" / path.name
    with pytest.raises(
        NotebookError, match=r"(?s)01_failing\.ipynb failed in cell 0: ZeroDivisionError: .*build"
    ):
        notebooks.execute_in_place(path, output, progress_bar=False)
    assert path.read_bytes() == before
    assert "ZeroDivisionError" in output.read_text()


# What is asked of it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["4", "04", "04_finetune", "04_finetune.ipynb"])
def test_a_chapter_is_found_by_its_number_and_its_name(name: str) -> None:
    assert notebooks.find(name) == paths.NOTEBOOKS / "04_finetune.ipynb"


def test_a_number_without_a_chapter_is_refused() -> None:
    assert notebooks.find("10").stem == "10_batchnorm"
    with pytest.raises(ExperimentError, match="no notebook '0'"):
        notebooks.find("0")


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [("learning_rate", "99", "0.0 to 10.0"), ("scale", "tiny", "'smoke', 'quick', 'full'")],
)
def test_a_value_that_no_experiment_takes_is_refused_before_anything_runs(
    name: str, value: str, allowed: str, tmp_path: Path
) -> None:
    path, output = notebooks.find("04"), tmp_path / "out.ipynb"
    with pytest.raises(ExperimentError, match=f"{name}=.*{value}.* {allowed}"):
        notebooks.execute(path, output, {name: value})
    assert not output.exists()


def test_a_notebook_that_is_given_a_place_runs_with_its_own_parameters(tmp_path: Path) -> None:
    run_notebook("11", [], output=tmp_path / "eleven.ipynb")
    cells = nbformat.read(tmp_path / "eleven.ipynb", as_version=4).cells
    assert any(cell.get("outputs") for cell in cells if "answer" in cell.metadata.tags)


def test_without_parameters_a_chapter_is_explained_and_not_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebooks, "execute", lambda *_, **__: pytest.fail("it ran"))
    run_notebook("07", [])
    assert "target: float = 0.9156" in (said := capsys.readouterr().out)
    assert "helpers notebook 07 -p dataset cifar10 -p scale full" in said


# The kernel -----------------------------------------------------------------------------------------


def said(path: Path, *cells: str) -> list[str]:
    """What cells print in a notebook executed as ours are, a line each."""
    book = write(path, *map(new_code_cell, cells))
    notebooks.execute(book, path.with_name("out.ipynb"), {}, progress_bar=False)
    outputs = [
        output for cell in nbformat.read(path.with_name("out.ipynb"), 4).cells for output in cell.outputs
    ]
    return "".join(output.get("text", "") for output in outputs).splitlines()


def test_a_kernel_has_this_package_and_the_places_of_the_process_that_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a `helpers` on PYTHONPATH, not a kernel of the user's, and no place below another folder."""
    (tmp_path / "helpers.py").write_text("raise SystemError('not ours')")
    spec = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["false"], "display_name": "mine", "language": "python"}))
    for name, value in {
        "PYTHONPATH": tmp_path,
        "JUPYTER_PATH": spec.parents[2],
        "REPORT_RESULTS": "mine",
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    tell = "import os\nfrom helpers import paths\nos.chdir('/')\nprint(paths.ROOT)\n"
    tell += "print(paths.stated('REPORT_RESULTS'))"
    assert said(tmp_path / "01_it.ipynb", tell) == [str(paths.ROOT), str(tmp_path / "mine")]
    assert dict(os.environ) == before


def test_a_computed_default_is_refused_in_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "computed.ipynb", parameters("rate: float = 10 ** -5  # computed"))
    with pytest.raises(NotebookError, match=r"computed\.ipynb: write rate as a plain value, .* 10 \*\* -5"):
        notebooks.execute(path, tmp_path / "out.ipynb", {"rate": "1e-5"})


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(papermill, "execute_notebook", full)
    path = write(tmp_path / "01_it.ipynb", new_code_cell("1"))
    with pytest.raises(NotebookError, match=r"out\.ipynb cannot be written .*No space.* REPORT_BUILD"):
        notebooks.execute(path, tmp_path / "out.ipynb", {}, progress_bar=False)


def test_a_kernel_that_dies_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "01_it.ipynb", new_code_cell("import os\nos._exit(1)"))
    with pytest.raises(NotebookError, match=r"01_it\.ipynb: its process ended by itself"):
        notebooks.execute(path, tmp_path / "out.ipynb", {}, progress_bar=False)


# What a user sees meanwhile ---------------------------------------------------------------------------

TRAIN = "from helpers.progress import bar\nwith bar('storing x', 2, 'img') as b: b.update()"
WARN = "import os\nos.write(2, b'I0000 00:00 cpu_feature_guard.cc ...\\n')\nprint('It takes 1 min')"


def test_a_pipe_gets_a_line_a_notebook_and_a_stage(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "01_it.ipynb", *map(new_code_cell, (WARN, TRAIN, TRAIN)))
    with contextlib.closing(Console([path, path])) as console:
        for _ in range(2):
            notebooks.execute(path, tmp_path / "out.ipynb", {}, **console.begin(path))
    out, err = capfd.readouterr()
    first, second = (["It takes 1 min", "  storing x"],) * 2
    left = "about 1 min left"
    assert out.splitlines() == ["01_it (1 of 2)", *first, f"01_it (2 of 2, {left})", *second]
    assert err == ""


def test_a_terminal_gets_one_bar_on_one_line(tmp_path: Path) -> None:
    """Nothing scrolls but what a notebook has to say; the bar is gone in the end."""
    path = write(tmp_path / "01_it.ipynb", *map(new_code_cell, (WARN, TRAIN)))
    ask = (
        "import contextlib; from pathlib import Path; from helpers.publish import console, notebooks\n"
        f"path = Path({str(path)!r})\n"
        "with contextlib.closing(console.Console([path])) as shown:\n"
        f"    notebooks.execute(path, path.with_name('out.ipynb'), {{}}, **shown.begin(path))"
    )
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    done = subprocess.Popen([sys.executable, "-c", ask], stdout=end, stderr=end, env=paths.environment())
    os.close(end)
    shown = b""
    with contextlib.suppress(OSError):  # as Linux says that nobody writes to it any more
        while read := os.read(terminal, 4096):
            shown += read
    assert done.wait(60) == 0
    text = shown.decode()
    assert "01_it (1 of 1) |" in text and "storing x 0%" in text
    assert [line.split("\r")[-1] for line in text.split("\r\n")] == ["It takes 1 min", ""]
    assert "\x1b[A" not in text and "cpu_feature" not in text


# The table of parameters --------------------------------------------------------------------------


def test_a_parameter_has_one_row_and_its_chapters_differences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    common = 'scale: str = "full"  # how much is run'
    failing = "rate: float = 3e-4  # the rate that failed"
    usual = "rate: float = 1e-5  # initial rate\nkind: str = 'a'  # a|b"
    for name, own in (("01_one", failing), ("02_two", usual), ("03_three", usual), ("04_four", "")):
        write(tmp_path / f"{name}.ipynb", parameters(f"{common}\n{own}"))
    assert notebooks.parameter_table().splitlines() == [
        "| parameter | chapters | type | default | meaning |",
        "| --- | --- | --- | --- | --- |",
        "| `scale` | all | str | `full` | how much is run |",
        "| `rate` | 01, 02, 03 | float | `1e-5`; in 01: `3e-4` | initial rate; in 01: the rate that failed |",
        r"| `kind` | 02, 03 | str | `a` | a\|b |",
    ]
