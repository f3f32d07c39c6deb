"""A data set and its three splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split

from helpers.errors import UserError


class DataError(UserError):
    """The images are missing, altered or cannot be fetched."""


@dataclass(frozen=True)
class Split:
    """Images, uint8 (n, side, side, 3), and their labels, int64 (n,) from 0 on."""

    images: np.ndarray
    labels: np.ndarray

    @property
    def side(self) -> int:
        """Pixels a side of the images."""
        return self.images.shape[1]

    def first(self, n: int) -> Split:
        """The first n images, or all where there are fewer."""
        return Split(self.images[:n], self.labels[:n])


@dataclass(frozen=True)
class Dataset:
    """The three splits of an experiment's images, and what identifies their contents."""

    train: Split
    val: Split
    test: Split
    fingerprint: str
    classes: tuple[str, ...]
    """Their names, in the order of the labels."""
    division: str = ""
    """How a person's own images were divided, in words; the others' division is fixed."""


def split_indices(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the 45,000 training and 5,000 validation images, exactly as the original study split them.

    `labels` are the 50,000 of the five official batches in their order.
    """
    train, val = train_test_split(np.arange(len(labels)), test_size=5000, stratify=labels, random_state=42)
    return train, val
