"""Whole apps that tests run: in this process, or on several worker processes of gunicorn."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import requests
from flask import Flask, request, session

from flask_oauth2_login import (
    Identity,
    OAuth2,
    OAuth2Login,
    Token,
    current_identity,
    current_oauth_session,
    login_required,
)

from . import ROOT
from .provider import Provider
from .servers import free_port, wait_until

#: Somebody else than the provider's own person, Ada.
EVE = {"sub": "eve", "name": "Eve", "email": "eve@example.com"}

#: For a test that holds wherever records are kept.
STORES = pytest.mark.parametrize("store", ["cookie", "session", "sqlite"])

#: Seconds to connect to the provider, and to wait for its answer.
TIMEOUT = (0.5, 3.0)


def add_views(app: Flask) -> None:
    """Add the views that most tests need.

    ``/`` for everybody, ``/me`` for whoever is signed in, ``/call/<path>`` for what the provider's
    API answers to them.
    """

    @app.get("/")
    def index() -> str:
        return "For everybody."

    @app.get("/me")
    @login_required
    def me() -> dict[str, t.Any]:
        return current_identity.to_dict()

    @app.get("/call/<path:path>")
    @login_required
    def call(path: str) -> tuple[t.Any, int]:
        answer = current_oauth_session.get(path)
        return answer.json(), answer.status_code


def add_cart(app: Flask) -> None:
    """Add views that write into the session, and that tell what is in it."""

    @app.get("/cart/<item>")
    def cart(item: str) -> list[str]:
        session["cart"] = [*session.get("cart", []), item]
        session["csrf_token"] = "before"
        return t.cast("list[str]", session["cart"])

    @app.get("/session")
    def everything() -> list[str]:
        return sorted(session)


def keep_sessions_on_the_server(app: Flask, folder: Path) -> None:
    from cachelib import FileSystemCache
    from flask_session import Session

    cache = FileSystemCache(str(folder / "sessions"))
    app.config |= {"SESSION_TYPE": "cachelib", "SESSION_CACHELIB": cache}
    Session(app)


def make_sessions_permanent(app: Flask) -> None:
    @app.before_request
    def last() -> None:
        session.permanent = True


def own(identity: Identity, _token: Token) -> None:
    identity.owner = identity.owner or f"user-{identity.id}"


def accounts(app: Flask, login: OAuth2Login, owner: str) -> list[str | None]:
    with app.app_context():
        return [identity.id for identity in login.accounts(owner)]


def make_site(
    provider: str,
    instance: str,
    store: t.Any = None,
    timeout: tuple[float, float] = TIMEOUT,
    *,
    dpop: bool = False,
    **login: t.Any,
) -> Flask:
    """An app with the views of the tests; each one of a folder continues what the last one did.

    :param provider: the provider's URL.
    :param instance: the app's instance folder.
    :param store: what ``OAuth2Login`` takes.
    :param timeout: seconds to connect to the provider, and to wait for its answer.
    :param dpop: whether tokens are bound to a key of each login.
    :param login: further options of ``OAuth2Login``.
    """
    app = Flask("site", instance_path=instance)
    app.config["SECRET_KEY"] = "the same in each process, and after a restart"
    handler = OAuth2(
        "the-client",
        "the-secret",
        provider,
        authorization_url="authorize",
        token_url="token",
        userinfo_url="userinfo",
        api_url=f"{provider}/api",
        timeout=timeout,
        dpop=dpop,
    )
    app.register_blueprint(OAuth2Login(handler, store=store, **login))
    add_views(app)
    return app


def make_worker() -> Flask:
    """That of gunicorn's workers, which note in a file who has begun to answer what."""
    instance = os.environ["INSTANCE"]
    app = make_site(os.environ["PROVIDER"], instance, os.environ.get("STORE"))

    @app.before_request
    def note() -> None:
        with Path(instance, "requests").open("a") as file:
            file.write(f"{os.getpid()} {request.path}\n")

    return app


class Site:
    """An app on several worker processes, of which each answers one request at a time.

    :param store: a store's URL, or None for the default.
    :param workers: how many there are; one that dies is replaced.
    """

    def __init__(self, provider: Provider, instance: Path, store: str | None, workers: int) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._notes = instance / "requests"
        self._environment = {**os.environ, "PROVIDER": provider.url, "INSTANCE": str(instance)}
        if store is not None:
            self._environment["STORE"] = store
        self._command = [
            sys.executable, "-m", "gunicorn", "--preload", "--workers", str(workers),
            "--graceful-timeout", "1", "--log-level", "critical", "--bind", f"127.0.0.1:{port}",
            "tests.support.apps:make_worker()",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=ROOT, env=self._environment)
        wait_until(lambda: requests.get(self.url, timeout=5).ok, self._process)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()

    def answering(self, path: str, count: int = 1) -> list[int]:
        """The processes that have begun to answer requests for a path, once there are so many."""
        found: list[int] = []

        def look() -> bool:
            lines = self._notes.read_text().splitlines()
            found[:] = [int(line.split()[0]) for line in lines if line.split()[1] == path]
            return len(found) >= count

        wait_until(look)
        return found


@contextlib.contextmanager
def serve(
    provider: Provider, instance: Path, store: str | None = None, *, workers: int = 2
) -> t.Iterator[Site]:
    """A site that runs."""
    site = Site(provider, instance, store, workers)
    try:
        site.start()
        yield site
    finally:
        site.stop()


@contextlib.contextmanager
def asleep(process: int) -> t.Iterator[None]:
    """Keep a process from doing anything, so that others do it."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)
