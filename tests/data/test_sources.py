"""The data sets that have a name: each is what its row in SOURCES says."""

import numpy as np
import pytest

from helpers.data import sources
from helpers.experiment import NAMED, SIDE, STUDY_DATA


def test_every_name_has_a_source() -> None:
    assert sources.SOURCES.keys() == set(NAMED), "a name of experiment.NAMED has a row in sources.SOURCES"


@pytest.mark.parametrize("name", [name for name in NAMED if name != STUDY_DATA])
def test_a_source_holds_what_its_row_says(name: str) -> None:
    """The study's own images have tests of their own."""
    source = sources.SOURCES[name]
    splits = source.read()
    assert tuple(len(split.labels) for split in splits) == source.sizes
    for split in splits:
        assert split.images.dtype == np.uint8 and split.images.shape[1:] == (SIDE, SIDE, 3)
        assert set(split.labels) == set(range(len(source.classes))), "every class is in every split"
