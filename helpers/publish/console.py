"""What a reader sees while notebooks run: one live bar on a terminal; anywhere else a line a stage."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tqdm import tqdm

from helpers.publish.notebooks import read


class Console:
    """How far several notebooks are, and what their kernels print. Of stderr only the progress bars count."""

    def __init__(self, books: Sequence[Path]) -> None:
        self._count, self._begun, self._start, self._stage = len(books), 0, time.monotonic(), ""
        self._live = sys.stderr.isatty()
        self._bar = tqdm(
            total=sum(map(_cells, books)),
            disable=not self._live,
            leave=False,
            position=0,
            dynamic_ncols=True,
            bar_format="{desc} |{bar:20}| {elapsed}{postfix}",
        )

    def begin(self, book: Path) -> dict[str, Any]:
        """Say that the next notebook begins; papermill's options to run it with."""
        where = f"{book.stem} ({self._begun + 1} of {self._count}{self._left()})"
        self._begun, self._stage = self._begun + 1, ""
        self._bar.set_description_str(where)
        if not self._live:
            print(where, flush=True)
        return {
            "progress_bar": False,
            "on_cell_complete": lambda cell, cell_index: self._bar.update(),
            "stdout_file": SimpleNamespace(write=self._notice, flush=sys.stdout.flush),
            "stderr_file": SimpleNamespace(write=self._progress, flush=sys.stderr.flush),
            "extra_arguments": ["--log-level=ERROR"],  # the kernel's remarks on its transport
        }

    def close(self) -> None:
        """Take the bar off the terminal."""
        self._bar.close()

    def _left(self) -> str:
        """The time left, by the mean of the notebooks that ran; nothing while the first one runs."""
        if not self._begun:
            return ""
        seconds = (time.monotonic() - self._start) / self._begun * (self._count - self._begun)
        return f", about {max(1, round(seconds / 60))} min left"

    def _notice(self, text: str) -> None:
        if text.strip():
            tqdm.write(text.rstrip("\n"))

    def _progress(self, text: str) -> None:
        for stage, share in re.findall(r"\r([^\r\n]+?): +(\d+%)\|", text):
            self._bar.set_postfix_str(f"{stage} {share}")
            if not self._live and stage != self._stage:
                print(f"  {stage}", flush=True)
            self._stage = stage


def _cells(book: Path) -> int:
    """The cells that running a notebook with parameters executes: its own, and the one that sets them."""
    cells = read(book).cells
    return 1 + sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in cells)
