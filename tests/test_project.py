"""The project's surroundings: one source of versions, nothing of the machine that it was written on."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
FOUND_IF_THERE = {"torch", "torchvision"}  # `bench` compares with PyTorch where a reader has installed it
PYPI = {"pypi.org", "files.pythonhosted.org"}
NAMED_IN_CONDA = {"tensorflow", "jupyter", "matplotlib", "seaborn", "papermill", "nbval"}
MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(?:root|home|Users|work|workspace|mnt|private)/[\w.-]+")
REGISTRY = re.compile(r"--(?:extra-)?index(?:-url)?\b|--find-links\b|\bindex-url\s*=|/simple/?(?=[\s\"'])")


@pytest.fixture(scope="module")
def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def locked() -> dict[str, set[str]]:
    """Package to the versions that uv.lock holds: several where they depend on the Python."""
    versions: dict[str, set[str]] = {}
    for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]:
        versions.setdefault(package["name"], set()).add(package.get("version", ""))
    return versions


@pytest.fixture(scope="module")
def required() -> list[Requirement]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith(("#", "-"))]


def declared(pyproject: dict) -> list[Requirement]:
    lists = [pyproject["project"]["dependencies"], *pyproject["dependency-groups"].values()]
    return [Requirement(line) for group in lists for line in group]


def chosen_for(python: str, required: list[Requirement]) -> list[Requirement]:
    """The requirements that pip would install under a Python, such as '3.12', on this platform."""
    machine = {name: str(value) for name, value in default_environment().items()}
    machine |= {"python_version": python, "python_full_version": f"{python}.12"}
    return [one for one in required if one.marker is None or one.marker.evaluate(machine)]


def test_lock_holds_what_pyproject_asks_for(pyproject: dict, locked: dict[str, set[str]]) -> None:
    for requirement in declared(pyproject):
        versions = locked.get(requirement.name.lower(), set())
        assert versions, f"{requirement} is not locked: run `make lock`"
        assert all(requirement.specifier.contains(version) for version in versions), requirement


def imported(folder: str) -> Iterator[str]:
    """The top-level name of each module that the files of a folder import."""
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.split(".")[0]
            elif isinstance(node, ast.Import):
                yield from (each.name.split(".")[0] for each in node.names)


@pytest.mark.parametrize("folder", ["helpers", "tests", "notebooks"])
def test_every_imported_library_is_declared(folder: str, pyproject: dict) -> None:
    ours = {"helpers"} | {path.stem for path in (ROOT / "tests").glob("*.py")}
    asked = {canonicalize_name(one.name) for one in declared(pyproject)}
    distributions = packages_distributions()
    for name in set(imported(folder)) - sys.stdlib_module_names - ours - FOUND_IF_THERE:
        names = set(map(canonicalize_name, distributions.get(name, [name])))
        assert names & asked, f"{name} is imported in {folder} and not declared in pyproject.toml"


def test_requirements_are_the_lock(required: list[Requirement], locked: dict[str, set[str]]) -> None:
    pinned: dict[str, set[str]] = {}
    for requirement in required:
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", requirement
        pinned.setdefault(requirement.name, set()).add(specifier.version)
    ours = {"transfer-report"}
    assert pinned == {name: versions for name, versions in locked.items() if name not in ours}


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_requirements_pin_one_version_for_every_python(required: list[Requirement], python: str) -> None:
    chosen = [one.name for one in chosen_for(python, required)]
    assert len(chosen) == len(set(chosen))
    assert {"tensorflow", "keras", "papermill", "sphinx"} <= set(chosen)


def test_conda_environment_agrees(required: list[Requirement]) -> None:
    text = (ROOT / "environment.yml").read_text()
    python = re.search(r"- python=(\S+)", text)
    assert python, "environment.yml names its Python"
    versions = {one.name: next(iter(one.specifier)).version for one in chosen_for(python[1], required)}
    named = dict(re.findall(r"- (\w+)==(\S+)", text))
    assert named == {name: versions[name] for name in NAMED_IN_CONDA}
    assert "- -r requirements.txt" in text


def test_lock_names_only_pypi() -> None:
    addresses = re.findall(r"https?://[^\s\"']+", (ROOT / "uv.lock").read_text())
    assert {urlsplit(address).hostname for address in addresses} == PYPI


def test_makefile_pins_uv() -> None:
    assert re.search(r"^UV_VERSION := \d+\.\d+\.\d+$", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_makefile_lists_every_command() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"report", "test", "pdf", "clean"} <= set(commands)
    assert all(f"make {command} " in shown for command in commands)


def tracked() -> list[Path]:
    """Files that belong to the project: in version control, or about to be."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    result = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        pytest.skip("not a git checkout, so what belongs to the project is not known")
    return [ROOT / name for name in result.stdout.split("\0") if name and (ROOT / name).is_file()]


def strange(text: str) -> list[str]:
    """Paths of one machine, and settings of one package registry, in a text."""
    return [match.group() for pattern in (MACHINE_PATH, REGISTRY) for match in pattern.finditer(text)]


def test_nothing_of_one_machine_is_tracked() -> None:
    own = {Path(__file__), ROOT / "uv.lock"}  # the lock has its own test, above
    texts = [path for path in tracked() if path not in own and path.suffix not in {".npz", ".png"}]
    found = {str(path.relative_to(ROOT)): strange(path.read_text(errors="replace")) for path in texts}
    assert {name: hits for name, hits in found.items() if hits} == {}


@pytest.mark.parametrize(
    "text",
    [
        "cached in /root/.cache/x",
        '"path": "/home/someone/report"',
        "--extra-index-url https://mirror.example/simple",
        "index-url = 'https://mirror.example'",
    ],
)
def test_what_would_count_as_one_machines(text: str) -> None:
    assert strange(text)


@pytest.mark.parametrize("text", ["~/.keras/datasets", "notebooks/work/x", "https://example.org/home/page"])
def test_what_would_not(text: str) -> None:
    assert not strange(text)
