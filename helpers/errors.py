"""The one base of all errors that a user can mend."""

from __future__ import annotations


class UserError(Exception):
    """Something that the user can mend: the message names the thing, the value and the cure.

    The command line shows it as one line. Not a ValueError, which tyro would take for one of its own.
    """
