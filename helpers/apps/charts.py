"""The dashboard's tables and figures, from runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
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
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down")
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
    every, called = list(runs), defaultdict(list)
    for run in every:
        called[run.name].append(run)
    names: dict[str, list[Run]] = {}
    for run in every:
        own = {} if run.is_published_log else changed(run.config)
        telling = [
            f", {name} {value}"
            for name, value in own.items()
            if any(other.config.get(name) != value for other in called[run.name])
        ]
        kind = (
            " (published log)" if run.is_published_log else "" if run.scale == "full" else f" ({run.scale})"
        )
        names.setdefault(printable(f"{run.name} {run.id[:4]}".strip()) + "".join(telling) + kind, []).append(
            run
        )
    alike = {printable(f"{name}, {run.path}"): run for name, same in names.items() for run in same[1:]}
    return {name: same[0] for name, same in names.items()} | alike


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
    texts = [as_text(value) for value in sorted(column.dropna().unique())]
    return [*texts, NO_VALUE] if column.isna().any() else texts


def filtered(rows: pd.DataFrame, wanted: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """The rows whose options are among those wanted, as text; a column without any lets all pass."""
    for column, texts in wanted.items():
        if texts:
            rows = rows[rows[column].map(as_text).isin(texts)]
    return rows


def look(place: int) -> tuple[str, str]:
    """Colour and symbol of the series at a place: 25 pairs, the neighbours different in both."""
    return PALETTE[place % 5], SYMBOLS[(place + place // 5) % 5]


def finished(figure: go.Figure, title: str, x: str, y: str, height: int = 460) -> go.Figure:
    """Add the title, which is the finding, and the axes' labels."""
    legend = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "title": None}
    figure.update_layout(template="plotly_white", height=height, legend=legend)
    figure.update_layout(title=title, margin={"l": 70, "r": 20, "t": 10})
    return figure.update_xaxes(title_text=x).update_yaxes(title_text=y)


def accuracy_by_cost(rows: pd.DataFrame, cost: str, colour: str) -> go.Figure:
    """Test accuracy with Wilson's 95% interval against a column of COSTS, coloured by a column of FILTERS.

    `rows`: of `table`, of one data set; those without accuracy or cost are left out.
    """
    drawn = rows.dropna(subset=["test accuracy", cost])
    logs = drawn["source"].eq("published log").map({True: " scale, published log", False: " scale"})
    kind = drawn["scale"].astype(str) + logs.astype(str)
    group = f"{colour} " + drawn[colour].map(as_text).astype(str) + ", " + kind if colour != "scale" else kind
    figure = go.Figure()
    for place, name in enumerate(dict.fromkeys(group)):
        part, (tone, symbol) = drawn[group == name], look(place)
        share = part["test accuracy"]
        figure.add_scatter(
            x=part[cost].astype(float),
            y=share,
            name=name,
            mode="markers",
            marker={"color": tone, "symbol": symbol, "size": 10},
            error_y={"array": part["high"] - share, "arrayminus": share - part["low"], "thickness": 1.2},
            text=part["run"],
            hovertemplate="%{text}<br>%{y:.2%}, %{x:.3g} " + cost + "<extra></extra>",
        )
    figure.update_yaxes(tickformat="~%").update_xaxes(rangemode="tozero").update_layout(showlegend=True)
    title = "No run has both an accuracy and this cost"
    if len(drawn):
        best = drawn.loc[drawn["test accuracy"].idxmax()]
        title = f"Highest: {best['run']}, {percent(best['test accuracy'])} after {best[cost]:.3g} {cost}"
    return finished(figure, title, COSTS[cost], f"{rows['dataset'].iloc[0]} test accuracy, 95% interval")


def learning_curves(runs: Mapping[str, Run], stage: str, metric: str) -> go.Figure:
    """One metric's training (dashed) and validation (solid) curves; runs without it are left out.

    The x axis counts passes over the training images: what a published log calls an epoch but was a single
    optimizer step is a hollow marker at the pass that it follows.
    """
    figure = go.Figure()
    for place, (label, run) in enumerate(runs.items()):
        for name in sorted({metric, _judged(metric)} & run.curves.get(stage, {}).keys()):
            figure.add_traces(_curve(label, run, stage, name, name == _judged(metric), look(place)))
    scale = "log" if metric == "learning_rate" else "linear"
    figure.update_yaxes(tickformat="~%" if metric == "accuracy" else "", type=scale)
    unit = " (nats)" if metric == "loss" else ""
    y = metric.replace("_", " ") + unit
    return finished(figure, _best(runs, stage, metric), f"passes over the training images in {stage}", y)


def _judged(metric: str) -> str:
    """The curve that a metric is judged by: validation's, where there is one."""
    return metric if metric == "learning_rate" else f"val_{metric}"


def _curve(
    label: str, run: Run, stage: str, name: str, solid: bool, looks: tuple[str, str]
) -> list[go.Scatter]:
    """A curve of a run in two parts: its passes, joined, and its single steps, hollow."""
    (tone, symbol), passes = looks, published.passes(run, stage)
    values, line = np.asarray(run.curves[stage][name], float), "lines+markers" if solid else "lines"
    parts = (
        (published.real_epochs(run, stage), line, symbol, "pass"),
        (published.one_step_epochs(run, stage), "markers", f"{symbol}-open", "a single step after pass"),
    )
    return [
        go.Scatter(
            **{"x": passes[drawn], "y": values[drawn], "mode": mode, "name": label},
            **{"legendgroup": label, "showlegend": solid and mark == symbol},
            line={"color": tone, "dash": "solid" if solid else "dash"},
            marker={"color": tone, "symbol": mark, "size": 6},
            hovertemplate=f"{label}<br>{name} %{{y:.4g}}, {after} %{{x}}<extra></extra>",
        )
        for drawn, mode, mark, after in parts
    ]


def _best(runs: Mapping[str, Run], stage: str, metric: str) -> str:
    """The title of learning curves: the best value that any of the runs reached, and where."""
    sign, kind = (1, "Highest") if metric == "accuracy" else (-1, "Lowest")
    what, found = _judged(metric).replace("val_", "validation ").replace("_", " "), []
    for label, run in runs.items():
        curve = np.asarray(run.curves.get(stage, {}).get(_judged(metric), []), float)
        if np.isfinite(curve).any():
            at = int(np.nanargmax(sign * curve))
            value = percent(curve[at]) if metric == "accuracy" else f"{curve[at]:.3g}"
            found.append(
                (sign * curve[at], f"{label}, {value} after {published.passes(run, stage)[at]} passes")
            )
    return f"{kind} {what}: {max(found)[1]}" if found else f"No {what} in {stage}"


def confusion(runs: Mapping[str, Run]) -> go.Figure:
    """The confusion matrix of one run's test images, or the first of two less the second.

    Raises ValueError for a run without a matrix, and for two that were tested on different images.
    """
    if lacking := [label for label, run in runs.items() if run.confusion_matrix is None]:
        raise ValueError(f"No confusion matrix is stored of {', '.join(lacking)}.")
    matrix, *other = (np.asarray(run.confusion_matrix) for run in runs.values())
    if not other:
        title = f"{next(iter(runs))}: {np.trace(matrix):,} of {matrix.sum():,} test images right"
        errors = matrix * ~np.eye(len(matrix), dtype=bool)
        return _heatmap(runs, errors, np.char.mod("%d", matrix), title, ["#FFFFFF", PALETTE[0]])
    change = matrix - other[0]
    if change.sum(axis=1).any():
        raise ValueError(f"{' and '.join(runs)} were tested on different images: class counts differ.")
    title = f"{' less '.join(runs)}: {np.trace(change):+,} images right"
    return _heatmap(runs, change, np.char.mod("%+d", change), title, [PALETTE[0], "#FFFFFF", PALETTE[1]])


def _heatmap(
    runs: Mapping[str, Run], cells: np.ndarray, text: np.ndarray, title: str, colours: list[str]
) -> go.Figure:
    """Cells of classes by classes; two colours begin at zero, three have it in the middle."""
    names, reach = next(iter(runs.values())).classes, max(1, np.abs(cells).max())
    figure = go.Figure(
        go.Heatmap(
            **{"z": cells, "x": names, "y": names, "xgap": 1, "ygap": 1, "showscale": False},
            **{"zmin": -reach if len(colours) == 3 else 0, "zmax": reach, "colorscale": colours},
            text=text,
            texttemplate="%{text}",
            hovertemplate="%{y} taken for %{x}: %{text}<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed")
    return finished(figure, title, "predicted class (cells: test images)", "true class", height=620)


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
