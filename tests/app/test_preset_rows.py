"""The file of presets, as a whole: its lines, names, URLs, variables and words."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest
from flask import Flask
from joserfc.jwk import ECKey, RSAKey

import flask_oauth2_login
from flask_oauth2_login import OAuth2Login, OpenIDConnect
from flask_oauth2_login.client.answer_urls import SOURCES_OF, places_in
from flask_oauth2_login.providers.presets import (
    ROW_WORDS,
    find_preset,
    known_words,
    make_handler,
    preset_names,
    unconfirmed,
)
from flask_oauth2_login.providers.rows import find_row, row_names

PATH = Path(flask_oauth2_login.__file__).parent / "providers" / "presets.jsonl"
LINES = PATH.read_text("utf-8").splitlines()
ROWS: dict[str, dict[str, t.Any]] = {row["name"]: row for row in map(json.loads, LINES)}

PLACE = re.compile(r"\{([^{}]*)\}")
#: What braces may hold beside the variables of a row.
ANSWER = re.compile(r"(token|callback|userinfo)\.[A-Za-z0-9_.-]+")
#: A value for each variable that has no default.
PRIVATE_KEY = ECKey.generate_key("P-256").as_pem(private=True).decode()
RSA_KEY = RSAKey.generate_key(2048).as_pem(private=True).decode()
EXAMPLES = {"domain": "sso.example.com"}


def strings_in(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    for each in value if isinstance(value, list) else ():
        yield from strings_in(each)
    if isinstance(value, str):
        yield value


def urls_in(row: dict[str, t.Any]) -> dict[str, str]:
    return {word: row[word] for word in row if word == "issuer" or word.endswith("_url")}


def variables_of(row: dict[str, t.Any]) -> dict[str, str]:
    variables = row.get("variables", {})
    return {name: value or EXAMPLES.get(name, "x-1") for name, value in variables.items()}


def test_the_file_is_utf8_with_an_end_and_has_many_rows() -> None:
    text = PATH.read_bytes().decode("utf-8")
    assert text.endswith("}\n")
    assert "\r" not in text
    assert len(LINES) >= 220
    assert sum(row["sources"] >= 2 for row in ROWS.values()) >= 150


def test_names_are_unique_and_sorted() -> None:
    names = [json.loads(line)["name"] for line in LINES]
    assert names == sorted(set(names))
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)
    labels = [row["label"].lower() for row in ROWS.values()]
    assert len(labels) == len(set(labels))


def test_a_line_begins_with_its_name_so_that_no_other_is_parsed() -> None:
    assert row_names() == preset_names() == list(ROWS)
    for name, row in ROWS.items():
        assert find_row(name) == {word: row[word] for word in row if word != "name"}
    assert find_row("git") is None
    assert find_row('github", "label": "GitHub') is None


@pytest.mark.parametrize("name", ROWS)
def test_urls_are_https_and_well_formed(name: str) -> None:
    for word, url in urls_in(ROWS[name]).items():
        begins = r"(https://|\{(token|callback)\.\w)" if word == "api_url" else "https://"
        assert re.match(begins, url)
        assert re.fullmatch(r"[!#-&(-\[\]-~]+", url), "no white space, quotes or backslashes"
        assert "@" not in url.partition("://")[2].partition("/")[0]


@pytest.mark.parametrize("name", ROWS)
def test_every_variable_is_declared_and_used(name: str) -> None:
    row = ROWS[name]
    # The braces of GraphQL are no places.
    texts = {word: value for word, value in row.items() if word not in {"userinfo_query", "notes"}}
    texts["authorize_params"] = {
        word: value
        for word, value in row.get("authorize_params", {}).items()
        if not value.startswith("{")
    }
    found = {place for text in strings_in(texts) for place in PLACE.findall(text)}
    declared = set(row.get("variables", {}))
    assert {place for place in found if not ANSWER.fullmatch(place)} - {"client_id"} == declared
    used = {place for url in urls_in(row) for place in PLACE.findall(str(row[url]))}
    others = [*strings_in([row.get(word) for word in ("headers", "signed_secret")])]
    others += [row.get("redirect_name", "")]
    assert declared <= used | {place for text in others for place in PLACE.findall(text)}
    assert not declared & set(known_words({}))
    for word, url in urls_in(row).items():
        for source in ("token", "callback", "userinfo"):
            assert source in SOURCES_OF.get(word, ()) or not places_in([url], source)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_has_only_known_words_of_the_right_kind(name: str) -> None:
    row = ROWS[name]
    assert set(row) <= {"name", *known_words(row), *ROW_WORDS}
    for word in ("headers", "authorize_params", "token_params", "refresh_params", "userinfo_form"):
        assert all(isinstance(each, str) for each in strings_in(row.get(word, {})))
        assert all(isinstance(each, str) for each in row.get(word, {}).values())
    assert all(isinstance(value, str | None) for value in row.get("variables", {}).values())
    assert isinstance(row["sources"], int)
    assert row.get("confirmed", False) is False
    assert isinstance(row.get("client_auth"), str) or set(row["signed_secret"]) == {
        "key_id", "issuer", "audience",
    }  # fmt: skip
    assert row.get("scope", "x").strip() == row.get("scope", "x") != ""
    for text in (row["label"], row.get("notes", "A.")):
        assert text == text.strip() != ""
    assert row.get("notes", "A.").endswith(".")
    # Who somebody is: an ID token, an endpoint, or the token's answer.
    of_token = str(row.get("identity", {}).get("id")).startswith("token:")
    assert "issuer" in row or "userinfo_url" in row or of_token
    assert "issuer" in row or "id" in row["identity"]
    assert ("issuer" in row) != ({"authorization_url", "token_url"} <= set(row))


@pytest.mark.parametrize("name", ROWS)
def test_a_row_makes_a_handler(name: str) -> None:
    key = RSA_KEY if "assertion_algorithm" in ROWS[name] else PRIVATE_KEY
    preset = find_preset(name, preset={**variables_of(ROWS[name]), "private_key": key})
    handler = make_handler(name, preset, "the-client", "the-secret")
    assert isinstance(handler, OpenIDConnect) == ("issuer" in ROWS[name])
    assert handler.label == ROWS[name]["label"]
    left = {**preset, **dict.fromkeys(("userinfo_query", "authorize_params", "notes"))}
    places = {place for text in strings_in(left) for place in PLACE.findall(text)}
    assert all(ANSWER.fullmatch(place) or place == "client_id" for place in places)


@pytest.mark.parametrize("name", [name for name in ROWS if "console" in ROWS[name]])
def test_the_words_of_a_console_are_for_what_is_registered(name: str) -> None:
    row, words = ROWS[name], ROWS[name]["console"]
    entered = {
        "redirect_uri", "redirect_domain", "post_logout_redirect_uri", "backchannel_logout_uri",
    }  # fmt: skip
    copied = {"client_id", "client_secret"}
    if row.get("client_auth") == "none":
        copied = {"client_id"}
    if "signed_secret" in row:
        copied = {"client_id", "private_key"}
    assert words
    assert set(words) <= {*entered, *copied, *row.get("variables", {})}
    assert not {"redirect_uri", "redirect_domain"} <= set(words)
    assert "issuer" in row or not {*words} & entered - {"redirect_uri", "redirect_domain"}
    for text in words.values():
        assert text == text.strip() != ""
        assert not set(text) & set("|`{}\n"), "it stands in tables"


def test_the_consoles_of_the_providers_that_most_people_use_are_known() -> None:
    for name, row in ROWS.items():
        if row["sources"] >= 10:
            assert {"redirect_uri", "redirect_domain"} & set(row.get("console", {})), name


def test_a_preset_that_is_unconfirmed_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert unconfirmed() == [name for name, row in ROWS.items() if "confirmed" in row]
    assert "github" not in unconfirmed()
    assert "anilist" in unconfirmed()
    app = Flask("unconfirmed")
    app.config |= {
        "SECRET_KEY": "x" * 32,
        **{f"{name}_CLIENT_ID": "id" for name in ("ANILIST", "DISCORD")},
        **{f"{name}_CLIENT_SECRET": "secret" for name in ("ANILIST", "DISCORD")},
    }
    app.register_blueprint(OAuth2Login("discord"), url_prefix="/discord")
    assert caplog.text == ""
    app.register_blueprint(OAuth2Login("anilist"), url_prefix="/anilist")
    (told,) = caplog.messages
    assert "'anilist' is unconfirmed" in told
    assert "token_url=https://anilist.co/" in told
