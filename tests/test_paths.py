"""Places: stated ones are absolute, and the usual ones are looked up only where they are needed."""

from pathlib import Path

import pytest

from helpers import paths
from helpers.data import cifar10, folder, sources
from helpers.data.split import DataError


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No HOME, and a user that the system does not know: '~' stays as it is."""
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    for name in ("HOME", "XDG_CACHE_HOME", *paths.PLACES):
        monkeypatch.delenv(name, raising=False)


def test_without_a_home_the_cache_has_to_be_stated(homeless: None) -> None:
    with pytest.raises(paths.CacheError, match="no home folder .*: set HOME, or REPORT_CACHE"):
        paths.cache_folder()


def test_without_a_home_stated_places_do(
    homeless: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPORT_CACHE", str(tmp_path))
    assert paths.writable_cache() == tmp_path
    assert cifar10.locate() is None


def test_a_child_process_gets_absolute_places_and_this_package_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPORT_BUILD", "built here")
    monkeypatch.setenv("PYTHONPATH", "/mine")
    child = paths.environment()
    assert child["REPORT_BUILD"] == str(paths.build_folder()) == str(tmp_path / "built here")
    assert child["PYTHONPATH"].split(":") == [str(paths.ROOT), "/mine"]


def test_a_bound_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for bound in ("much", "inf", "nan"):
        monkeypatch.setenv("REPORT_CACHE_GB", bound)
        with pytest.raises(paths.CacheError, match=f"REPORT_CACHE_GB='{bound}' is not a number"):
            paths.cache_bound()


def test_a_home_that_is_nobodys_stays_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that what looks there says that nothing is there."""
    monkeypatch.chdir(tmp_path)
    assert paths.whole("~nobody-of-that-name/x") == tmp_path / "~nobody-of-that-name" / "x"
    assert paths.whole("below/..") == tmp_path
    with pytest.raises(DataError, match="~nobody-of-that-name"):
        folder.scan(Path("~nobody-of-that-name/pictures"))
    with pytest.raises(DataError, match="~nobody-of-that-name"):
        monkeypatch.setenv("CIFAR10_DIR", "~nobody-of-that-name/batches")
        cifar10.locate()
    assert sources.described("folder:.") == f"own images ({tmp_path.name})"
