"""Print which modules of the package a request passes through: what a reader has to follow.

    .venv/bin/python -m benchmarks.files_passed

It signs in at the provider of the tests, once with records in cookies and once with records in a
database, and then lists the modules whose functions run in a guarded view, in a guarded view that
calls the API, and in one whose token is refreshed first.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
import types
import typing as t
from pathlib import Path

from flask import Flask

import flask_oauth2_login
from flask_oauth2_login import OAuth2, OAuth2Login, current_oauth_session, login_required
from tests.support.provider import Browser, Provider

PACKAGE = Path(flask_oauth2_login.__file__).parent


#: The functions that ran, as pairs of module and name.
Passed = set[tuple[str, str]]


@contextlib.contextmanager
def traced() -> t.Iterator[Passed]:
    """Collect the functions of the package that are called."""
    passed: Passed = set()

    def note(frame: types.FrameType, event: str, _argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            passed.add((str(path.relative_to(PACKAGE)), frame.f_code.co_qualname))

    sys.setprofile(note)
    try:
        yield passed
    finally:
        sys.setprofile(None)


def make_app(provider: Provider, folder: Path, store: str) -> Flask:
    """Return an app with a guarded view, and one that calls the API."""
    app = Flask("traced", instance_path=str(folder))
    app.config["SECRET_KEY"] = "a key for this measurement alone"
    handler = OAuth2(
        provider.client_id,
        provider.client_secret,
        provider.url,
        authorization_url="authorize",
        token_url="token",
        userinfo_url="userinfo",
        api_url=provider.api_url,
    )
    app.register_blueprint(OAuth2Login(handler, scope="read", store=store))

    @app.get("/guarded")
    @login_required
    def guarded() -> str:
        return "For people who have signed in."

    @app.get("/call")
    @login_required
    def call() -> str:
        return current_oauth_session.get("me").text

    return app


def measure(store: str) -> dict[str, Passed]:
    """Return the functions that each kind of request passes through, with a kind of store."""
    found: dict[str, Passed] = {}
    with Provider() as provider, tempfile.TemporaryDirectory() as folder:
        place = "cookie" if store == "cookie" else f"{store}:///{folder}/logins.db"
        browser = Browser(make_app(provider, Path(folder), place), provider)
        browser.sign_in()
        for path in ("/guarded", "/call"):
            browser.get(path)
            with traced() as found[path]:
                assert browser.get(path).status_code == 200
        # A token that lives for a second is due after that.
        provider.expires_in = 1
        browser.sign_in()
        time.sleep(1)
        with traced() as found["/call, after a refresh"]:
            assert browser.get("/call").status_code == 200
    return found


def main() -> None:
    for store in ("cookie", "sqlite"):
        for what, passed in measure(store).items():
            modules = sorted({module for module, _ in passed})
            print(f"{store}, {what}: {len(modules)} modules, {len(passed)} functions")
            print("   ", ", ".join(modules))


if __name__ == "__main__":
    main()
