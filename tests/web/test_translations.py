"""The languages of our pages: catalogues of gettext, used where the app has Flask-Babel."""

from __future__ import annotations

import gettext
import re
import typing as t
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from flask_babel import Babel

from flask_oauth2_login import OAuth2Login
from flask_oauth2_login.look.translator import FOLDER
from tests.conftest import MakeApp
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider
from tests.support.texts import TEMPLATES, bare_text, find_texts

LANGUAGES = ["de", "fr"]
PLACEHOLDER = re.compile(r"%\(\w+\)s")


def read_catalogue(language: str) -> Catalog:
    path = FOLDER / language / "LC_MESSAGES" / "flask_oauth2_login.po"
    with path.open("rb") as file:
        return read_po(file, locale=language)


def add_catalogue(folder: Path, language: str, texts: t.Mapping[str, str]) -> None:
    """Write a catalogue as the translators of an app would."""
    catalogue = Catalog(locale=language)
    for text, translated in texts.items():
        catalogue.add(text, translated)
    path = folder / language / "LC_MESSAGES" / "flask_oauth2_login.mo"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        write_mo(file, catalogue)


def visit(make_app: MakeApp, provider: Provider, locale: str, **config: t.Any) -> str:
    """Return the page of somebody who signs out in a language."""
    app = make_app(OAuth2Login(make_handler(provider), label="Acme"), **config)
    Babel(app, locale_selector=lambda: locale)
    browser = Browser(app, provider)
    browser.sign_in()
    return browser.get("/logout").text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_has_a_translation_and_no_translation_is_left_over(language: str) -> None:
    catalogue = {str(message.id): message for message in read_catalogue(language) if message.id}
    assert set(catalogue) == find_texts()
    for text, message in catalogue.items():
        assert message.string, text
        assert not message.fuzzy, text
        assert sorted(PLACEHOLDER.findall(str(message.string))) == sorted(PLACEHOLDER.findall(text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_compiled_catalogue_is_what_the_source_compiles_to(language: str) -> None:
    source = {str(each.id): str(each.string) for each in read_catalogue(language) if each.id}
    compiled = gettext.translation("flask_oauth2_login", FOLDER, [language])
    # There is no other way to list what a catalogue of gettext has.
    texts: dict[str, str] = dict(compiled._catalog)  # type: ignore[attr-defined]
    texts.pop("")
    assert texts == source


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_no_template_has_a_text_that_cannot_be_translated(template: Path) -> None:
    assert not re.search(r"\w", bare_text(template))


@pytest.mark.parametrize(
    ("locale", "lang", "text"),
    [
        ("de", "de", "Abmelden?"),
        ("de_AT", "de-AT", "Abmelden?"),
        ("fr", "fr", "Se déconnecter ?"),
        ("en_GB", "en-GB", "Sign out?"),
        ("ja", "en", "Sign out?"),
    ],
)
def test_pages_are_in_the_language_of_flask_babel(
    make_app: MakeApp, provider: Provider, locale: str, lang: str, text: str
) -> None:
    page = visit(make_app, provider, locale)
    assert f'<html lang="{lang}" dir="ltr">' in page
    assert f"<h1>{text}</h1>" in page


def test_errors_and_buttons_are_translated(make_app: MakeApp, provider: Provider) -> None:
    app = make_app(OAuth2Login(make_handler(provider), label="Acme"))
    Babel(app, locale_selector=lambda: "de")
    browser = Browser(app, provider)
    page = browser.get("/callback?code=x&state=x").text
    assert "Die Anmeldung hat nicht geklappt" in page
    assert "Diese Antwort gehört zu keiner Anmeldung" in page
    assert "Noch einmal versuchen" in page
    assert "Mit Acme anmelden" in browser.get("/logout").text


def test_an_app_adds_a_language_and_words_of_its_own_by_one_file(
    make_app: MakeApp, provider: Provider, tmp_path: Path
) -> None:
    folder = tmp_path / "translations"
    add_catalogue(folder, "he", {"Sign out?": "להתנתק?"})
    add_catalogue(folder, "de", {"Sign out?": "Ausloggen?"})
    config = {"BABEL_TRANSLATION_DIRECTORIES": str(folder)}
    page = visit(make_app, provider, "he", **config)
    assert '<html lang="he" dir="rtl">' in page
    assert "להתנתק?" in page
    page = visit(make_app, provider, "de", **config)
    assert "<h1>Ausloggen?</h1>" in page
    assert "Abbrechen" in page, "the others are ours"
