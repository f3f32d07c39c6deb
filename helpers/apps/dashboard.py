"""A page over any folder of records: filter, compare, pair. Reads records and never trains.

    streamlit run helpers/apps/dashboard.py -- results other/folder

The page opens on the folders it is given, or on results/, and offers every folder of records below them.
Its state is in its address, it looks for new records every few seconds, and it shows one data set at a
time: no number of the miniature ever stands beside one of CIFAR-10.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
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
from helpers.paths import RESULTS
from helpers.records import published, store
from helpers.records.run import Run, caution

# Comments, not docstrings: Streamlit writes a bare string at the top level onto the page.
LOOK_EVERY = 5  # seconds between two looks for new records
BOUND: dict[str, Any] = {"bind": "query-params"}  # what keeps a choice in the page's address


@st.cache_resource(max_entries=64, show_spinner="reading records")
def load(folder: str, stamped: Stamps) -> tuple[list[Run], list[tuple[Path, str]]]:
    """The runs of a folder and what could not be read; read again only where a file has changed."""
    return store.read_folder(folder)


@st.fragment(run_every=LOOK_EVERY)
def watch(folders: Sequence[Path], seen: Stamps) -> None:
    """Draw the whole page again once a record has come, gone or changed."""
    if stamps(folders) != seen:
        st.rerun()


def offered(key: str, choices: Iterable[str]) -> None:
    """Say which values of a choice in the page's address do not exist; Streamlit drops them in silence."""
    for value in st.query_params.get_all(key):
        if value not in (known := list(choices)):
            st.warning(f"{key}={value} in the address is none of: {', '.join(known)}. It is passed over.")


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
    offered("folder", folders)
    chosen = st.sidebar.multiselect("folders", folders, opened, key="folder", **BOUND) or opened
    opened_now = [places[name] for name in chosen]
    read = [load(name, tuple(s for s in seen if str(Path(s[0]).parent) == name)) for name in opened_now]
    if problems := [problem for _, unread in read for problem in unread]:
        count = "1 file" if len(problems) == 1 else f"{len(problems)} files"
        with st.expander(f"{count} could not be read", icon="⚠️", expanded=True):
            table = pd.DataFrame(problems, columns=["file", "reason"]).astype(str)
            st.table(table.map(printable))
    return labelled(run for runs, _ in read for run in runs)


def choose_runs(everything: Mapping[str, Run]) -> pd.DataFrame:
    """The rows of the runs that pass the sidebar's filters, all of one data set."""
    datasets = sorted({run.dataset for run in everything.values()})
    offered("dataset", datasets)
    dataset = st.sidebar.radio("data set", datasets, key="dataset", **BOUND)
    rows = table({label: run for label, run in everything.items() if run.dataset == dataset})
    wanted = {}
    for name in FILTERS:
        key, texts = name.replace(" ", "_"), values(rows[name])
        offered(key, texts)
        wanted[name] = st.sidebar.multiselect(name, texts, key=key, placeholder="all", **BOUND)
    passing = filtered(rows, wanted).sort_values(["of the table", "test accuracy"], ascending=False)
    passing = passing.drop(columns="of the table")
    st.markdown(f"**{len(passing)} of {len(rows)} runs on {sources.described(dataset)}**")
    return passing


def show_costs(rows: pd.DataFrame) -> None:
    """Accuracy against cost."""
    st.header("Accuracy against cost")
    left, right = st.columns(2)
    offered("cost", COSTS)
    cost = left.selectbox("cost", list(COSTS), key="cost", **BOUND)
    offered("colour", FILTERS)
    colour = right.selectbox("colour", FILTERS, key="colour", **BOUND)
    draw(accuracy_by_cost(rows, cost, colour))
    if lacking := rows[rows[["test accuracy", cost]].isna().any(axis=1)]["run"].tolist():
        st.caption(f"Not drawn, for want of a test accuracy or of {cost}: {', '.join(lacking)}.")


def show_curves(runs: Mapping[str, Run]) -> None:
    """Learning curves of several runs together."""
    st.header("Learning curves")
    left, middle, right = st.columns([3, 1, 1])
    stages = {stage for run in runs.values() for stage in run.curves if run.curves[stage]}
    offered("stage", stages)
    stage = middle.selectbox("stage", sorted(stages, reverse=True), key="stage", **BOUND)
    having = [label for label, run in runs.items() if run.curves.get(stage)]
    hint: dict[str, Any] = {"placeholder": "the first three", "max_selections": 10}
    offered("runs", having)
    several = left.multiselect("runs", having, key="runs", **hint, **BOUND)
    drawn = {label: runs[label] for label in several or having[:3]}
    metrics = sorted({name.removeprefix("val_") for run in drawn.values() for name in run.curves[stage]})
    metric = right.selectbox("metric", metrics, key="metric", **BOUND)
    if not metric:
        st.info("None of these runs has curves.")
        return
    draw(learning_curves(drawn, stage, metric))
    steps = {label: len(published.one_step_epochs(run, stage)) for label, run in drawn.items()}
    hollow = ", ".join(f"{count} of {label}" for label, count in steps.items() if count)
    note = f' Hollow: logged "epochs" that were a single optimizer step, {hollow}.' if hollow else ""
    st.caption("Solid: validation; dashed: training." + note)


def show_confusion(runs: Mapping[str, Run]) -> None:
    """The confusion matrix of a run, or the difference of two."""
    st.header("Confusion matrix")
    left, right = st.columns(2)
    offered("matrix", runs)
    one = left.selectbox("run", list(runs), key="matrix", **BOUND)
    other = right.selectbox("less", list(runs), index=None, placeholder="nothing", key="less", **BOUND)
    chosen = {label: runs[label] for label in (one, other) if label}
    try:
        draw(confusion(chosen))
    except ValueError as error:
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
    labels = list(runs)
    offered("first", runs)
    a = left.selectbox("first", labels, key="first", **BOUND)
    offered("second", runs)
    b = middle.selectbox("second", labels, index=1, key="second", **BOUND)
    view = right.selectbox("predictions", ["plain", "tta"], key="view", **BOUND)
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
    st.markdown(f"Of {test.n:,} test images {alone}. Exact McNemar test; interval: paired bootstrap, 95%.")


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
