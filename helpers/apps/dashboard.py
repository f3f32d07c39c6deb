"""A page over any folder of records: filter, compare, pair. Reads records and never trains.

    streamlit run helpers/apps/dashboard.py -- results other/folder

The page opens on the folders it is given, or on results/, and offers every folder of records below them.
Its state is in its address, it looks for new records every few seconds, and it shows one data set at a
time: no number of the miniature ever stands beside one of CIFAR-10.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from helpers.analysis.intervals import describe_difference
from helpers.apps.charts import (
    COSTS,
    FILTERS,
    Stamps,
    accuracy_by_cost,
    confusion,
    data_name,
    filtered,
    labelled,
    learning_curves,
    paired,
    printable,
    stamps,
    table,
    values,
)
from helpers.data import sources
from helpers.errors import UserError
from helpers.figures.style import PALETTE
from helpers.paths import RESULTS
from helpers.records import published, store
from helpers.records.run import Run, caution

# A comment, not a docstring: Streamlit writes a bare string at the top level onto the page.
LOOK_EVERY = 5  # seconds between two looks for new records


@st.cache_resource(max_entries=64, show_spinner="reading records")
def load(folder: str, stamped: Stamps) -> tuple[list[Run], list[tuple[Path, str]]]:
    """The runs of a folder and what could not be read; read again only where a file has changed."""
    return store.read_folder(folder)


@st.fragment(run_every=LOOK_EVERY)
def watch(folders: Sequence[Path], seen: Stamps) -> None:
    """Draw the whole page again once a record has come, gone or changed."""
    if stamps(folders) != seen:
        st.rerun()


def choose(widget: Callable[..., Any], key: str, choices: Iterable[str], **given: Any) -> Any:
    """What is chosen in a widget, which the page's address keeps by `key`; the label is the key in words.

    A value of the address that is no choice is passed over, as Streamlit does, and said.
    """
    known = list(choices)
    for value in st.query_params.get_all(key):
        if value not in known:
            st.warning(f"{key}={value} in the address is none of: {', '.join(known)}. It is passed over.")
    return widget(key.replace("_", " "), known, key=key, bind="query-params", **given)


def draw(figure: go.Figure) -> None:
    """Show a figure below its title, which wraps there where a figure's own would be cut off on a phone."""
    title, config = figure.layout.title.text, {"displayModeBar": False}
    st.markdown(f"**{title}**")
    st.plotly_chart(figure.update_layout(title=None), theme=None, config=config, alt=title)


def given_folders() -> list[Path]:
    """The folders that the page was started with, or results/; says which of them are not there."""
    roots = [Path(given) for given in sys.argv[1:]] or [RESULTS]
    for root in roots:
        if not root.is_dir():
            st.error(f"{root}: there is no such folder. Name folders of records after `--`.")
    return roots


def choose_folders(roots: Sequence[Path], seen: Stamps) -> dict[str, Run]:
    """Runs by their labels, of the folders chosen in the sidebar; says what could not be read."""
    parents = {str(Path(path).parent) for path, *_ in seen if path.endswith(".json")}
    places = {printable(parent): parent for parent in parents}
    folders = sorted(places)
    opened = [str(root) for root in roots if str(root) in folders] or folders
    chosen = choose(st.sidebar.multiselect, "folder", folders, default=opened) or opened
    read = [
        load(place, tuple(each for each in seen if str(Path(each[0]).parent) == place))
        for place in (places[name] for name in chosen)
    ]
    if problems := [problem for _, unread in read for problem in unread]:
        with st.expander(f"Files that could not be read: {len(problems)}", icon="⚠️", expanded=True):
            st.table(pd.DataFrame(problems, columns=["file", "reason"]).astype(str).map(printable))
    return labelled(run for runs, _ in read for run in runs)


def choose_runs(everything: Mapping[str, Run]) -> pd.DataFrame:
    """The rows of the runs that pass the sidebar's filters, all of one data set."""
    datasets = sorted(set(map(data_name, everything.values())))
    dataset = choose(st.sidebar.radio, "dataset", datasets)
    rows = table({label: run for label, run in everything.items() if data_name(run) == dataset})
    wanted = {
        name: choose(st.sidebar.multiselect, name.replace(" ", "_"), values(rows[name]), placeholder="all")
        for name in FILTERS
    }
    passing = filtered(rows, wanted).sort_values(["of the table", "test accuracy"], ascending=False)
    st.markdown(f"**{len(passing)} of {len(rows)} runs on {sources.described(dataset)}**")
    return passing.drop(columns="of the table")


def show_costs(rows: pd.DataFrame) -> None:
    """Accuracy against cost."""
    st.header("Accuracy against cost")
    left, right = st.columns(2)
    cost = choose(left.selectbox, "cost", COSTS)
    draw(accuracy_by_cost(rows, cost, choose(right.selectbox, "colour", FILTERS)))
    if lacking := rows[rows[["test accuracy", cost]].isna().any(axis=1)]["run"].tolist():
        st.caption(f"Not drawn, for want of a test accuracy or of {cost}: {', '.join(lacking)}.")


def show_curves(runs: Mapping[str, Run]) -> None:
    """Learning curves of several runs together."""
    st.header("Learning curves")
    left, middle, right = st.columns([3, 1, 1])
    stages = {stage for run in runs.values() for stage in run.curves if run.curves[stage]}
    if not stages:
        st.info("None of these runs has curves.")
        return
    stage = choose(middle.selectbox, "stage", sorted(stages, reverse=True))
    having = [label for label, run in runs.items() if run.curves.get(stage)]
    several = choose(
        left.multiselect, "runs", having, placeholder="the first three", max_selections=len(PALETTE)
    )
    drawn = {label: runs[label] for label in several or having[:3]}
    metrics = {name.removeprefix("val_") for run in drawn.values() for name in run.curves[stage]}
    draw(learning_curves(drawn, stage, choose(right.selectbox, "metric", sorted(metrics))))
    steps = {label: len(published.one_step_epochs(run, stage)) for label, run in drawn.items()}
    hollow = ", ".join(f"{count} of {label}" for label, count in steps.items() if count)
    note = f' Hollow: logged "epochs" that were a single optimizer step, {hollow}.' if hollow else ""
    st.caption("Solid: validation; dashed: training." + note)


def show_confusion(runs: Mapping[str, Run]) -> None:
    """The confusion matrix of a run, or the difference of two."""
    st.header("Confusion matrix")
    left, right = st.columns(2)
    one = choose(left.selectbox, "matrix", runs)
    other = choose(right.selectbox, "less", runs, index=None, placeholder="nothing")
    chosen = {label: runs[label] for label in (one, other) if label}
    try:
        draw(confusion(chosen))
    except (UserError, ValueError) as error:
        st.warning(str(error))
    for label, run in chosen.items():
        if run.is_published_log and published.tta_accuracy(run):
            st.caption(f"The matrix of {label} counts predictions averaged over the flip.")


def show_pair(runs: Mapping[str, Run]) -> None:
    """Two runs, image by image."""
    st.header("Two runs on the same images")
    if len(runs) < 2:
        st.info("One run passes the filters: a pair needs two.")
        return
    left, middle, right = st.columns([2, 2, 1])
    a = choose(left.selectbox, "first", runs)
    b = choose(middle.selectbox, "second", runs, index=1)
    view = choose(right.selectbox, "view", ["plain", "tta"])
    try:
        test = paired(runs[a], runs[b], view)
    except (UserError, ValueError, OSError) as error:
        st.warning(f"{a} and {b} cannot be paired: {error}")
        return
    verdict = describe_difference(
        test, "the second is better", "the second is worse", "no difference is shown"
    )
    alone = f"{test.only_first:,} are right in the first alone, {test.only_second:,} in the second alone"
    st.markdown(f"**Second against first: {test}; {verdict}.**")
    st.markdown(f"Of {test.n:,} test images {alone}. Exact McNemar test; 95% interval.")


def show_table(rows: pd.DataFrame) -> None:
    """The rows, and the same as CSV."""
    st.header("Table")
    shares = ("test accuracy", "low", "high", "with flip", "val accuracy")
    formats = {name: st.column_config.NumberColumn(format="percent") for name in shares}
    formats["learning rate"] = st.column_config.NumberColumn(format="scientific")
    st.dataframe(rows, hide_index=True, column_config=formats, placeholder="")
    name = f"records-{rows['dataset'].iloc[0]}.csv"
    st.download_button("CSV of this table", rows.to_csv(index=False), name, "text/csv")


def main() -> None:
    """Lay out the page."""
    st.set_page_config(page_title="Records of the transfer report", layout="wide")
    st.title("Records of the transfer report")
    roots = given_folders()
    seen = stamps(roots)
    watch(roots, seen)
    everything = choose_folders(roots, seen)
    if not everything:
        st.info(f"No records in {', '.join(map(str, roots))} yet: `python -m helpers run` makes one.")
        return
    rows = choose_runs(everything)
    if rows.empty:
        st.info("No run passes these filters: take one away.")
        return
    runs = {label: everything[label] for label in rows["run"]}
    if cautions := dict.fromkeys(filter(None, map(caution, runs.values()))):
        st.caption(f"{'. '.join(cautions)}.")
    show_costs(rows)
    show_curves(runs)
    show_confusion(runs)
    show_pair(runs)
    show_table(rows)


if __name__ == "__main__":
    main()
