"""The dashboard: its tables and figures from records, its page, and the page in a real browser."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import made
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("streamlit", reason="the dependency group 'dashboard' is not installed")

from streamlit.testing.v1 import AppTest
from websockets.sync.client import connect

from helpers.analysis import intervals, metrics
from helpers.apps import charts, dashboard
from helpers.experiment import Experiment
from helpers.records import published, store
from helpers.records.run import RecordError, Run

PAGE = Path(dashboard.__file__)
SEED = published.PUBLISHED_LOGS
MINIATURE = made.MINIATURE


def record(folder: Path, skill: float, per_class: int = 12, screening: bool = False, **fields: Any) -> Run:
    """A record of an invented network: the higher `skill`, the more often it is right.

    One of a screening run keeps classes in the place of probabilities; here it is a diagnosed run as well.
    """
    experiment = Experiment(**{"scale": "quick", **fields})
    labels = np.repeat(np.arange(10), per_class)
    rng = np.random.default_rng(experiment.seed)
    arrays = {}
    for name in ("val_plain", "val_flipped", "test_plain", "test_flipped"):
        logits = rng.normal(size=(len(labels), 10)) + skill * np.eye(10)[labels]
        arrays[name] = store.compact(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    counts = {"val": [per_class] * 10, "test": [per_class] * 10}
    content = made.content_of(
        experiment,
        class_counts=counts,
        metrics=metrics.from_probabilities(arrays, counts, 0.05),
        confusion_matrix=metrics.confusion_matrix(labels, arrays["test_plain"].argmax(1), 10).tolist(),
    )
    if screening:
        content["diagnosis"] = [{"epoch": 0, "accuracy": {"val": {"moving": 0.5}}, "probe": 0.5}]
        return store.write(content, store.screening(arrays, counts), folder)
    return store.write(content, arrays, folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A weak and a strong run, a head alone, and the study's logs, by the names the page gives them."""
    folder = tmp_path_factory.mktemp("records")
    ours = [record(folder, 1.0), record(folder, 3.0, learning_rate=1e-4), record(folder, 2.0, n_unfreeze=0)]
    return charts.labelled([*ours, *store.read_folder(SEED)[0]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """CIFAR-10 and, below it, the miniature; one file that cannot be read."""
    record(tmp_path / "results", 1.0)
    record(tmp_path / "results", 3.0, learning_rate=1e-4)
    record(tmp_path / "results" / "miniature", 2.0, **MINIATURE)
    (tmp_path / "results" / "broken.json").write_text("{")
    return tmp_path / "results"


def page(monkeypatch: pytest.MonkeyPatch, *folders: Path, **query: str) -> AppTest:
    monkeypatch.setattr(sys, "argv", [str(PAGE), *map(str, folders)])
    test = AppTest.from_file(str(PAGE), default_timeout=300)
    test.query_params.update(query)
    test.run()
    assert not test.exception, test.exception
    return test


def words(test: AppTest) -> str:
    every = [*test.markdown, *test.caption, *test.warning, *test.info, *test.error]
    return "\n".join(element.value for element in every)


def rows(test: AppTest) -> pd.DataFrame:
    return test.dataframe[-1].value


# ---------------------------------------------------------------------------- tables and figures


def test_table_holds_each_runs_numbers(runs: dict[str, Run]) -> None:
    table = charts.table(runs).set_index("run")
    for label, run in runs.items():
        row = table.loc[label]
        assert row["low"] <= row["test accuracy"] == run.metrics["test_end2end"] <= row["high"]
        assert row["minutes"] == pytest.approx(run.timing_sec["total"] / 60)


def test_seed_logs_keep_their_own_words(runs: dict[str, Run]) -> None:
    row = charts.table(runs).set_index("run").loc["run_n0_Adam (published log)"]
    assert (row["source"], row["augmentation"], row["optimizer"]) == ("published log", "augment=none", "Adam")
    assert "lr_stage2=0.0003" in row["log, or not default"]


def test_a_head_alone_has_no_options_of_stage_2(runs: dict[str, Run]) -> None:
    (head,) = (run for label, run in runs.items() if label.startswith("n0_s42"))
    assert charts.options(head)["learning rate"] is None


def test_filters_narrow_and_an_empty_one_lets_all_pass(runs: dict[str, Run]) -> None:
    table = charts.table(runs)
    assert len(charts.filtered(table, {"depth": []})) == len(table)
    slow = charts.filtered(table, {"depth": ["30"], "learning rate": ["1e-05"]})
    assert set(slow["source"]) == {"record", "published log"}
    unsaid = charts.filtered(table, {"optimizer": [charts.NO_VALUE]})
    assert len(unsaid) == 5  # the head alone, and four logs


def test_names_stay_apart(tmp_path: Path) -> None:
    same = [record(tmp_path / name, 1.0) for name in ("one", "two")]
    assert len(charts.labelled(same)) == 2


def test_what_tells_runs_of_one_name_apart_is_in_their_labels(tmp_path: Path) -> None:
    several = [
        record(tmp_path, 1.0),
        record(tmp_path, 2.0, head_norm="none"),
        record(tmp_path, 3.0, epochs=2),
    ]
    usual, none, short = charts.labelled(several)
    assert ("head_norm" in usual, "head_norm none" in none, "epochs 2" in short) == (False, True, True)
    assert "head_norm" not in short


@pytest.mark.parametrize("cost", charts.COSTS)
def test_cost_chart_draws_every_run_and_labels_scales(runs: dict[str, Run], cost: str) -> None:
    figure = charts.accuracy_by_cost(charts.table(runs), cost, "depth")
    assert sum(len(trace.x) for trace in figure.data) == len(runs)
    assert {"depth 30, quick scale, record", "depth 30, full scale, published log"} <= {
        t.name for t in figure.data
    }


def test_one_step_epochs_are_hollow() -> None:
    run = store.read(SEED / "run_final_optimized.json")
    figure = charts.learning_curves({"log": run}, "stage2", "accuracy")
    hollow = [trace for trace in figure.data if trace.marker.symbol == "circle-open"]
    single = published.one_step_epochs(run, "stage2")
    assert [len(trace.x) for trace in hollow] == [len(single)] * 2 and len(single) > 20
    assert max(trace.x.max() for trace in figure.data if len(trace.x)) == len(published.real_epochs(run))


def test_confusion_and_its_difference(runs: dict[str, Run]) -> None:
    (weak, strong), n = list(runs)[:2], 120
    one = charts.confusion({weak: runs[weak]})
    assert np.trace(one.data[0].z) == 0 and f"of {n} test images" in one.layout.title.text
    gain = round((runs[strong].metrics["test_end2end"] - runs[weak].metrics["test_end2end"]) * n)
    both = charts.confusion({strong: runs[strong], weak: runs[weak]})
    assert np.trace(both.data[0].z) == gain > 0
    log = "run_full_tune (published log)"
    with pytest.raises(ValueError, match="different images"):
        charts.confusion({weak: runs[weak], log: runs[log]})


def test_pairs_only_what_was_tested_on_the_same_images(runs: dict[str, Run], tmp_path: Path) -> None:
    weak, strong, *_, log = runs.values()
    test = charts.paired(weak, strong, "tta")
    assert test == intervals.paired(weak.correct("test", "tta"), strong.correct("test", "tta"))
    with pytest.raises(RecordError, match="holds no single predictions"):
        charts.paired(weak, log, "plain")
    with pytest.raises(ValueError, match="120 .* and 200 "):
        charts.paired(weak, record(tmp_path, 1.0, per_class=20, scale="full"), "plain")
    with pytest.raises(ValueError, match="different images"):
        charts.paired(weak, record(tmp_path, 1.0, **MINIATURE), "plain")


def test_a_screening_record_is_shown_like_any_other(
    monkeypatch: pytest.MonkeyPatch, runs: dict[str, Run], tmp_path: Path
) -> None:
    small, whole = record(tmp_path, 2.0, screening=True), record(tmp_path, 1.0, seed=7)
    assert small.is_screening and small.diagnosis and not whole.is_screening
    for view in ("plain", "tta"):
        assert charts.paired(whole, small, view).n == 120
    test = page(monkeypatch, tmp_path, view="tta")
    assert "2 of 2 runs" in words(test) and "Second against first" in words(test)
    assert rows(test)[["test accuracy", "low", "with flip", "minutes"]].notna().all(axis=None)


def test_imports_no_keras() -> None:
    code = "import sys; from helpers.apps import dashboard; print({'keras', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# ---------------------------------------------------------------------------- the page


def test_page_shows_one_data_set_and_what_it_could_not_read(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    both = [str(folder), str(folder / "miniature")]
    test = page(monkeypatch, folder, folder / "nowhere")
    assert "2 of 2 runs on CIFAR-10" in words(test) and "Quick scale" in words(test)
    assert "broken.json" in test.table[0].value.to_string() and "not JSON" in test.table[0].value.to_string()
    assert "nowhere: there is no such folder" in test.error[0].value
    assert "Second against first" in words(test)
    test.multiselect("folder").set_value(both).run()
    assert set(rows(test)["dataset"]) == {"cifar10"}
    test.radio("dataset").set_value("miniature").run()
    assert set(rows(test)["dataset"]) == {"miniature"} and "nothing about CIFAR-10" in words(test)
    assert not test.exception


def test_folders_of_one_name_are_told_apart_by_their_pictures(tmp_path: Path) -> None:
    first = record(tmp_path, 1.0, dataset="folder:pets")
    pets = [replace(first, fingerprints={"data": data}) for data in ("beef2cb31198", "0dd5")]
    assert list(map(charts.data_name, pets)) == ["folder:pets (beef)", "folder:pets (0dd5)"]
    assert charts.data_name(record(tmp_path, 1.0)) == "cifar10"


def test_page_takes_its_state_from_the_address(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    test = page(monkeypatch, folder, learning_rate="0.0001", colour="batch", folder="/etc")
    assert "1 of 2 runs" in words(test)
    assert (test.selectbox("colour").value, test.multiselect("folder").value) == ("batch", [str(folder)])


def test_a_value_of_the_address_that_does_not_exist_is_said(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    test = page(monkeypatch, folder, colour="mood", optimizer="magic", runs="nobody")
    said = [warning.value for warning in test.warning]
    for wrong in ("colour=mood", "optimizer=magic", "runs=nobody"):
        assert any(line.startswith(f"{wrong} in the address is none of: ") for line in said), said


def test_page_opens_on_the_tables_runs_and_the_best_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record(tmp_path, 1.0, scale="full")
    for strength, rate in ((2.0, 2e-4), (3.0, 1e-4)):
        record(tmp_path, strength, learning_rate=rate, scale="full")
    shown = rows(page(monkeypatch, tmp_path))
    assert "of the table" not in shown and shown["run"].iloc[0].startswith("n30_standard_adamw_lr1e-05")
    assert shown["test accuracy"].iloc[1] > shown["test accuracy"].iloc[2]


GOOD: dict[str, Any] = {"config": {"n_unfreeze": 10}, "metrics": {"test_end2end": 0.9}}
MATRIX = [[1] * 10] * 10


def odd(part: str, name: str, *values: Any) -> dict[str, Any]:
    """Logs in which one value of a part is odd."""
    return {f"{part} {name} {value!r}": {part: {**GOOD.get(part, {}), name: value}} for value in values}


ODD: dict[str, Any] = {
    **{f"{part} of {text!r}": {part: text} for part in GOOD for text in (None, [0], "text", 1)},
    **odd("config", "n_unfreeze", "all", None, -1, 1.5, [], True),
    **odd("config", "seed", "abc", None, {}, 1.5),
    **odd("config", "learning_rate", "1e-5", None, -1, [1]),
    **odd("config", "lr_stage2", "1e-5", {}),
    **odd("config", "optimizer", 1, None, ["adam"]),
    **odd("config", "dataset", 1, None),
    **odd("metrics", "test_end2end", "0.91", None, 1.2, -0.1, [], float("nan"), float("inf")),
    **odd("timing_sec", "total", "12 min", None, -1, []),
    **odd("curves", "stage2", 1, {"loss": 1}, {"loss": ["low"]}, {"loss": [1.0], "accuracy": [0.5, 0.6]}),
    **{f"{part} {value!r}": {part: value} for part in ("curves", "timing_sec") for value in (1, "x", [0])},
    "short matrix": {"confusion_matrix": [[1], [1, 2]]},
    "matrix of text": {"confusion_matrix": "x"},
    "matrix of shares": {"confusion_matrix": [[0.5] * 10] * 10},
    "unequal rows": {"confusion_matrix": [*MATRIX[:9], [1] * 9]},
}


def test_what_cannot_be_read_is_listed_and_the_rest_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every odd log at once, a folder named like one, a name that is no UTF-8, and one good log."""
    for number, (name, changes) in enumerate(ODD.items()):
        text = json.dumps({**GOOD, **changes, "note": name})
        (tmp_path / f"odd{number}.json").write_text(text)
    (tmp_path / "folder.json").mkdir()
    os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9/a.json")).write_text(json.dumps(GOOD))
    (tmp_path / "good.json").write_text(json.dumps(GOOD))
    for path in store.paths(tmp_path):
        if path.name.startswith("odd"):
            with pytest.raises(RecordError, match=path.name):
                store.read(path)
    test = page(monkeypatch, tmp_path)
    assert list(rows(test)["run"]) == ["good (published log)"]
    listed = test.table[0].value
    assert len(listed) == len(ODD) + 1 and listed["reason"].str.len().min() > 20


def test_a_page_without_any_time_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text(json.dumps(GOOD))
    assert "No run has both an accuracy and this cost" in words(page(monkeypatch, tmp_path))


def test_page_opens_on_the_studys_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    test = page(monkeypatch, SEED)
    assert "5 of 5 runs on CIFAR-10" in words(test)
    assert "single optimizer step" in words(test) and "cannot be paired" in words(test)
    assert set(rows(test)["source"]) == {"published log"}


def test_page_picks_up_and_drops_records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    test = page(monkeypatch, tmp_path)
    assert "No records" in words(test)
    before = charts.stamps([tmp_path])
    run = record(tmp_path, 1.0)
    assert charts.stamps([tmp_path]) != before
    assert "1 of 1 runs" in words(test.run())
    run.path.unlink()
    assert "No records" in words(test.run())


# ---------------------------------------------------------------------------- a real browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --remote-debugging-port=0 --window-size=1300,3600"
).split()
STREAMLIT = (
    "--server.headless true --server.address 127.0.0.1 --server.port 0 --browser.gatherUsageStats false"
).split()


@contextlib.contextmanager
def started(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block; what it says is in `log`."""
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            process.terminate()


def eventually(look: Any, seconds: int = 240) -> Any:
    """The first true value of `look()`."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.5)
    return found


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome is installed")
def test_page_in_a_browser(folder: Path, tmp_path: Path) -> None:
    """It picks up a new record, puts its state into its address, and asks for nothing outside."""
    log, profile = tmp_path / "streamlit.log", tmp_path / "profile"
    serve = [sys.executable, "-m", "streamlit", "run", str(PAGE), *STREAMLIT, "--", str(folder), str(SEED)]
    browse = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    ids, asked = itertools.count(), set[str]()

    def call(method: str, **parameters: Any) -> dict[str, Any]:
        number = next(ids)
        browser.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(browser.recv(timeout=120))).get("id") != number:
            if answer["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                asked.add(answer["params"].get("url") or answer["params"]["request"]["url"])
        return answer["result"]

    def value(script: str) -> Any:
        return call("Runtime.evaluate", expression=script)["result"].get("value")

    def shows(text: str) -> bool:
        return text in (value("document.body.innerText") or "")  # no body yet, at first

    with started(serve, log), started(browse, tmp_path / "browser.log"):
        said = eventually(lambda: log.exists() and "http://" in log.read_text() and log.read_text())
        address = next(word for word in said.split() if word.startswith("http://"))
        port_file = profile / "DevToolsActivePort"
        port = eventually(lambda: port_file.exists() and port_file.read_text().split())[0]
        (tab,) = (t for t in json.load(urlopen(f"http://127.0.0.1:{port}/json")) if t["type"] == "page")
        with connect(tab["webSocketDebuggerUrl"], max_size=None, proxy=None) as browser:
            call("Network.enable")
            query = urlencode({"folder": [folder, folder / "miniature", SEED], "colour": "batch"}, doseq=True)
            call("Page.navigate", url=f"{address}/?{query}")
            eventually(lambda: shows("7 of 7 runs on CIFAR-10"))
            eventually(lambda: shows("CSV of this table"))
            eventually(lambda: value("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 3"))
            record(folder, 2.0, learning_rate=1e-3)
            eventually(lambda: shows("8 of 8 runs on CIFAR-10"))
            assert shows("broken.json") and not shows("Traceback")
            value("document.querySelectorAll('input[type=radio]')[1].click()")
            eventually(lambda: shows("1 of 1 runs on the miniature"))
            assert {"dataset=miniature", "colour=batch"} <= set(value("location.search")[1:].split("&"))
    outside = {url for url in asked if url.startswith(("http", "ws")) and "//127.0.0.1" not in url}
    assert asked and not outside
