"""The dashboard's tables and figures, from runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from helpers.analysis import intervals
from helpers.analysis.intervals import PairedTest
from helpers.experiment import changed
from helpers.figures.style import PALETTE
from helpers.records import published
from helpers.records.run import Run
from helpers.study.experiments import TABLE
from helpers.text import percent

FILTERS = ("depth", "optimizer", "augmentation", "learning rate", "batch", "scale")
"""Columns of the table that the page filters by, and colours by."""
COSTS = {"minutes": "time (minutes, on each run's machine)", "passes": "passes over the training images"}
SYMBOLS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross"]
"""One more than colours: so 30 series are each another pair of the two."""
HOLLOW = "circle-open"
NO_VALUE = "no value"
TABLE_KEYS = {row.key for row in TABLE.values()}
"""Keys of the study's table, whose runs the page shows first."""
Stamps = tuple[tuple[str, int, int], ...]
"""Path, time of change and size of files."""


def stamps(folders: Iterable[Path]) -> Stamps:
    """Path, time of change and size of every file of a record in or below the folders: cheap to compare."""
    found = set()
    for path in (path for folder in folders for end in ("json", "npz") for path in folder.rglob(f"*.{end}")):
        with suppress(FileNotFoundError):  # replaced or removed since it was listed: the next look tells
            facts = path.stat()
            found.add((str(path), facts.st_mtime_ns, facts.st_size))
    return tuple(sorted(found))


def labelled(runs: Iterable[Run]) -> dict[str, Run]:
    """Runs by a name that no two share, with the choices that tell runs of one name apart.

    It also says what is not a full run of ours.
    """
    called = defaultdict(list)
    for run in runs:
        called[run.name].append(run)
    names: dict[str, Run] = {}
    for same in called.values():
        for run in same:
            own = {} if run.is_published_log else changed(run.config)
            telling = {k: v for k, v in own.items() if any(other.config.get(k) != v for other in same)}
            parts = [f"{run.name} {run.id[:4]}".strip(), *(f"{k} {v}" for k, v in telling.items())]
            kind = "published log" if run.is_published_log else run.scale
            name = printable(", ".join(parts)) + ("" if kind == "full" else f" ({kind})")
            names[f"{name}, {printable(str(run.path))}" if name in names else name] = run
    return names


def data_name(run: Run) -> str:
    """Its data set; own images with four digits of their contents, as two folders may have one name."""
    return run.dataset if run.images == run.dataset else f"{run.dataset} ({run.images[:4]})"


def options(run: Run) -> dict[str, Any]:
    """The choices that the page filters by; None where a published log is silent or a run had no stage 2.

    A published log says 'augment' where we say 'augmentation', with other values; it is shown in its
    own words.
    """
    config, rate = run.config, run.learning_rate
    chosen = {
        "depth": config.get("n_unfreeze"),
        "optimizer": config.get("optimizer"),
        "augmentation": config.get("augmentation"),
        "learning rate": None if rate is None else float(f"{rate:.6g}"),  # logs hold a float32
        "batch": config.get("batch_size"),
    }
    if run.is_published_log:
        chosen["augmentation"] = f"augment={config['augment']}" if "augment" in config else None
    elif "stage2" not in run.curves:
        chosen = dict.fromkeys(chosen) | {"depth": config.get("n_unfreeze")}
    return chosen | {"scale": run.scale}


def table(runs: Mapping[str, Run]) -> pd.DataFrame:
    """One row a run: its choices, accuracies as shares in 0 to 1 (test with Wilson's interval), and costs.

    The last column but one holds a published log's own options, all, and of ours what is not the default.
    """
    rows = []
    for label, run in runs.items():
        test = run.metrics.get("test_end2end")
        interval = None if test is None else intervals.proportion(test, run.size("test"))
        seconds = run.timing_sec.get("total")
        said = run.config if run.is_published_log else changed(run.config)
        rows.append(
            {
                "run": label,
                "of the table": run.key in TABLE_KEYS,
                "source": "published log" if run.is_published_log else "record",
                "dataset": run.dataset,
                **options(run),
                "seed": run.config.get("seed"),
                "test accuracy": test,
                "low": interval and interval.low,
                "high": interval and interval.high,
                "with flip": published.tta_accuracy(run),
                "val accuracy": run.metrics.get("val_end2end"),
                "minutes": None if seconds is None else seconds / 60,
                "passes": sum(len(published.real_epochs(run, stage)) for stage in run.curves) or None,
                "log, or not default": ", ".join(f"{name}={value}" for name, value in sorted(said.items())),
                "file": printable(str(run.path)),
            }
        )
    whole = dict.fromkeys(("depth", "batch", "seed", "passes"), "Int64")
    return pd.DataFrame(rows).astype(whole)


def printable(text: str) -> str:
    """The text, with bytes of a file's name that are no UTF-8 written as \\xff."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def as_text(value: Any) -> str:
    """An option as the page shows it: 1e-05, standard, or 'no value'."""
    if pd.isna(value):
        return NO_VALUE
    return value if isinstance(value, str) else f"{value:g}"


def values(column: pd.Series) -> list[str]:
    """The different values of a column as text, numbers in their order, 'no value' last."""
    return [as_text(value) for value in column.sort_values().unique()]


def filtered(rows: pd.DataFrame, wanted: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """The rows whose options are among those wanted, as text; a column without any lets all pass."""
    for column, texts in wanted.items():
        if texts:
            rows = rows[rows[column].map(as_text).isin(texts)]
    return rows


def finished(figure: go.Figure, title: str, height: int = 460) -> go.Figure:
    """Add the title, which is the finding, and put the legend below."""
    legend = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "title": None}
    margin = {"l": 70, "r": 20, "t": 10}
    return figure.update_layout(
        title=title, template="plotly_white", height=height, legend=legend, margin=margin
    )


def accuracy_by_cost(rows: pd.DataFrame, cost: str, colour: str) -> go.Figure:
    """Test accuracy with Wilson's 95% interval against a column of COSTS, coloured by a column of FILTERS.

    `rows`: of `table`, of one data set; those without accuracy or cost are left out.
    """
    drawn = rows.dropna(subset=["test accuracy", cost]).astype({cost: float})
    share = drawn["test accuracy"]
    kind = drawn["scale"].astype(str) + " scale, " + drawn["source"].astype(str)
    if colour != "scale":
        kind = f"{colour} " + drawn[colour].map(as_text).astype(str) + ", " + kind
    figure = px.scatter(
        drawn.assign(kind=kind),
        **{"x": cost, "y": "test accuracy", "color": "kind", "symbol": "kind", "hover_name": "run"},
        error_y=drawn["high"] - share,
        error_y_minus=share - drawn["low"],
        color_discrete_sequence=PALETTE,
        symbol_sequence=SYMBOLS,
        labels={"test accuracy": f"{rows['dataset'].iloc[0]} test accuracy, 95% interval", cost: COSTS[cost]},
    )
    figure.update_traces(marker_size=10, error_y_thickness=1.2)
    figure.update_yaxes(tickformat="~%").update_xaxes(rangemode="tozero")
    if drawn.empty:
        return finished(figure, "No run has both an accuracy and this cost")
    best = drawn.loc[share.idxmax()]
    title = f"Highest: {best['run']}, {percent(best['test accuracy'])} after {best[cost]:.3g} {cost}"
    return finished(figure, title)


def logged(runs: Mapping[str, Run], stage: str, metric: str) -> pd.DataFrame:
    """One row a logged epoch: run, curve, passes made by its end, value, and whether it was a single step."""
    rows = []
    for label, run in runs.items():
        passes, single = published.passes(run, stage), published.one_step_epochs(run, stage)
        for name, curve in ((metric, "training"), (f"val_{metric}", "validation")):
            for epoch, value in enumerate(run.curves.get(stage, {}).get(name, [])):
                rows.append((label, curve, passes[epoch], value, epoch in single))
    return pd.DataFrame(rows, columns=["run", "curve", "pass", metric, "single step"])


def learning_curves(runs: Mapping[str, Run], stage: str, metric: str) -> go.Figure:
    """One metric's training (dashed) and validation (solid) curves; runs without it are left out.

    The x axis counts passes over the training images: what a published log calls an epoch but was a single
    optimizer step is a hollow marker at the pass that it follows.
    """
    epochs, name = logged(runs, stage, metric), metric.replace("_", " ")
    judged = "training" if metric == "learning_rate" else "validation"
    axes: dict[str, Any] = {"x": "pass", "y": metric, "color": "run"}
    axes["color_discrete_map"] = dict(zip(runs, PALETTE, strict=False))
    dashes = {"training": "dash", "validation": "solid"}
    figure = px.line(epochs[~epochs["single step"]], **axes, line_dash="curve", line_dash_map=dashes)
    hollow = px.scatter(epochs[epochs["single step"]], **axes, symbol="curve", symbol_sequence=[HOLLOW])
    figure.add_traces(hollow.data)
    for trace in figure.data:  # all of a run go by one entry of the legend
        label, _, curve = trace.name.rpartition(", ")
        trace.update(name=label, legendgroup=label, showlegend=trace.mode == "lines" and curve == judged)
    figure.update_xaxes(title=f"passes over the training images in {stage}")
    figure.update_yaxes(title=f"{name} (nats)" if metric == "loss" else name)
    figure.update_yaxes(tickformat="~%" if metric == "accuracy" else "")
    figure.update_yaxes(type="log" if metric == "learning_rate" else "linear")
    found = epochs[epochs["curve"] == judged].dropna()
    if found.empty:
        return finished(figure, f"No {judged} {name} in {stage}")
    if metric == "accuracy":
        best = found.loc[found[metric].idxmax()]
        value = f"Highest {judged} accuracy: {best['run']}, {percent(best[metric])}"
    else:
        best = found.loc[found[metric].idxmin()]
        value = f"Lowest {judged} {name}: {best['run']}, {best[metric]:.3g}"
    return finished(figure, f"{value} after {best['pass']} passes")


def confusion(runs: Mapping[str, Run]) -> go.Figure:
    """The confusion matrix of one run's test images, or the first of two less the second.

    Raises RecordError for a run without a matrix, ValueError for two that were tested on different images.
    """
    matrix, *other = (run.matrix() for run in runs.values())
    if other:
        cells = matrix - other[0]
        if cells.sum(axis=1).any():
            raise ValueError(f"{' and '.join(runs)} were tested on different images: class counts differ.")
        text = np.char.mod("%+d", cells)
        title = f"{' less '.join(runs)}: {np.trace(cells):+,} images right"
    else:
        cells, text = matrix * ~np.eye(len(matrix), dtype=bool), np.char.mod("%d", matrix)
        title = f"{next(iter(runs))}: {np.trace(matrix):,} of {matrix.sum():,} test images right"
    reach, names = max(1, np.abs(cells).max()), next(iter(runs.values())).classes
    colours = [PALETTE[1], "#FFFFFF", PALETTE[0]]
    figure = px.imshow(cells, x=names, y=names, zmin=-reach, zmax=reach, color_continuous_scale=colours)
    figure.update_traces(
        text=text, texttemplate="%{text}", hovertemplate="%{y} taken for %{x}: %{text}<extra></extra>"
    )
    figure.update_xaxes(title="predicted class (cells: test images)").update_yaxes(title="true class")
    figure.update_coloraxes(showscale=False)
    return finished(figure, title, height=620)


def paired(first: Run, second: Run, view: str) -> PairedTest:
    """The second run against the first on the same test images; `view`: 'plain', or 'tta', flip averaged in.

    Raises RecordError for a run without predictions, ValueError for two tested on different images.
    """
    both = first, second
    facts = [(run.fingerprints.get("data"), run.labels("test").tolist()) for run in both]
    if facts[0] != facts[1]:
        sizes = " and ".join(f"{run.size('test'):,} ({run.scale} scale)" for run in both)
        raise ValueError(f"they were tested on different images, {sizes}")
    return intervals.paired(first.correct("test", view), second.correct("test", view))
