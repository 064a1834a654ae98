"""The contestants that are measured, their provider, and their apps, each of which is made once."""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

from flask import Flask

from .apps import Contestant
from .provider import OAUTH, RunningProvider


@dataclasses.dataclass(eq=False)
class Field:
    """The contestants, the provider and the apps, which all measures need."""

    contestants: t.Sequence[Contestant]
    provider: RunningProvider
    #: Where the apps keep files.
    folder: Path

    def __post_init__(self) -> None:
        self._apps: dict[str, Flask] = {}

    def app(
        self,
        contestant: Contestant,
        scheme: str = "http",
        plan: str = "typical",
        protocol: str = OAUTH,
    ) -> Flask:
        """Return the contestant's app for a provider, see :meth:`.RunningProvider.at`."""
        name = "-".join((contestant.name, scheme, plan, protocol)).replace(" ", "-")
        if name not in self._apps:
            folder = self.folder / name
            folder.mkdir()
            provider = self.provider.at(scheme, plan, protocol)
            self._apps[name] = contestant.make_app(provider, folder)
        return self._apps[name]

    def who_speaks(self, protocol: str) -> list[Contestant]:
        """Return the contestants that can use a protocol."""
        return [each for each in self.contestants if protocol in each.protocols]
