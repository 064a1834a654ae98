"""The pages on providers: those that are made from the presets, and those written by hand."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from flask import Flask
from joserfc.jwk import ECKey, RSAKey

from flask_oauth2_login.providers.described import describe
from flask_oauth2_login.providers.presets import preset_names
from tests.support.preset_walks import WALKS

DOCS = Path(__file__).parents[2] / "docs"
SCRIPT = runpy.run_path(str(DOCS / "make_provider_pages.py"))
#: Whose page was written by hand.
BY_HAND = (
    "apple", "auth0", "discord", "github", "gitlab", "google", "keycloak", "microsoft", "okta",
    "slack",
)  # fmt: skip
PRIVATE_KEY = ECKey.generate_key("P-256").as_pem(private=True).decode()

RSA_KEY = RSAKey.generate_key(2048).as_pem(private=True).decode()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The page of each provider, as it is made."""
    folder = tmp_path_factory.mktemp("pages")
    assert SCRIPT["write_pages"](folder) == len(preset_names())
    return {page.stem: page.read_text("utf-8") for page in folder.iterdir()}


def make_app() -> Flask:
    """Return an app in which the variables of all presets are set."""
    app = Flask("provider_pages")
    app.config |= {"SECRET_KEY": "x" * 32, "OAUTH2_LOGIN_STORE": "sqlite:///:memory:"}
    for name, walk in WALKS.items():
        values = {"client_id": "the-client", "client_secret": "the-secret", **walk.get("set", {})}
        if walk["token"]["auth"] == "assertion":
            values["private_key"] = RSA_KEY
        app.config |= {f"{name}_{word}".upper(): value for word, value in values.items()}
    app.config |= {"APPLE_PRIVATE_KEY": PRIVATE_KEY, "APPLE_CLIENT_SECRET": None}
    return app


def run(page: str) -> Flask:
    """Run the one block of Python of a page in an app, and return the app."""
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    app = make_app()
    exec(compile(block, "page", "exec"), {"app": app})  # noqa: S102
    return app


def test_the_table_of_all_presets_is_what_the_command_makes() -> None:
    page = (DOCS / "providers.md").read_text("utf-8")
    assert SCRIPT["with_table"](page) == page, "run docs/make_provider_pages.py"
    stale = page.replace("| `zoom` |", "| `zoom2` |").replace("There are 2", "There are 12")
    assert stale != page
    assert SCRIPT["with_table"](stale) == page


def test_every_preset_has_a_page(pages: dict[str, str]) -> None:
    assert sorted(pages) == preset_names()


def test_a_page_says_what_to_enter_and_what_to_set(pages: dict[str, str]) -> None:
    for name, page in pages.items():
        told = describe(name)
        parts = [f"\n# {told.label}\n", *told.oddities, told.confidence]
        parts += [f"| `{setting.key}` |" for setting in told.settings]
        assert [part for part in parts if part not in page] == [], name
        assert f"`https://<host>/{name}/callback`" in page or "`<host>` |" in page


@pytest.mark.slow
def test_the_lines_of_each_page_register_its_login(pages: dict[str, str]) -> None:
    for name, page in pages.items():
        app = run(page)
        assert [*app.extensions["oauth2_login"].logins] == [name]


@pytest.mark.parametrize("name", BY_HAND)
def test_a_page_that_was_written_by_hand_has_what_to_enter_and_to_set(name: str) -> None:
    page = (DOCS / "providers" / f"{name}.md").read_text("utf-8")
    told = describe(name)
    assert [each.key for each in told.settings if f"`{each.key}`" not in page] == []
    plain = page.replace("*", "")
    assert [each.field for each in told.entries if each.field not in plain] == []
    assert told.register_url in page or "<" in told.register_url


def test_a_page_that_was_written_by_hand_stays(tmp_path: Path) -> None:
    (tmp_path / "zoom.md").write_text("# Zoom\n\nBy hand.\n")
    (tmp_path / "xero.md").write_text(f"{SCRIPT['MARK']}\n\nOf yesterday.\n")
    assert SCRIPT["write_pages"](tmp_path) == len(preset_names()) - 1
    assert (tmp_path / "zoom.md").read_text() == "# Zoom\n\nBy hand.\n"
    assert "Of yesterday" not in (tmp_path / "xero.md").read_text()
