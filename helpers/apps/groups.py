"""Packages of a dependency group, which the report does without: imported where one is used."""

import importlib
from typing import Any

from helpers.errors import UserError


class MissingPackageError(UserError):
    """A package of a dependency group is not installed."""


def imported(name: str, group: str) -> Any:
    """A module of a dependency group of pyproject.toml.

    Raises MissingPackageError, which names the package that is missing and the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"{error.name} is not installed; this cures it: make .venv/.{group}"
        ) from None
