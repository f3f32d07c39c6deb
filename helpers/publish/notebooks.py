"""The notebooks as files: find one, run it with its parameters checked first, tidy it, list its parameters.

papermill itself only warns of a name that a notebook does not have, and takes a value of any type: a
mistyped parameter would quietly give the answer to another question. And it writes into the notebook when and
where it ran, which `tidy` takes out again, so that a committed notebook changes only where its results do.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import html
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError

from helpers import files, markdown, paths
from helpers.errors import UserError
from helpers.experiment import ExperimentError, check, nearest

SCOREBOARD, KEY_FIGURE = "scoreboard", "key-figure"
"""Tags of the cells whose figures README.md and the landing page show."""
KEPT = ("kernelspec", "language_info")
"""What stays of a tidy notebook's own metadata."""
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
"""The kernel that every machine has; a user's own may be named after a folder."""
KEPT_OF_A_CELL = ("tags", "mystnb")
"""What stays of a cell's metadata. The rest is papermill's, or how somebody's JupyterLab showed the cell."""


class Kernel(AsyncKernelManager):
    """Runs notebooks with this Python and this package.

    No kernel that the user registered under the same name takes its place, and no `helpers` of the user's.
    """

    kernel_spec = KernelSpec(argv=[sys.executable, *"-m ipykernel_launcher -f {connection_file}".split()])

    async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]  # as in its base
        """Start it as all our child processes; start-up lines that it writes itself go nowhere."""
        await super().start_kernel(env=paths.environment(), stderr=subprocess.DEVNULL, **options)


class NotebookError(UserError):
    """A cell of a notebook failed, or one that is needed is missing."""


def series() -> list[Path]:
    """The report's notebooks, in the order of its chapters."""
    return sorted(paths.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def find(name: str) -> Path:
    """The notebook that a number ('4', '04'), a name ('04_finetune') or a path means.

    Raises ExperimentError where there is none.
    """
    if Path(name).is_file():
        return Path(name)
    for path in series():
        if name in (path.stem, path.stem[:2], path.stem[:2].lstrip("0"), path.name):
            return path
    raise ExperimentError(f"no notebook {name!r}{nearest(name, [path.stem for path in series()])}")


def parameters(path: Path) -> dict[str, dict[str, Any]]:
    """A notebook's parameters by name: 'default', 'type' and 'help', as its tagged cell states them.

    'written' is the default as the cell writes it, but for quotes: 1e-5, where Python would show 1e-05.
    Raises NotebookError for a file that is no notebook, or whose parameters are no plain literals.
    """
    read(path)
    found = {}
    for name, entry in papermill.inspect_notebook(str(path)).items():
        written = entry["default"]
        try:
            default = ast.literal_eval(written)
        except (ValueError, SyntaxError):
            raise NotebookError(f"{path}: write {name} as a plain value, and not as {written}") from None
        kind, plain = type(default).__name__, written.strip("\"'")
        found[name] = {"default": default, "written": plain, "type": kind, "help": entry["help"]}
    return found


def checked(path: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` parameter values with the types of the notebook's own; text is read as a literal of that type.

    Raises ExperimentError for a name that the notebook does not have, with the nearest that it has, for a
    value of another type, and for one that an Experiment's field of that name does not take.
    """
    known = parameters(path)
    values = {}
    for name, value in given.items():
        if name not in known:
            raise ExperimentError(f"{path.name} has no parameter {name!r}{nearest(name, list(known))}")
        values[name] = _typed(path, name, value, type(known[name]["default"]))
        check(name, values[name])
    return values


def _typed(path: Path, name: str, value: Any, wanted: type) -> Any:
    read = value
    if isinstance(value, str) and wanted is not str:
        with contextlib.suppress(ValueError, SyntaxError):
            read = ast.literal_eval(value)
    if wanted is float and isinstance(read, int) and not isinstance(read, bool):
        read = float(read)
    if type(read) is not wanted:
        raise ExperimentError(f"{path.name}: {name}={value!r} is not of type {wanted.__name__}")
    return read


def execute(path: Path, output: Path, given: Mapping[str, Any], **options: Any) -> None:
    """Run a notebook with some parameters changed and write it, executed, to `output`.

    `options` go to papermill. Raises ExperimentError before anything runs where a parameter is wrong, and
    NotebookError where a cell fails; `output` then holds what ran until there.
    """
    values = checked(path, given)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        papermill.execute_notebook(
            str(path),
            str(output),
            parameters=values,
            kernel_name=KERNEL["name"],
            kernel_manager_class=Kernel,
            **options,
        )
    except papermill.PapermillExecutionError as error:
        raise NotebookError(
            f"{path.name} failed in cell {error.cell_index}: {error.ename}: {error.evalue}\n"
            f"What ran until then is in {output}"
        ) from error
    except OSError as error:
        cure = "make room there, or set REPORT_BUILD to a folder on another disk"
        raise NotebookError(f"{output} cannot be written ({error}); {cure}") from error
    except DeadKernelError as error:
        raise NotebookError(
            f"{path.name}: its process ended by itself, perhaps for want of memory"
        ) from error


def execute_in_place(path: Path, output: Path, **options: Any) -> None:
    """Run a notebook with its own parameters and put it, executed and tidied, in its own place.

    One at full scale writes its figures, too. It runs in `output`; `path` is replaced once all of it ran.
    `options` go to papermill. Raises NotebookError where a cell fails: `path` is then as it was, and
    `output` holds what ran until there.
    """
    execute(path, output, {}, **options)
    tidy(output)
    files.write({path: output.read_bytes()})
    if parameters(path).get("scale", {}).get("default") == "full":
        figures(path)


# ---------------------------------------------------------------------------- what is committed


def tidy(path: Path) -> bool:
    """Take out of a notebook what tells of one run or one machine; returns whether there was anything.

    Removed are the metadata but for KEPT and KEPT_OF_A_CELL, the name of somebody's kernel, and everything
    that was written to stderr: start-up lines, progress bars, warnings. All other outputs stay, and the
    ids. A tidy notebook is not written again. Raises NotebookError for a file that is no notebook, as one
    amid a merge is not.
    """
    before, book = path.read_bytes(), read(path)
    kept = {name: book.metadata[name] for name in KEPT if name in book.metadata}
    book.metadata = nbformat.from_dict({**kept, "kernelspec": KERNEL})
    for cell in book.cells:
        kept = {name: cell.metadata[name] for name in KEPT_OF_A_CELL if name in cell.metadata}
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    after = f"{nbformat.writes(book)}\n".encode()
    if after == before:
        return False
    files.write({path: after})
    return True


def read(path: Path) -> Any:
    """A notebook, as nbformat has it. Raises NotebookError for a file that is none."""
    try:
        return nbformat.reads(path.read_bytes().decode(), as_version=4)
    except (ValueError, nbformat.ValidationError) as error:
        raise NotebookError(
            f"{path} is no notebook ({error}); restore it from version control and execute it again"
        ) from error


def pictures(path: Path) -> dict[str, bytes]:
    """The figures that an executed notebook shows, in order: file name to the content of a PNG file."""
    return {name: base64.b64decode(source) for name, (source, _, _) in _figures(path).items()}


def shows_miniature(path: Path) -> bool:
    """Whether a figure of an executed notebook is of the miniature, as its alternative text then says."""
    return any("Miniature" in alt for _, alt, _ in _figures(path).values())


def tagged_figure(tag: str) -> str:
    """The figure of the cell with this tag, as HTML: its file below the root, its alternative text and width.

    Raises NotebookError where the notebooks have none.
    """
    for path in series():
        for name, (source, alt, tags) in _figures(path).items():
            if tag in tags:
                wide = int.from_bytes(base64.b64decode(source)[16:20], "big") // 2
                text = html.escape(alt)
                return f'<img src="{paths.FIGURES.name}/{name}" alt="{text}" width="{wide}">'
    raise NotebookError(f"no figure's cell is tagged {tag!r}: tag the one that README.md shows")


def _figures(path: Path) -> dict[str, tuple[str, str, list[str]]]:
    """File name to a shown figure's PNG in base64, its alternative text, and the tags of its cell."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    shown = [
        (source, output.data["text/plain"], cell.metadata.get("tags", []))
        for cell in cells
        for output in cell.outputs
        for source in re.findall(
            r'src="data:image/png;base64,([^"]+)"', output.get("data", {}).get("text/html", "")
        )
    ]
    return {f"{path.stem}-{number}.png": found for number, found in enumerate(shown, start=1)}


def figures(path: Path) -> None:
    """Write a notebook's figures to FIGURES, in the place of those that it had there."""
    paths.FIGURES.mkdir(exist_ok=True)
    new = {paths.FIGURES / name: content for name, content in pictures(path).items()}
    files.write(new)
    for old in set(paths.FIGURES.glob(f"{path.stem}-*.png")) - new.keys():
        old.unlink()


def parameter_table() -> str:
    """All notebooks' parameters as a Markdown table: a row each, in the order in which chapters bring them.

    A default or a meaning that is not the same everywhere is that of most chapters, followed by the others'.
    """
    chapters = {path.stem[:2]: parameters(path) for path in series()}
    names = dict.fromkeys(name for own in chapters.values() for name in own)
    uses = [{number: own[name] for number, own in chapters.items() if name in own} for name in names]
    forms = "{type}", "`{written}`", "{help}"
    lines = [
        (
            f"`{name}`",
            "all" if len(use) == len(chapters) else ", ".join(use),
            *(_varying(form, use) for form in forms),
        )
        for name, use in zip(names, uses, strict=True)
    ]
    return str(markdown.rows("parameter | chapters | type | default | meaning", lines).data)


def _varying(form: str, use: Mapping[str, Mapping[str, Any]]) -> str:
    """What `form` says of a parameter's facts by chapter: most often, then 'in 03: ...' for every other."""
    chapters: dict[str, list[str]] = {}
    for number, facts in use.items():
        chapters.setdefault(form.format(**facts), []).append(number)
    usual, *others = sorted(chapters, key=lambda text: -len(chapters[text]))
    return "; ".join([usual, *(f"in {', '.join(chapters[text])}: {text}" for text in others)])
