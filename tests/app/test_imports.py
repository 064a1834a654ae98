"""What is imported when: little by an app's first lines, all the rest where a login is registered.

Each test runs a process of its own, because this one has imported everything.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

#: A whole visit at an app, and no module of this package that it loads after the registration.
_VISIT = """
import sys
from flask import Flask
from flask_oauth2_login import OAuth2Login, OpenIDConnect, current_identity, login_required
from tests.support.apps import add_views
from tests.support.provider import Browser, Provider

def loaded():
    return {name for name in sys.modules if name.startswith("flask_oauth2_login")}

with Provider() as provider:
    credentials = provider.client_id, provider.client_secret
    handler = OpenIDConnect(*credentials, provider.issuer, api_url=provider.api_url)
    login = OAuth2Login(handler, store=sys.argv[1])
    app = Flask("app", instance_path=sys.argv[2])
    app.config["SECRET_KEY"] = "a secret key of the tests, long enough"
    add_views(app)
    app.register_blueprint(login)
    before = loaded()
    browser = Browser(app, provider)
    assert browser.get("/me").status_code == 302
    assert browser.sign_in().status_code == 302
    assert browser.get("/me").json["id"] == "ada"
    assert browser.get("/call/me").status_code == 200
    with app.test_request_context():
        assert not login.identity
        assert not current_identity
        login.client_session()
    assert browser.post("/logout").status_code < 400
    assert browser.get("/me").status_code == 302
    assert loaded() == before, sorted(loaded() - before)
"""


def run(code: str, *arguments: str) -> None:
    """Run a program, and fail with its traceback if it ends with one."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


#: The names that an app imports at its top, and how many modules may then be loaded beside those
#: of Flask and requests.
@pytest.mark.parametrize(
    ("names", "most"),
    [
        ("OAuth2Login", 35),
        (
            "OAuth2Login, login_required, current_identity, current_oauth_session, logged_in",
            35,
        ),
    ],
    ids=["blueprint", "views"],
)
def test_the_first_lines_of_an_app_import_little(names: str, most: int) -> None:
    run(f"""
import sys, flask, requests
before = set(sys.modules)
from flask_oauth2_login import {names}
new = set(sys.modules) - before
assert len(new) <= {most}, sorted(new)
assert not {{"cryptography", "joserfc", "sqlite3"}} & set(sys.modules)
""")


@pytest.mark.parametrize("store", ["cookie", "session", "sqlite"])
def test_all_of_the_package_is_loaded_once_a_login_is_registered(
    tmp_path: Path, store: str
) -> None:
    run(_VISIT, f"sqlite:///{tmp_path}/logins.db" if store == "sqlite" else store, str(tmp_path))
