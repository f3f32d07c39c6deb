"""What several chapters share: ranges, and the seeds that are stored."""

import pytest

from helpers.chapters import common
from helpers.errors import UserError


def test_a_parameter_that_a_chapter_cannot_show_is_refused_with_its_value_and_range() -> None:
    common.refuse_below(1, epochs=1, seeds=5)
    with pytest.raises(UserError, match=r"seeds=0 is outside what this chapter can show: 1 or more"):
        common.refuse_below(1, epochs=1, seeds=0)
