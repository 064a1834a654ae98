"""Modules that are imported when one of their names is first used."""

from __future__ import annotations

import typing as t
from importlib import import_module


class Later:
    """A module of this package that is not imported yet.

    It stands for what nothing needs before a login is registered. `registering` then imports all
    such modules, so that no request does.

    .. code-block:: python

        if t.TYPE_CHECKING:
            from . import jobs
        else:
            jobs = Later("jobs")

    :param name: the module's name within the package.
    """

    def __init__(self, name: str) -> None:
        self._module_name = name

    def __getattr__(self, name: str) -> t.Any:
        value = getattr(import_module(f".{self._module_name}", __package__), name)
        # The next use finds the attribute itself, and does not come here.
        setattr(self, name, value)
        return value
