"""The text of the notebooks as Markdown. Every number in it comes from a value; none is typed."""

import ast
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from IPython.display import Markdown

from helpers.analysis import metrics
from helpers.analysis.intervals import describe_difference as describe_difference
from helpers.errors import UserError
from helpers.experiment import Experiment, is_study_data, nearest
from helpers.records.run import Run, caution
from helpers.study import claims
from helpers.study.changes import CHANGES
from helpers.text import beside as beside
from helpers.text import duration as duration
from helpers.text import listed as listed
from helpers.text import literal
from helpers.text import percent as percent
from helpers.text import points as points
from helpers.text import scientific as scientific
from helpers.text import span as span

PACKAGE = Path(__file__).parent


SCRAP = "application/scrapbook.scrap.json+json"
"""What scrapbook finds numbers by in an executed notebook (nteract/scrapbook, schemas/scrap.v1.json)."""


class SourceError(UserError):
    """What a page wants to show of the package's source is not there."""


class Scrapped(Markdown):
    """Markdown that an executed notebook keeps beside data of this name, for `scrapbook.read_notebook`."""

    def __init__(self, text: str, name: str, data: Any) -> None:
        """data: anything that is JSON."""
        super().__init__(text)
        self.scrap = {"name": name, "data": data, "encoder": "json", "version": 1}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/markdown": self.data, SCRAP: self.scrap}


def say(text: str) -> Markdown:
    """The text as the Markdown output of a notebook's cell; of no text a comment, which does not show."""
    return Markdown(text or "<!-- -->")


def answer(run: Run | Experiment, result: str, size: str, caveat: str) -> Markdown:
    """What a chapter found, in its first words: three short paragraphs, set apart from the text.

    A run on the miniature, or below full scale, is announced first.
    """
    first = f"**{literal(caution(run))}.**" if caution(run) else ""
    return say("\n>\n".join(f"> {' '.join(each.split())}" for each in (first, result, size, caveat) if each))


def rows(heads: str | Sequence[str], lines: Iterable[Sequence[Any]]) -> Markdown:
    """A Markdown table line by line, under heads such as 'run | passes | test'; see `cell`.

    A vertical bar in a cell is escaped. Raises ValueError where a line is shorter or longer than the heads.
    """
    names = heads.split(" | ") if isinstance(heads, str) else heads
    filled = [[cell(each) for _, each in zip(names, line, strict=True)] for line in lines]
    escaped = [[each.replace("|", r"\|") for each in line] for line in [names, *filled]]
    escaped.insert(1, ["---"] * len(names))
    return say("\n".join(f"| {' | '.join(line)} |" for line in escaped))


def cell(value: Any) -> str:
    """A value as `rows` shows it: a float is a share and shown in percent, a list one by one."""
    if isinstance(value, list):
        return ", ".join(map(cell, value))
    return (
        percent(value) if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )


def source(name: str) -> Markdown:
    """A function, class or method as its file has it: 'engine.model.head', 'records.run.Run.probabilities'.

    The file is read and not imported, so that a page can show what needs Keras. Raises SourceError where
    the package has no such file, or the file no such name.
    """
    path, parts = PACKAGE, name.split(".")
    while parts and (path / parts[0]).is_dir():
        path /= parts.pop(0)
    module, *inner = parts or [""]
    files = sorted(file.stem for file in path.glob("*.py"))
    if module not in files or not inner:
        raise SourceError(
            f"{name!r} names no function: it begins with a file of {path.relative_to(PACKAGE.parent)}, "
            f"as in 'engine.model.head'{nearest(module, files)}"
        )
    path /= f"{module}.py"
    text = path.read_text(encoding="utf-8")
    node: Any = ast.parse(text)
    for part in inner:
        kinds = (ast.FunctionDef, ast.ClassDef)
        known = {each.name: each for each in node.body if isinstance(each, kinds)}
        if part not in known:
            raise SourceError(f"{name!r}: {path.name} has no {part!r}{nearest(part, list(known))}")
        node = known[part]
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    lines = "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    place = path.relative_to(PACKAGE.parent).as_posix()
    return say(f"From `{place}`:\n\n```python\n{textwrap.dedent(lines)}\n```")


def recipe() -> Markdown:
    """The file recipe.py: what the report recommends, in plain Keras."""
    return say(f"```python\n{(PACKAGE.parent / 'recipe.py').read_text(encoding='utf-8').strip()}\n```")


def provenance(*runs: Run) -> Markdown:
    """Where the numbers of a notebook come from: scale, images, machine, versions, records.

    A run on the miniature, or below full scale, is announced first. Beside the text stand the validation and
    test accuracies of the records, 0 to 1, by the name of each: scrapbook reads them as "accuracies".
    """
    own = [run for run in runs if not run.is_published_log]
    parts = [f"**{literal(text)}**" for text in dict.fromkeys(map(caution, own)) if text]
    parts += dict.fromkeys(f"{run.scale} scale on {literal(run.dataset)}" for run in own)
    parts += dict.fromkeys(f"{run.processor}, threads: {run.threads}" for run in own)
    parts += [_versions(own)] if own else []
    parts += _balanced(own)
    names = {"records": own, "the study's log": [run for run in runs if run.is_published_log]}
    for what, those in names.items():
        listed = dict.fromkeys(f"`{run.path.stem}`" for run in those)
        parts += [f"{what} {', '.join(listed)}"] if listed else []
    text = "; ".join(parts)
    accuracies = {run.path.stem: {"val": run.val_accuracy, "test": run.test_accuracy} for run in own}
    said = f"*Where the numbers come from.* {text[:1].upper()}{text[1:]}."
    return Scrapped(said, "accuracies", accuracies)


def _balanced(runs: Iterable[Run]) -> list[str]:
    """Test accuracies with each class counted alike, of the runs whose classes are unequal."""
    shares = {
        run.path.stem: metrics.balanced_accuracy(run.matrix()) for run in runs if run.has_unequal_classes
    }
    listed = ", ".join(f"{share} (`{name}`)" for name, share in shares.items())
    return [f"the classes are unequal; with each counted alike test accuracy is {listed}"] if shares else []


def _versions(runs: Iterable[Run]) -> str:
    """All versions that the runs recorded: 'Python 3.11.7, keras 3.15.1 or 3.15.2'."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for name, version in run.versions.items():
            found.setdefault(name, {})[version] = None
    return ", ".join(f"{name} {' or '.join(versions)}" for name, versions in found.items())


def published_figures(claim_id: str, beside: Run | None = None) -> str:
    """'The study published: ...' with a claim's figures; nothing beside a run on other images."""
    if beside is not None and not beside.is_study_data:
        return ""
    (figures,) = (claim.published for claim in claims.CLAIMS if claim.id == claim_id)
    return f"The study published: {figures}."


def at_stake(notebook: str, dataset: str) -> Markdown:
    """The claims that a notebook bears on, with the rule that decides each; on other images, none.

    A rule that changed after the runs were seen says when.
    """
    if not is_study_data(dataset):
        shown = "Miniature" if dataset == "miniature" else "Own images"
        return say(f"**{shown}.** The study's claims are about CIFAR-10: nothing on this page bears on them.")

    def told(claim: claims.Claim) -> str:
        dates = [each.date for each in CHANGES if claim.id in each.after and each.before.rule != claim.rule]
        since = f" *Changed on {' and '.join(dates)}: [chapter 8](08_verdict.ipynb).*" if dates else ""
        return claim.rule.sentence + since

    lines = [
        (claim.id, claim.statement, claim.published, told(claim))
        for claim in claims.CLAIMS
        if claim.notebook == notebook
    ]
    return rows("id | claim | published | how it is decided", lines)
