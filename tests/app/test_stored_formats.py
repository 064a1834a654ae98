"""What earlier versions stored still opens: session entries, cookies, and rows of a store."""

from __future__ import annotations

import json
import sqlite3
import typing as t
from pathlib import Path

import pytest
from flask import Flask

from flask_oauth2_login import OAuth2, OAuth2Login, OpenIDConnect
from tests.conftest import MakeApp

#: What the version before the folders of today stored, for a sign-in at each login below. Each file
#: here is what one version wrote, and stays as it is.
STORED = sorted(Path(__file__, "..", "stored").resolve().glob("*.json"))
#: Nobody answers there; nobody is asked.
PROVIDER = "http://127.0.0.1:18491"
CENTURY = 100 * 365 * 24 * 3600


def make_logins(database: Path) -> list[OAuth2Login]:
    """A login that keeps its records in cookies, and one that keeps them in a database."""
    plain = OAuth2(
        "the-client",
        "the-secret",
        PROVIDER,
        authorization_url="authorize",
        token_url="token",
        userinfo_url="userinfo",
    )
    metadata = {
        "issuer": PROVIDER,
        "authorization_endpoint": f"{PROVIDER}/authorize",
        "token_endpoint": f"{PROVIDER}/token",
        "userinfo_endpoint": f"{PROVIDER}/userinfo",
        "jwks_uri": f"{PROVIDER}/jwks",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }
    sso = OpenIDConnect("the-client", "the-secret", PROVIDER, metadata=metadata)
    return [
        OAuth2Login(plain, name="plain", scope="read", claims=["groups"]),
        OAuth2Login(
            sso, name="sso", scope="openid email", store=f"sqlite:///{database}", offline=True
        ),
    ]


def make_site(make_app: MakeApp, logins: list[OAuth2Login]) -> Flask:
    return make_app(
        *logins,
        SECRET_KEY="the key of what is stored here, for good",
        PERMANENT_SESSION_LIFETIME=CENTURY,
    )


@pytest.fixture(params=STORED, ids=lambda path: path.stem)
def stored(request: pytest.FixtureRequest) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", json.loads(request.param.read_text()))


def test_what_an_earlier_version_stored_still_opens(
    make_app: MakeApp, tmp_path: Path, stored: dict[str, t.Any]
) -> None:
    database = tmp_path / "logins.db"
    with sqlite3.connect(database) as connection:
        connection.executescript(stored["database"])
    connection.close()
    plain, sso = logins = make_logins(database)
    app = make_site(make_app, logins)

    @app.get("/both")
    def both() -> dict[str, t.Any]:
        return {
            login.name: [login.identity and login.identity.to_dict(), login.token]
            for login in (plain, sso)
        }

    browser = app.test_client()
    for name, value in stored["cookies"].items():
        browser.set_cookie(name, value)
    expected = stored["answer"]
    for identity, _ in expected.values():
        # What was stored before there were roles has none.
        identity.setdefault("roles", [])
    assert browser.get("/both").json == expected
    with app.app_context():
        (account,) = sso.accounts("sso::ada")
        (sign_in,) = sso.sign_ins("sso::ada")
    assert (account.id, account.email) == ("ada", "ada@example.com")
    # What was stored before user agents were has none.
    assert (sign_in.user_agent, sign_in.current) == ("", False)
