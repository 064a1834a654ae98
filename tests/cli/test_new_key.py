"""`flask oauth2 new-key`: a key of the client, kept private, and what to enter where."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest
from flask import Flask

from flask_oauth2_login import OAuth2Login
from flask_oauth2_login.protocol.private_keys import read_private_keys
from tests.cli.commands import installed as installed
from tests.cli.commands import run, run_flask
from tests.conftest import MakeApp
from tests.support.handlers import make_openid
from tests.support.provider import Provider

SETTINGS = {"SERVER_NAME": "app.example", "PREFERRED_URL_SCHEME": "https"}


@pytest.mark.parametrize("alg", [None, "ES256", "PS256", "RS256", "EdDSA"])
def test_the_key_is_a_line_for_the_environment(
    app: Flask, alg: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(app, "new-key", "sso", *(["--alg", alg] if alg else []))
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    name, _, value = line.partition("=")
    assert name == "FLASK_SSO_PRIVATE_KEY"
    monkeypatch.setenv(name, value.strip("'"))
    app.config.from_prefixed_env()
    (key,) = read_private_keys("private_key", app.config["SSO_PRIVATE_KEY"])
    assert key.algorithms == (alg or "ES256",)
    assert (key.use, key.kid) == ("sig", key.key.thumbprint())


@pytest.mark.security("C1")
def test_a_file_is_private_and_never_overwritten(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "sso.json"
    result = run(app, "new-key", "sso", "--file", str(file))
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (key,) = read_private_keys("private_key", file)
    written = file.read_text()
    private = json.loads(written)["d"]
    assert key.kid in result.output
    assert private not in result.output
    again = run(app, "new-key", "sso", "--file", str(file))
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    assert file.read_text() == written
    elsewhere = run(app, "new-key", "sso", "--file", str(tmp_path / "no" / "folder"))
    assert elsewhere.exit_code == 1
    assert "can't be written" in elsewhere.stderr


def test_what_is_entered_at_the_provider_is_told(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(
        OAuth2Login("ours", url_prefix="/ours"),
        OAuth2Login(make_openid(provider), name="sso", url_prefix="/sso"),
        OAUTH2_LOGIN_PROVIDERS={"ours": {"issuer": provider.issuer}},
        OURS_CLIENT_ID="id",
        OURS_CLIENT_SECRET="secret",
        **SETTINGS,
    )
    told = run(app, "new-key", "ours").stderr
    assert "  https://app.example/ours/jwks.json" in told
    assert "app.config['OURS_PRIVATE_KEY']" in told
    shown = json.loads(re.findall(r"^  (\{.*^  \})", told, re.DOTALL | re.MULTILINE)[0])
    assert {"d"}.isdisjoint(shown["keys"][0])
    told = run(app, "new-key", "sso").stderr
    assert "  https://app.example/sso/jwks.json" in told
    assert "private_key=app.config['SSO_PRIVATE_KEY']" in told
    assert "has a key already" not in told
    assert "https://<host><url_prefix>/jwks.json" in run(app, "new-key", "other").stderr


def test_a_second_key_waits_behind_the_first(provider: Provider, make_app: MakeApp) -> None:
    first = json.loads(
        run(make_app(), "new-key", "sso").stdout.partition("=")[2].strip().strip("'")
    )
    sso = make_openid(provider, private_key=first)
    app = make_app(OAuth2Login(sso, name="sso"))
    assert "give both in a list, the old one first" in run(app, "new-key", "sso").stderr


def test_tenants_have_a_variable_in_the_url(provider: Provider, make_app: MakeApp) -> None:
    login = OAuth2Login(
        lambda _: make_openid(provider), name="sso", tenant="org", url_prefix="/<org>/sso"
    )
    told = run(make_app(login), "new-key", "sso").stderr
    assert "https://<host>/<org>/sso/jwks.json" in told


def test_no_app_is_needed(tmp_path: Path, installed: dict[str, str]) -> None:
    done = run_flask(tmp_path, installed, "oauth2", "new-key", "sso")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("FLASK_SSO_PRIVATE_KEY='{")
