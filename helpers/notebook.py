"""Run one notebook with papermill, its parameters checked first.

papermill itself only warns of a name that a notebook does not have, and takes a value of any type: a
mistyped parameter would quietly give the answer to another question.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.experiment import ExperimentError, nearest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def find(name: str) -> Path:
    """The notebook that a number ('04'), a name ('04_finetune') or a path means.

    Raises ExperimentError where there is none.
    """
    if Path(name).is_file():
        return Path(name)
    known = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    for path in known:
        if name in (path.stem, path.stem[:2], path.name):
            return path
    raise ExperimentError(f"no notebook {name!r}{nearest(name, [path.stem for path in known])}")


def parameters(path: Path) -> dict[str, dict[str, Any]]:
    """A notebook's parameters by name: 'default', 'type' and 'help', as its tagged cell states them."""
    import papermill

    found = papermill.inspect_notebook(str(path)).items()
    return {
        name: {
            "default": ast.literal_eval(entry["default"]),
            "type": type(ast.literal_eval(entry["default"])).__name__,
            "help": entry["help"],
        }
        for name, entry in found
    }


def checked(path: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` parameter values with the types of the notebook's own; text is read as a literal of that type.

    Raises ExperimentError for a name that the notebook does not have, with the nearest that it has, and
    for a value of another type.
    """
    known = parameters(path)
    values = {}
    for name, value in given.items():
        if name not in known:
            raise ExperimentError(f"{path.name} has no parameter {name!r}{nearest(name, list(known))}")
        values[name] = _typed(path, name, value, type(known[name]["default"]))
    return values


def _typed(path: Path, name: str, value: Any, wanted: type) -> Any:
    read = value
    if isinstance(value, str) and wanted is not str:
        try:
            read = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            read = value
    if wanted is float and isinstance(read, int) and not isinstance(read, bool):
        read = float(read)
    if type(read) is not wanted:
        raise ExperimentError(f"{path.name}: {name}={value!r} is not of type {wanted.__name__}")
    return read


def execute(path: Path, output: Path, given: Mapping[str, Any], **options: Any) -> None:
    """Run a notebook with some parameters changed and write it, executed, to `output`.

    `options` go to papermill. Raises ExperimentError before anything runs where a parameter is wrong,
    and papermill's own error where a cell fails; `output` then holds what ran until there.
    """
    import papermill

    values = checked(path, given)
    # This environment's own kernel, even where the user has registered another under the same name.
    os.environ["JUPYTER_PATH"] = str(Path(sys.prefix, "share", "jupyter"))
    output.parent.mkdir(parents=True, exist_ok=True)
    papermill.execute_notebook(str(path), str(output), parameters=values, kernel_name="python3", **options)
