"""What a user sees meanwhile: one live bar on a terminal or in a notebook, one plain line anywhere else."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from tqdm import tqdm


def bar(description: str, total: int, unit: str, *, done: int = 0, shown: bool = True) -> tqdm:
    """A bar to update. Where stderr goes to a file or a pipe, `description` is one line there instead.

    All bars share one line of the terminal: the innermost shows, and is cleared when it ends.
    """
    live = sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel")
    if shown and not live:
        print(description, file=sys.stderr, flush=True)
    return tqdm(
        desc=description,
        total=total,
        initial=done,
        unit=unit,
        disable=not (shown and live),
        leave=False,
        position=0,
        dynamic_ncols=True,
    )


@contextlib.contextmanager
def without_stderr() -> Iterator[None]:
    """Keep from the user what is written to file descriptor 2; exceptions still come through.

    For the import of TensorFlow: its C++ parts write start-up lines there that no setting keeps back.
    """
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
