"""README.md: the parts of it that are computed, so that they stay true."""

from __future__ import annotations

from helpers import markdown, paths
from helpers.chapters import findings
from helpers.experiment import Experiment, ExperimentError
from helpers.publish import notebooks
from helpers.records import store

COMPUTED = {
    "findings": "from the records: python -m helpers readme",
    "scoreboard": "from the notebooks: python -m helpers readme",
    "figure": "from the notebooks: python -m helpers readme",
    "recipe": "from recipe.py: python -m helpers readme",
    "parameters": "from the notebooks: python -m helpers readme",
}
"""What is computed, and from what: it stands between two lines of comment."""


def written(page: str) -> str:
    """The page with its computed parts written again: each of COMPUTED.

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
    """The page with `text` in the place of what stands between the markers of one of COMPUTED."""
    start, end = f"<!-- {name}, {COMPUTED[name]} -->", f"<!-- end of {name} -->"
    before, _, rest = page.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise ExperimentError(f"the page has no lines {start!r} and, below, {end!r}: put them where it goes")
    return f"{before}{start}\n\n{text}\n\n{end}{after}"
