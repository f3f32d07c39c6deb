"""Batches: rows picked in a given order, made ready while others are used."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

AHEAD = 4
"""Batches that wait, ready, for the one that is trained on."""
EVALUATION_BATCH = 200
"""Divides the split's sizes, and has the factor 8: equal batches, on one accelerator or on eight."""


class Rows(Protocol):
    """The inputs of a network by row number: stored activations, or pixels through a view."""

    def __getitem__(self, picked: NDArray[np.int64], /) -> NDArray[Any]:
        """The inputs for row numbers (m,): (m, ...)."""


@dataclass(frozen=True)
class Source:
    """What one epoch trains on: the inputs' rows and their targets, float32 (n, classes)."""

    rows: Rows
    targets: np.ndarray
    weights: np.ndarray | None = None
    """How much each row counts in the loss, float32 (n,), 1 on average; None where all count alike."""


def batches(
    rows: Rows, others: Sequence[np.ndarray | None], order: np.ndarray, batch_size: int
) -> Iterator[tuple[np.ndarray, ...]]:
    """(inputs, *others) batch by batch in a given order, the next ones made while one is used.

    others: what goes with the rows, such as targets and weights, (n, ...) each; None is left out.
    order: row numbers, int (n,); the last batch holds what is left.
    """
    beside = [each for each in others if each is not None]

    def batch(low: int) -> tuple[np.ndarray, ...]:
        picked = order[low : low + batch_size]
        return (np.asarray(rows[picked], np.float32), *(each[picked] for each in beside))

    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[tuple[np.ndarray, ...]]] = deque()
        for low in range(0, len(order), batch_size):
            waiting.append(thread.submit(batch, low))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
