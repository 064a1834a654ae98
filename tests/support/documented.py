"""The Python code of the documentation: found in the pages, and run as a reader would.

The blocks of a page run in order, each with the names of those before it. A page does not repeat
what its readers have: `Readers` gives it to each block. No address of the Internet is reached: a
preset that a block names leads to the provider of the tests, unless the block itself says where it
is, and a PostgreSQL is a SQLite file.

A block runs in the request of somebody who is signed in. The pages that it adds to an app are then
visited, by a stranger and by somebody who signs in.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import textwrap
import types
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import flask
from flask import Blueprint, Flask
from jinja2 import DictLoader
from joserfc.jwk import ECKey

import flask_oauth2_login
from flask_oauth2_login import OAuth2, OAuth2Login, SQLiteStore
from flask_oauth2_login.providers.rows import find_row

from . import ROOT
from .handlers import make_handler
from .provider import Browser, Provider
from .provider.tls import write_files

#: The presets without ID tokens that have a place at the provider of the tests.
WITHOUT_ID_TOKENS = ("github", "discord")

#: The layout that readers have in their own app.
LAYOUT = "<main>{% block content %}{% endblock %}</main>"

_PRESET = re.compile(r"""OAuth2Login\(\s*"(\w+)"(.*)""")
_POSTGRESQL = re.compile(r"""(?<=")postgresql\+psycopg://[^"]*""")
_TEMPLATE = re.compile(r"^```jinja\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^( *)```python( before)?\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(t.NamedTuple):
    """A block of code in a page."""

    page: str
    line: int
    code: str
    #: True for code of another library, which is marked by ```` ```python before````.
    is_foreign: bool


def pages() -> list[Path]:
    """README and the pages of docs/, without those that are made from the presets."""
    written = [
        page
        for page in sorted((ROOT / "docs").rglob("*.md"))
        if not page.read_text("utf-8").startswith("<!-- Made by")
    ]
    return [ROOT / "README.md", *written]


def read_blocks(page: Path) -> list[Block]:
    text, name = page.read_text("utf-8"), page.relative_to(ROOT).as_posix()
    return [
        Block(
            name,
            text.count("\n", 0, found.start(3)) + 1,
            textwrap.dedent(found[3]),
            is_foreign=bool(found[2]),
        )
        for found in _BLOCK.finditer(text)
    ]


def read_templates(page: Path) -> list[str]:
    return _TEMPLATE.findall(page.read_text("utf-8"))


class Readers:
    """The readers of a page, who run its blocks.

    They have an app, with a login at GitHub where they are signed in unless the block registers
    logins itself; the names of Flask and of this package; a handler, a store, and a queue of jobs;
    a client's keys and certificate.
    """

    def __init__(self, provider: Provider, folder: Path) -> None:
        self._provider, self._folder = provider, folder
        # The client's certificate.
        write_files(folder)
        self._numbers = itertools.count()
        self._executor = ThreadPoolExecutor(1)
        self._names: dict[str, t.Any] = {
            **{name: value for name, value in vars(flask).items() if name[0] != "_"},
            **{name: getattr(flask_oauth2_login, name) for name in dir(flask_oauth2_login)},
            "__name__": "documented",
            "client_id": provider.client_id,
            "client_secret": provider.client_secret,
            "celery": types.SimpleNamespace(task=lambda function: function),
            "executor": self._executor,
            "is_member": lambda _: True,
        }

    def __enter__(self) -> Readers:
        with self._environment('OAuth2Login("github")'):
            browser = Browser(self._make_app(OAuth2Login("github")), self._provider)
            browser.sign_in()
        self._cookies = browser.jar.header("http://localhost/", "none", safe=True, top_level=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        # What the page has made can be collected now.
        self._names.clear()
        # A page says how to see more in the log.
        logging.getLogger("flask_oauth2_login").setLevel(logging.NOTSET)

    def _environment(self, code: str) -> t.ContextManager[t.Any]:
        """Set the variables that readers of some code have set."""
        settings = _settings(self._provider, f'{code}\nOAuth2Login("github")')
        variables = {
            f"FLASK_{key}": value if isinstance(value, str) else json.dumps(value)
            for key, value in settings.items()
        }
        return mock.patch.dict(os.environ, variables)

    def run(self, block: Block) -> Flask:
        """Run a block, and return the app that it has made or added to."""
        with self._environment(block.code):
            return self._run(block)

    def render(self, template: str) -> str:
        """Return what a template of an app shows to somebody who is signed in."""
        with self._environment(template):
            app = self._make_app(OAuth2Login("github"))
        app.jinja_loader = DictLoader({"base.html": LAYOUT})
        with app.test_request_context(headers={"Cookie": self._cookies or ""}):
            return flask.render_template_string(template)

    def _run(self, block: Block) -> Flask:
        names, login = self._names, OAuth2Login("github")
        registers = "register_blueprint(" in block.code
        app = self._make_app(*(() if registers else (login,)))
        admin = Blueprint("admin", "documented", url_prefix="/admin")
        names |= {
            "app": app,
            "login": login,
            "github": login,
            "handler": make_handler(self._provider),
            "store": SQLiteStore(Path(app.instance_path, "logins.db")),
            "admin": admin,
        }
        before = {id(value) for value in names.values()}
        text = _POSTGRESQL.sub(f"sqlite:///{app.instance_path}/postgresql.db", block.code)
        code = compile("\n" * (block.line - 1) + text, str(ROOT / block.page), "exec")
        with app.test_request_context(headers={"Cookie": self._cookies or ""}):
            exec(code, names)  # noqa: S102  (the project's own)
        # A fixture of pytest may have that name, too.
        made = names["app"] if isinstance(names["app"], Flask) else app
        for value in list(names.values()):
            is_new = isinstance(value, OAuth2Login) and id(value) not in before
            if is_new and value.name not in made.blueprints:
                made.register_blueprint(value, url_prefix=f"/{value.name}")
        if admin.name not in made.blueprints:
            made.register_blueprint(admin)
        return made

    def _make_app(self, *logins: OAuth2Login) -> Flask:
        folder = self._folder / f"instance-{next(self._numbers)}"
        folder.mkdir()
        app = Flask("documented", instance_path=str(folder))
        app.config.from_prefixed_env()
        for login in logins:
            app.register_blueprint(login)
        return app


def _settings(provider: Provider, code: str) -> dict[str, t.Any]:
    """The configuration that the readers of some code have in their environment."""
    oauth = {
        "authorization_url": f"{provider.url}/authorize",
        "token_url": f"{provider.url}/token",
        "userinfo_url": f"{provider.url}/userinfo",
        "email_url": None,
        "api_url": provider.api_url,
        "identity": {"id": "sub", "name": "name"},
    }
    openid = {"issuer": provider.issuer, "api_url": provider.api_url}
    presets: dict[str, t.Any] = {}
    settings: dict[str, t.Any] = {"SECRET_KEY": "a secret", "OAUTH2_LOGIN_PROVIDERS": presets}
    for name in ("SSO_PRIVATE_KEY", "SSO_OLD_PRIVATE_KEY", "SSO_DECRYPTION_KEY"):
        settings[name] = ECKey.generate_key("P-256").as_pem(private=True).decode()
    for found in _PRESET.finditer(code):
        name, key = found[1], found[1].upper()
        settings[f"{key}_CLIENT_ID"] = provider.client_id
        if '"profile": "fapi' not in code:
            settings[f"{key}_CLIENT_SECRET"] = provider.client_secret
        row = find_row(name) or {}
        if "signed_secret" in row:
            # It stays where it is, because its client has a key and no secret.
            settings |= {f"{key}_{variable.upper()}": "example" for variable in row["variables"]}
            settings[f"{key}_PRIVATE_KEY"] = (
                ECKey.generate_key("P-256").as_pem(private=True).decode()
            )
        elif "preset=" not in found[2] and f'["{key}_' not in code:
            presets[name] = oauth if name in WITHOUT_ID_TOKENS else openid
    return settings


def visit(app: Flask, provider: Provider) -> None:
    """Visit all pages of an app that have no variables, as a stranger and after signing in."""
    app.config["PROPAGATE_EXCEPTIONS"] = True
    extension = app.extensions.get("oauth2_login")
    if extension is None:
        return
    browser = Browser(app, provider)
    _visit_all(app, browser)
    for login in extension.logins.values():
        # A login with tenants has a handler for each of them.
        handler = getattr(login, "handler", None)
        if handler is not None and _is_here(handler, provider):
            with app.test_request_context():
                path = flask.url_for(f"{login.name}.login")
            browser.sign_in(path)
    _visit_all(app, browser)


def _is_here(handler: OAuth2, provider: Provider) -> bool:
    """Return True if somebody can sign in at a login in a test: its provider and app are here."""
    is_elsewhere = bool(handler.redirect_uri)
    return provider.url in (handler.issuer or handler.authorization_url) and not is_elsewhere


def _visit_all(app: Flask, browser: Browser) -> None:
    logins = app.extensions["oauth2_login"].logins
    for rule in app.url_map.iter_rules():
        is_own = rule.endpoint.rpartition(".")[0] in logins
        if not is_own and not rule.arguments and "GET" in (rule.methods or ()):
            response = browser.get(rule.rule)
            assert response.status_code < 500, f"{rule.rule}: {response.status}\n{response.text}"
