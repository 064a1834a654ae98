"""Apps of the extension in several sizes, and visitors who are signed in there."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import typing as t
from pathlib import Path

from flask import Flask

from flask_oauth2_login import OAuth2Login, RedisStore, SQLiteStore
from flask_oauth2_login.stores.base import ENDED, TokenStore

from ..apps import OURS, Contestant
from ..apps.ours import make_handler
from ..provider import Provider, RunningProvider
from ..visitor import Visitor
from . import fill


@dataclasses.dataclass(frozen=True)
class Ground:
    """What all measures of growth need.

    :param folder: where apps keep files.
    :param redis: the URL of a Redis, without a database; None if there is none.
    :param stack: closes what a measure opens.
    """

    provider: RunningProvider
    folder: Path
    redis: str | None
    stack: contextlib.ExitStack

    def app(
        self, contestant: Contestant = OURS, provider: Provider | None = None, **settings: object
    ) -> Flask:
        """Return a new app of a contestant, with a folder of its own."""
        return contestant.make_app(
            provider or self.provider.at(), self.new_folder(contestant), **settings
        )

    def new_folder(self, contestant: Contestant) -> Path:
        """Return a new, empty folder for an app."""
        folder = self.folder / f"{contestant.module}-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        return folder

    def app_with_logins(self, count: int) -> Flask:
        """Return an app with a number of logins. The one at ``/login`` was registered first."""
        app = self.app()
        for index in range(1, count):
            login = OAuth2Login(make_handler(self.provider.at()), name=f"login-{index}")
            app.register_blueprint(login, url_prefix=f"/{index}")
        return app

    def app_with_ended_logins(self, count: int) -> Flask:
        """Return an app with the default store, in whose shared file logins have ended."""
        provider, folder = self.provider.at(), self.new_folder(OURS)
        first = OURS.make_app(provider, folder)
        Visitor(first).sign_in()
        [path] = folder.glob("oauth2_login/*.db")
        fill.sqlite(path, count, ENDED)
        # The app opens the file again, and makes a map of the records in it.
        return OURS.make_app(provider, folder)

    def app_with_records_in_file(self, count: int) -> Flask:
        """Return an app whose `SQLiteStore` has a number of records, each as a login makes it."""
        path = self.new_folder(OURS) / "logins.db"
        store = SQLiteStore(path)
        self.stack.callback(store.close)
        app, sealed = self._app_with_record(store)
        fill.sqlite(path, count - 1, sealed)
        return app

    def app_with_records_in_redis(self, count: int) -> Flask:
        """Return an app whose `RedisStore` has a number of records, each as a login makes it."""
        client, prefix = fill.redis_client(f"{self.redis}/0"), f"logins-{count}:"
        self.stack.callback(client.close)
        app, sealed = self._app_with_record(RedisStore(client, prefix=prefix))
        fill.redis(client, prefix, count - 1, sealed)
        return app

    def _app_with_record(self, store: TokenStore) -> tuple[Flask, str]:
        """Return an app where somebody has signed in, and that person's sealed record."""
        app = self.app(OAUTH2_LOGIN_STORE=store)
        Visitor(app).sign_in()
        [id] = store.scan(None, 2)
        stored = store.read(id)
        assert stored is not None
        return app, stored.sealed


def signed_in(app: Flask, clock: t.Callable[[], float] = time.process_time) -> Visitor:
    """Return a visitor who has signed in."""
    visitor = Visitor(app, clock)
    visitor.sign_in()
    return visitor
