"""README.md: the parts of it that are computed, so that they stay true."""

from __future__ import annotations

import re

from helpers import markdown, paths
from helpers.chapters import findings
from helpers.experiment import Experiment, ExperimentError
from helpers.publish import notebooks
from helpers.records import store


def written(page: str) -> str:
    """The page with its computed parts written again.

    Raises ExperimentError for a page that lacks the lines around one of them, and RecordError for a damaged
    record.
    """
    texts = {
        "findings": findings.numbered(store.read_whole(paths.results_folder(Experiment())), "notebooks/"),
        "scoreboard": notebooks.tagged_figure(notebooks.SCOREBOARD),
        "figure": notebooks.tagged_figure(notebooks.KEY_FIGURE),
        "recipe": str(markdown.recipe().data),
        "parameters": notebooks.parameter_table(),
    }
    for name, text in texts.items():
        page = between(page, name, text)
    return page


def between(page: str, name: str, text: str) -> str:
    """The page with `text` between the two lines of comment that mark a computed part."""
    start, end = f"<!-- {name}, ", f"<!-- end of {name} -->"
    found = re.search(rf"(?s)({start}.*?-->\n).*?({end})", page)
    if not found:
        raise ExperimentError(
            f"the page has no lines '{start}... -->' and, below, {end!r}: put them where it goes"
        )
    return f"{page[: found.end(1)]}\n{text}\n\n{page[found.start(2) :]}"
