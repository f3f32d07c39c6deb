"""The command line: its exit codes, and one line for whatever goes wrong."""

import dataclasses
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import kills
import pytest

from helpers import paths
from helpers.apps import cli, predict
from helpers.errors import UserError
from helpers.experiment import Experiment, ExperimentError
from helpers.study import experiments

SMALL = ["run", "--dataset", "miniature", "--backbone-weights", "miniature", "--image-size", "48"]


@pytest.mark.parametrize(("error", "code"), [(UserError("it failed"), 1), (ExperimentError("no such"), 2)])
def test_a_failure_is_one_line_and_its_exit_code_says_whose(
    error: UserError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing() -> None:
        raise error

    monkeypatch.setattr(cli, "COMMANDS", {"fail": failing, "other": failing})
    monkeypatch.setattr(sys, "argv", ["helpers", "fail"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    assert capsys.readouterr().err == f"{type(error).__name__}: {error}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--learning-rate", "99"],
        ["run", "--no-such"],
        ["notebook", "99"],
        ["sweep", "nosuch"],
        ["sweep", "lr", "--workers", "0"],
        ["export", "network.txt"],
        ["report", "--scale", "nosuch"],
    ],
)
def test_what_is_asked_wrongly_ends_with_2(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["helpers", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2


def test_the_help_of_run_shows_every_range(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["helpers", "run", "--help"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for spec in dataclasses.fields(Experiment):
        if "low" in spec.metadata:
            option = "--" + spec.name.replace("_", "-")
            assert f"{option} {spec.metadata['low']}..{spec.metadata['high']} " in shown


def test_a_reader_that_has_enough_ends_the_command_in_silence() -> None:
    command = f"{sys.executable} -m helpers run --help | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=paths.environment())
    assert "run" in done.stdout and done.stderr == ""


def test_a_name_that_the_terminal_cannot_print_is_escaped(tmp_path: Path) -> None:
    places = {"REPORT_CACHE": str(tmp_path / "caf\u00e9"), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "helpers", "cache"]
    done = subprocess.run(command, capture_output=True, text=True, env={**paths.environment(), **places})
    assert done.returncode == 0 and "caf\\xe9" in done.stdout, done.stderr


def in_imports(command: kills.Process) -> None:
    """While the package is imported, which Python reports."""
    assert command.stderr
    assert any(b"helpers.experiment" in line for line in command.stderr)


def in_training(command: kills.Process) -> None:
    """Once the first stage has said its line."""
    assert command.stderr
    assert any(b"stage1" in line for line in command.stderr)


@pytest.mark.parametrize("moment", [in_imports, in_training])
def test_an_interrupted_command_says_in_one_line_what_is_kept(
    moment: Callable[[kills.Process], None], tmp_path: Path
) -> None:
    places = {name: str(tmp_path / name) for name in ("REPORT_RESULTS", "REPORT_CACHE")}
    words = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "helpers",
        *SMALL,
        "--scale",
        "quick",
        "--epochs",
        "100",
    ]
    environment = {**paths.environment(), **places}
    command = subprocess.Popen(
        words,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=paths.ROOT,
        # A shell that runs these tests in the background has their children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    moment(command)
    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=120)
    assert command.returncode == 130
    stages = ("import time:", "stage", "storing")
    (line,) = [line for line in said.decode().splitlines() if line and not line.startswith(stages)]
    assert line.startswith("Interrupted. Kept are finished records") and "same command goes on" in line


def test_data_says_what_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("CIFAR10_DIR", "CIFAR10H_DIR", "MOBILENETV2_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("REPORT_CACHE", "KERAS_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    cli.find_data(download=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all(line.endswith("not on this machine") for line in lines)
    assert lines[2].startswith("CIFAR-10H")


@pytest.mark.parametrize("dataset", ["folder:pets", "miniature"])
def test_a_report_on_own_images_writes_the_recipes_network(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "folder-1" / "notebooks" / "_build" / "html" / "index.html"
    written: list[tuple[str, Path]] = []
    monkeypatch.setattr(cli.site, "report", lambda *given: page)
    monkeypatch.setattr(predict, "export", lambda recipe, file: written.append((recipe.key, file)))
    cli.report("quick", dataset)
    file = tmp_path / "folder-1" / "recipe.keras"
    asked = experiments.RECIPES["elsewhere"][-1].replace(scale="quick", seed=42)
    own = dataset.startswith("folder")
    assert written == ([(asked.key, file)] if own else []) and (str(file) in capsys.readouterr().out) is own
