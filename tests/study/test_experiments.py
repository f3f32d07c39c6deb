"""The study's experiments keep their keys, and the records of results/ answer for them."""

import json
from pathlib import Path

import pytest

from helpers import paths
from helpers.records import store
from helpers.records.run import Run
from helpers.study import experiments

KEYS: dict[str, str] = json.loads(Path(__file__).with_name("keys.json").read_text())
"""The keys of TABLE, SWEEPS and RECIPES by name. A name may get more; a changed one orphans its records."""


@pytest.fixture(scope="module")
def records() -> list[Run]:
    runs, problems = store.read_folder(paths.RESULTS)
    assert problems == []
    return runs


def test_every_key_is_as_it_was() -> None:
    """A key that stands in keys.json never changes; one that is new is written there."""
    named = {f"TABLE: {name}": [each] for name, each in experiments.TABLE.items()}
    for kind in ("SWEEPS", "RECIPES"):
        named |= {f"{kind}: {name}": each for name, each in getattr(experiments, kind).items()}
    now = dict.fromkeys(KEYS, "")
    now |= {name: " ".join(each.key for each in listed) for name, listed in named.items()}
    gone = {name: lost for name, keys in KEYS.items() if (lost := set(keys.split()) - set(now[name].split()))}
    assert not gone, f"records answer to these keys: see 'Keep records valid' in CONTRIBUTING.md: {gone}"
    new = "\n".join(f' "{name}": "{keys}",' for name, keys in now.items() if keys != KEYS.get(name))
    assert not new, f"write into tests/study/keys.json, for these names:\n{new}"


def test_every_record_is_found_by_its_experiment(records: list[Run]) -> None:
    assert len(records) > 100
    assert [run.path.name for run in records if run.experiment.key != run.key] == []
    assert [
        run.path.name
        for run in records
        if run.path.name != f"{run.name}-{run.experiment.identity(run.fingerprints)}.json"
    ] == []


def test_a_record_of_the_study_answers(records: list[Run]) -> None:
    for name, experiment in experiments.TABLE.items():
        found = store.find(experiment, [paths.RESULTS], {})
        assert found is not None, name
        assert found.experiment == experiment
