"""A page over any folder of records: filter, compare, pair. Reads records and never trains.

    streamlit run helpers/dashboard.py -- results other/folder

The page opens on the folders it is given, or on results/, and offers every folder of records below them.
Its state is in its address, it looks for new records every few seconds, and it shows one data set at a
time: no number of the miniature ever stands beside one of CIFAR-10.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from helpers import evaluation, records
from helpers.evaluation import PairedTest
from helpers.experiment import Experiment
from helpers.plots import CLASSES
from helpers.prose import caution, finding, percent
from helpers.records import RecordError, Run
from helpers.runner import RESULTS
from helpers.style import PALETTE

# Comments, not docstrings: Streamlit writes a bare string at the top level onto the page.
LOOK_EVERY = 5  # seconds between two looks for new records
DATASETS = {"cifar10": "CIFAR-10", "miniature": "the miniature (drawn images, not CIFAR-10)"}
# Columns of the table that the page filters by, and colours by.
FILTERS = ("depth", "optimizer", "augmentation", "learning rate", "batch", "scale")
COSTS = {"minutes": "time (minutes, on each run's machine)", "passes": "passes over the training images"}
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down")
NO_VALUE = "no value"

Stamps = tuple[tuple[str, int, int], ...]

# ---------------------------------------------------------------------------- runs to tables


def stamps(folders: Iterable[Path]) -> Stamps:
    """Path, time of change and size of every file of a record in or below the folders: cheap to compare."""
    found = set()
    for path in (path for folder in folders for end in ("json", "npz") for path in folder.rglob(f"*.{end}")):
        try:
            facts = path.stat()
        except FileNotFoundError:  # replaced or removed since it was listed: the next look tells
            continue
        found.add((str(path), facts.st_mtime_ns, facts.st_size))
    return tuple(sorted(found))


def labelled(runs: Iterable[Run]) -> dict[str, Run]:
    """Runs by a name that no two share and that says what is not a full run of ours."""
    names: dict[str, list[Run]] = {}
    for run in runs:
        kind = " (seed log)" if run.is_seed_log else "" if run.scale == "full" else f" ({run.scale})"
        names.setdefault(f"{run.name} {run.id[:4]}".strip() + kind, []).append(run)
    alike = {f"{name}, {run.path}": run for name, same in names.items() for run in same[1:]}
    return {name: same[0] for name, same in names.items()} | alike


def options(run: Run) -> dict[str, Any]:
    """The choices that the page filters by; None where a seed log is silent or a run had no stage 2.

    A seed log says 'augment' where we say 'augmentation', with other values: it is shown in its own words.
    """
    config, rate = run.config, run.learning_rate
    chosen = {
        "depth": config.get("n_unfreeze"),
        "optimizer": config.get("optimizer"),
        "augmentation": config.get("augmentation"),
        "learning rate": None if rate is None else float(f"{rate:.6g}"),  # logs hold a float32
        "batch": config.get("batch_size"),
    }
    if run.is_seed_log:
        chosen["augmentation"] = f"augment={config['augment']}" if "augment" in config else None
    elif "stage2" not in run.curves:
        chosen = dict.fromkeys(chosen) | {"depth": config.get("n_unfreeze")}
    return chosen | {"scale": run.scale}


def table(runs: Mapping[str, Run]) -> pd.DataFrame:
    """One row a run: its choices, accuracies as shares in 0 to 1 (test with Wilson's interval), and costs.

    The last column but one holds a seed log's own options, all, and of ours what is not the default.
    """
    usual, rows = asdict(Experiment()), []
    for label, run in runs.items():
        test = run.metrics.get("test_end2end")
        interval = None if test is None else evaluation.proportion(test, run.size("test"))
        seconds = run.timing_sec.get("total")
        said = run.config.items() if run.is_seed_log else run.config.items() - usual.items()
        rows.append(
            {
                "run": label,
                "source": "seed log" if run.is_seed_log else "record",
                "dataset": run.dataset,
                **options(run),
                "seed": run.config.get("seed"),
                "test accuracy": test,
                "low": interval and interval.low,
                "high": interval and interval.high,
                "with flip": records.tta_accuracy(run),
                "val accuracy": run.metrics.get("val_end2end"),
                "minutes": None if seconds is None else seconds / 60,
                "passes": sum(len(records.real_epochs(run, stage)) for stage in run.curves) or None,
                "log, or not default": ", ".join(f"{name}={value}" for name, value in sorted(said)),
                "file": str(run.path),
            }
        )
    whole = dict.fromkeys(("depth", "batch", "seed", "passes"), "Int64")
    return pd.DataFrame(rows).astype(whole)


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


# ---------------------------------------------------------------------------- runs to figures


def look(place: int) -> tuple[str, str]:
    """Colour and symbol of the series at a place: 25 pairs, the neighbours different in both."""
    return PALETTE[place % 5], SYMBOLS[(place + place // 5) % 5]


def finished(figure: go.Figure, title: str, x: str, y: str, height: int = 460) -> go.Figure:
    """Add the title, which is the finding, and the axes' labels."""
    legend = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "title": None}
    figure.update_layout(template="plotly_white", height=height, legend=legend)
    figure.update_layout(title={"text": title, "font": {"size": 16}}, margin={"l": 70, "r": 20, "t": 50})
    return figure.update_xaxes(title_text=x).update_yaxes(title_text=y)


def accuracy_by_cost(rows: pd.DataFrame, cost: str, colour: str) -> go.Figure:
    """Test accuracy with Wilson's 95% interval against a column of COSTS, coloured by a column of FILTERS.

    `rows`: of `table`, of one data set; those without accuracy or cost are left out.
    """
    drawn = rows.dropna(subset=["test accuracy", cost])
    kind = drawn["scale"] + drawn["source"].map({"seed log": " scale, seed log", "record": " scale"})
    group = f"{colour} " + drawn[colour].map(as_text) + ", " + kind if colour != "scale" else kind
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

    The x axis counts passes over the training images: what a seed log calls an epoch but was a single
    optimizer step is a hollow marker at the pass that it follows.
    """
    figure, best, shown = go.Figure(), [], metric.replace("_", " ")
    sign, kind = (1, "Highest") if metric == "accuracy" else (-1, "Lowest")
    solid = metric if metric == "learning_rate" else f"val_{metric}"
    for place, (label, run) in enumerate(runs.items()):
        tone, symbol = look(place)
        real, single = records.real_epochs(run, stage), records.one_step_epochs(run, stage)
        passes = np.cumsum(np.isin(np.arange(len(real) + len(single)), real))
        for name in sorted({metric, solid} & set(run.curves.get(stage, {}))):
            curve = np.asarray(run.curves[stage][name], float)
            mode, dash = ("lines+markers", "solid") if name == solid else ("lines", "dash")
            hollow = single, "markers", f"{symbol}-open", "a single step after pass"
            for drawn, how, mark, after in ((real, mode, symbol, "pass"), hollow):
                figure.add_scatter(
                    **{"x": passes[drawn], "y": curve[drawn], "mode": how, "name": label},
                    **{"legendgroup": label, "showlegend": name == solid and drawn is real},
                    line={"color": tone, "dash": dash},
                    marker={"color": tone, "symbol": mark, "size": 6},
                    hovertemplate=f"{label}<br>{name} %{{y:.4g}}, {after} %{{x}}<extra></extra>",
                )
            if name == solid and np.isfinite(curve).any():
                at = int(np.nanargmax(sign * curve))
                value = percent(curve[at]) if metric == "accuracy" else f"{curve[at]:.3g}"
                best.append((sign * curve[at], f"{label}, {value} after {passes[at]} passes"))
    figure.update_yaxes(tickformat="~%" if metric == "accuracy" else "")
    if metric == "learning_rate":
        figure.update_yaxes(type="log")
    what = shown if metric == solid else f"validation {shown}"
    title = f"{kind} {what}: {max(best)[1]}" if best else f"No {what} in {stage}"
    unit = " (nats)" if metric == "loss" else ""
    return finished(figure, title, f"passes over the training images in {stage}", shown + unit)


def confusion(runs: Mapping[str, Run]) -> go.Figure:
    """The confusion matrix of one run's test images, or the first of two less the second.

    Raises ValueError for a run without a matrix, and for two that were tested on different images.
    """
    if lacking := [label for label, run in runs.items() if run.confusion_matrix is None]:
        raise ValueError(f"no confusion matrix is stored of {', '.join(lacking)}")
    matrix, *other = (np.asarray(run.confusion_matrix) for run in runs.values())
    cells, text, low, colours = matrix * ~np.eye(len(matrix), dtype=bool), "%d", 0, ["#FFFFFF", PALETTE[0]]
    title = f"{next(iter(runs))}: {np.trace(matrix):,} of {matrix.sum():,} test images right; errors coloured"
    if other:
        matrix = cells = matrix - other[0]
        text, low, colours = "%+d", -1, [PALETTE[0], "#FFFFFF", PALETTE[1]]
        title = f"{' less '.join(runs)}: {np.trace(cells):+,} images right"
        if cells.sum(axis=1).any():
            raise ValueError(f"{' and '.join(runs)} were tested on different images: class counts differ")
    names, reach = CLASSES.get(next(iter(runs.values())).dataset), max(1, np.abs(cells).max())
    figure = go.Figure(
        go.Heatmap(
            **{"z": cells, "x": names, "y": names, "xgap": 1, "ygap": 1, "showscale": False},
            **{"zmin": low * reach, "zmax": reach, "colorscale": colours},
            text=np.char.mod(text, matrix),
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
    return evaluation.paired(first.correct("test", view), second.correct("test", view))


# ---------------------------------------------------------------------------- the page


@st.cache_resource(max_entries=64, show_spinner="reading records")
def load(folder: str, stamped: Stamps) -> tuple[list[Run], list[tuple[Path, str]]]:
    """The runs of a folder and what could not be read; read again only where a file has changed."""
    return records.read_folder(folder)


@st.fragment(run_every=LOOK_EVERY)
def watch(folders: Sequence[Path], seen: Stamps) -> None:
    """Draw the whole page again once a record has come, gone or changed."""
    if stamps(folders) != seen:
        st.rerun()


def draw(figure: go.Figure) -> None:
    """Show a figure, its title in words for those who cannot see it."""
    config = {"displayModeBar": False}  # it would lie over the title
    st.plotly_chart(figure, theme=None, config=config, alt=figure.layout.title.text)


def main() -> None:
    """Lay out the page."""
    st.set_page_config(page_title="Records of the transfer report", layout="wide")
    st.title("Records of the transfer report")
    bound: dict[str, Any] = {"bind": "query-params"}
    roots = [Path(given) for given in sys.argv[1:]] or [RESULTS]
    for root in roots:
        if not root.is_dir():
            st.error(f"{root}: there is no such folder. Name folders of records after `--`.")
    seen = stamps(roots)
    watch(roots, seen)

    folders = sorted({str(Path(path).parent) for path, *_ in seen if path.endswith(".json")})
    opened = [str(root) for root in roots if str(root) in folders] or folders
    bar = st.sidebar
    chosen = bar.multiselect("folders", folders, opened, key="folder", **bound) or opened
    read = [load(name, tuple(s for s in seen if str(Path(s[0]).parent) == name)) for name in chosen]
    if problems := [problem for _, unread in read for problem in unread]:
        with st.expander(f"{len(problems)} files could not be read", icon="⚠️", expanded=True):
            st.table(pd.DataFrame(problems, columns=["file", "reason"]).astype(str))
    everything = labelled(run for runs, _ in read for run in runs)
    if not everything:
        st.info(f"No records in {', '.join(map(str, roots))} yet: `python -m helpers run` makes one.")
        return

    datasets = sorted({run.dataset for run in everything.values()})
    dataset = bar.radio("data set", datasets, key="dataset", **bound)
    rows = table({label: run for label, run in everything.items() if run.dataset == dataset})
    wanted = {}
    for name in FILTERS:
        key, texts = name.replace(" ", "_"), values(rows[name])
        wanted[name] = bar.multiselect(name, texts, key=key, placeholder="all", **bound)
    count, rows = len(rows), filtered(rows, wanted)
    runs = {label: everything[label] for label in rows["run"]}
    st.markdown(f"**{len(rows)} of {count} runs on {DATASETS.get(dataset, dataset)}**")
    st.caption(". ".join(filter(None, dict.fromkeys(map(caution, runs.values())))))
    if rows.empty:
        st.info("No run passes these filters: take one away.")
        return
    labels = list(runs)

    st.header("Accuracy against cost")
    left, right = st.columns(2)
    cost = left.selectbox("cost", list(COSTS), key="cost", **bound)
    colour = right.selectbox("colour", FILTERS, key="colour", **bound)
    draw(accuracy_by_cost(rows, cost, colour))
    if lacking := rows[rows[["test accuracy", cost]].isna().any(axis=1)]["run"].tolist():
        st.caption(f"Not drawn, for want of a test accuracy or of {cost}: {', '.join(lacking)}.")

    st.header("Learning curves")
    first, second, third = st.columns([3, 1, 1])
    stages = sorted(
        {stage for run in runs.values() for stage in run.curves if run.curves[stage]}, reverse=True
    )
    stage = second.selectbox("stage", stages, key="stage", **bound)
    having = [label for label, run in runs.items() if run.curves.get(stage)]
    hint: dict[str, Any] = {"placeholder": "the first three", "max_selections": 10}
    several = first.multiselect("runs", having, key="runs", **hint, **bound)
    drawn = {label: runs[label] for label in several or having[:3]}
    metrics = sorted({name.removeprefix("val_") for run in drawn.values() for name in run.curves[stage]})
    if metric := third.selectbox("metric", metrics, key="metric", **bound):
        draw(learning_curves(drawn, stage, metric))
        steps = {label: len(records.one_step_epochs(run, stage)) for label, run in drawn.items()}
        hollow = ", ".join(f"{count} of {label}" for label, count in steps.items() if count)
        note = f' Hollow: logged "epochs" that were a single optimizer step, {hollow}.' if hollow else ""
        st.caption("Solid: validation; dashed: training." + note)
    else:
        st.info("None of these runs has curves.")

    st.header("Confusion matrix")
    first, second = st.columns(2)
    one = first.selectbox("run", labels, key="matrix", **bound)
    other = second.selectbox("less", labels, index=None, placeholder="nothing", key="less", **bound)
    matrices = {label: runs[label] for label in (one, other) if label}
    try:
        draw(confusion(matrices))
    except ValueError as error:
        st.warning(str(error))
    for label, run in matrices.items():
        if run.is_seed_log and records.tta_accuracy(run):
            st.caption(f"The matrix of {label} counts predictions averaged over the flip.")

    st.header("Two runs on the same images")
    first, second, third = st.columns([2, 2, 1])
    a = first.selectbox("first", labels, key="first", **bound)
    b = second.selectbox("second", labels, index=min(1, len(labels) - 1), key="second", **bound)
    view = third.selectbox("predictions", ["plain", "tta"], key="view", **bound)
    try:
        test = paired(runs[a], runs[b], view)
    except (RecordError, ValueError, OSError) as error:
        st.warning(f"{a} and {b} cannot be paired: {error}")
    else:
        verdict = finding(test, "the second is better", "the second is worse", "no difference is shown")
        st.markdown(f"**Second against first: {test}; {verdict}.**")
        alone = f"{test.only_first:,} are right in the first alone, {test.only_second:,} in the second alone"
        st.markdown(
            f"Of {test.n:,} test images {alone}. Exact McNemar test; interval: paired bootstrap, 95%."
        )

    st.header("Table")
    shares = ("test accuracy", "low", "high", "with flip", "val accuracy")
    formats = {name: st.column_config.NumberColumn(format="percent") for name in shares}
    formats["learning rate"] = st.column_config.NumberColumn(format="scientific")
    st.dataframe(rows, hide_index=True, column_config=formats, placeholder="")
    st.download_button("CSV of this table", rows.to_csv(index=False), f"records-{dataset}.csv", "text/csv")


if __name__ == "__main__":
    main()
