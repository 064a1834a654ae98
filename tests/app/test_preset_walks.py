"""Every preset signs somebody in, from its row alone, over real HTTP.

What each provider wants and how it answers is in ``preset_walks.jsonl``, a provider a line. These
facts were written from what other code bases say of the providers, not from the rows, so that a
wrong path or parameter in a row fails here. The hosts of all of them are one server on loopback.
"""

from __future__ import annotations

import base64
import json
import re
import time
import typing as t
from html import unescape
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import ECKey

from flask_oauth2_login import OAuth2Login, current_identity, current_oauth_session, login_required
from flask_oauth2_login.providers.presets import preset_names
from tests.support.any_host import AnyHost, Call, Reply
from tests.support.provider.signing import make_key, sign

Facts = dict[str, t.Any]

WALKS: dict[str, Facts] = {
    walk["name"]: walk
    for walk in map(
        json.loads, (Path(__file__).parent / "preset_walks.jsonl").read_text("utf-8").splitlines()
    )
}
SECRET = "the-secret-of-thirty-two-letters"
CALLBACK = "http://localhost/callback"
#: Whose key is downloaded from the provider, where a client signs its secret.
SIGNER = ECKey.generate_key("P-256")


@pytest.fixture
def hosts(no_thread_left: None) -> t.Iterator[AnyHost]:
    """All hosts of the Internet."""
    with AnyHost() as hosts:
        yield hosts


def test_every_preset_has_its_facts() -> None:
    assert sorted(WALKS) == preset_names()


def make_site(walk: Facts, hosts: AnyHost) -> Flask:
    app, name = Flask("walks"), walk["name"]
    app.config |= {
        "SECRET_KEY": "x" * 32,
        "TESTING": True,
        f"{name.upper()}_CLIENT_ID": "the-client",
        f"{name.upper()}_CLIENT_SECRET": SECRET,
    }
    preset = {"proxies": {"https": hosts.proxy}, "verify": hosts.ca_file, **walk.get("set", {})}
    if walk["token"]["auth"] == "signed":
        preset["private_key"] = SIGNER.as_pem(private=True).decode()
        del app.config[f"{name.upper()}_CLIENT_SECRET"]
    app.register_blueprint(OAuth2Login(name, preset=preset))

    @app.get("/me")
    @login_required
    def me() -> dict[str, t.Any]:
        return current_identity.to_dict()

    @app.get("/call")
    @login_required
    def call() -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", current_oauth_session.get("probe").json())

    return app


def without_query(url: str) -> tuple[str, dict[str, str]]:
    base, _, query = url.partition("?")
    base += "/" if base.count("/") == 2 else ""
    return base, dict(parse_qsl(query, keep_blank_values=True))


def read_json(params: dict[str, str]) -> Facts:
    return {name: json.loads(v) if v.startswith("{") else v for name, v in params.items()}


class StandIn:
    """The provider of a walk: it knows its facts alone, and nothing of the row."""

    def __init__(self, walk: Facts) -> None:
        self.walk = walk
        self.nonce: str | None = None
        self.key = make_key("ES256" if walk.get("id_token", {}).get("alg") == "ES256" else "RS256")

    def answer(self, call: Call) -> Reply | None:
        walk = self.walk
        places = {name: without_query(walk[name]["url"])[0] for name in STEPS if name in walk}
        if call.url == walk.get("metadata", {}).get("document", {}).get("jwks_uri"):
            return Reply({"keys": [self.key.public()]})
        if call.url == f"{walk.get('api', '')}/probe":
            return Reply({"api": True})
        for name in ("token", "metadata", "email", "userinfo"):
            if call.url == places.get(name) and (name != "userinfo" or self.has_bearer(call)):
                facts = walk[name]
                body = facts.get("document", facts.get("answer"))
                if name == "token":
                    body = self.with_id_token(body)
                body = urlencode(body) if facts.get("as_form") else body
                return Reply(body, facts.get("content_type", "application/json"))
        return None

    def has_bearer(self, call: Call) -> bool:
        ((place, (name, value)),) = self.walk["bearer"].items()
        return bool((call.headers if place == "header" else call.query).get(name) == value)

    def with_id_token(self, answer: Facts) -> Facts:
        facts = self.walk.get("id_token")
        if facts is None:
            return answer
        now = int(time.time())
        claims = {**facts["claims"], "aud": "the-client", "iat": now, "exp": now + 600}
        if facts["nonce"]:
            claims["nonce"] = self.nonce
        key = SECRET.encode() if facts["alg"] == "HS256" else self.key
        return {**answer, "id_token": sign(claims, key, facts["alg"])}


STEPS = ("metadata", "token", "userinfo", "email")


@pytest.mark.slow
@pytest.mark.parametrize("name", WALKS)
def test_a_preset_signs_somebody_in(name: str, hosts: AnyHost) -> None:
    walk = WALKS[name]
    stand_in = StandIn(walk)
    hosts.answer = stand_in.answer
    client = make_site(walk, hosts).test_client()

    # The authorization request.
    base_url = CALLBACK.removesuffix("/callback")
    if walk["authorize"]["params"].get("response_mode") == "form_post":
        base_url = base_url.replace("http:", "https:")
    location = client.get("/login", base_url=base_url).location
    sent = dict(parse_qsl(urlsplit(location).query, keep_blank_values=True))
    wanted = walk["authorize"]
    base, query = without_query(wanted["url"])
    assert without_query(location)[0] == base
    assert sent.get("scope") == wanted.get("scope")
    expected = {**query, **wanted["params"], "response_type": "code"}
    expected["redirect_uri"] = f"{base_url}/callback"
    # JSON counts as what it says, however it is spaced.
    assert read_json(expected).items() <= read_json(sent).items()
    assert ("code_challenge" in sent) == wanted["pkce"]
    stand_in.nonce = sent.get("nonce")

    # The answer, and the token request.
    answer = {"code": "the-code", "state": sent["state"], **walk.get("callback", {})}
    if wanted["params"].get("response_mode") == "form_post":
        response = client.post("/callback", data=answer, base_url="https://localhost")
        goes_on = re.search(r'url=(/callback[^"]*)', response.text)
        assert goes_on is not None
        response = client.get(unescape(goes_on[1]), base_url="https://localhost")
    else:
        response = client.get(f"/callback?{urlencode(answer)}", base_url=base_url)
    assert response.status_code == 302, (response.text, hosts.calls)
    facts = walk["token"]
    (call,) = [call for call in hosts.calls if call.url == without_query(facts["url"])[0]]
    check_token_request(call, facts, wanted["pkce"], sent)

    # Who it is.
    if "userinfo" in walk and "id_token" not in walk:
        base, query = without_query(walk["userinfo"]["url"])
        (call,) = [call for call in hosts.calls if call.url == base]
        assert call.method == walk["userinfo"]["method"]
        assert query.items() <= call.query.items()
        assert walk.get("headers", {}).items() <= dict(call.headers).items()
        assert call.body == b"" or "json" in walk["userinfo"] or "form" in walk["userinfo"]
        assert "json" not in walk["userinfo"] or call.json == walk["userinfo"]["json"]
        assert "form" not in walk["userinfo"] or call.form == walk["userinfo"]["form"]
    me = client.get("/me", base_url=base_url).json or {}
    assert {field: me[field] for field in walk["identity"]} == walk["identity"]

    # The API.
    if "api" in walk:
        assert client.get("/call", base_url=base_url).json == {"api": True}
        assert stand_in.has_bearer(hosts.calls[-1]) or name == "mailchimp"


def check_token_request(call: Call, facts: Facts, pkce: bool, asked: dict[str, str]) -> None:
    style = facts["style"]
    sent: dict[str, str] = getattr(call, style)
    assert call.method == ("GET" if style == "query" else "POST")
    assert (sent["grant_type"], sent["code"]) == ("authorization_code", "the-code")
    assert sent["redirect_uri"] == asked["redirect_uri"]
    wanted = {
        name: value.replace("{state}", asked["state"]) for name, value in facts["params"].items()
    }
    assert wanted.items() <= sent.items()
    assert ("code_verifier" in sent) == pkce
    basic = f"Basic {base64.b64encode(f'the-client:{SECRET}'.encode()).decode()}"
    assert (call.headers.get("Authorization") == basic) == (facts["auth"] == "basic")
    assert (sent.get("client_secret") == SECRET) == (facts["auth"] == "post")
    if facts["auth"] == "signed":
        signed = jwt.decode(sent["client_secret"], SIGNER)
        assert facts["signed"].items() <= {**signed.header, **signed.claims}.items()
        assert signed.claims["iat"] <= time.time() < signed.claims["exp"]
    if facts["auth"] != "basic":
        assert "the-client" in sent.values()
    assert call.headers["Accept"]
