"""What the walks of presets are made of: the facts of each provider, an app, and a stand-in."""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from flask import Flask
from joserfc.jwk import ECKey, RSAKey

from flask_oauth2_login import OAuth2Login, current_identity, current_oauth_session, login_required
from tests.support.any_host import AnyHost, Call, Reply
from tests.support.provider.signing import make_key, sign

Facts = dict[str, t.Any]

#: The facts of each provider by its name.
WALKS: dict[str, Facts] = {
    walk["name"]: walk
    for walk in map(
        json.loads, Path(__file__).with_name("preset_walks.jsonl").read_text("utf-8").splitlines()
    )
}
#: What a walk calls, in this order.
STEPS = ("metadata", "token", "userinfo", "email")
SECRET = "the-secret-of-thirty-two-letters"
#: Whose key is downloaded from the provider, where a client signs its secret.
SIGNER = ECKey.generate_key("P-256")
#: The key of a client that makes assertions.
CLIENT = RSAKey.generate_key(2048)


def make_site(walk: Facts, hosts: AnyHost, **login: t.Any) -> Flask:
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
    if walk["token"]["auth"] == "assertion":
        preset["private_key"] = CLIENT.as_pem(private=True).decode()
        del app.config[f"{name.upper()}_CLIENT_SECRET"]
    app.register_blueprint(OAuth2Login(name, preset=preset, **login))

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
        #: What a step of :data:`STEPS` is answered with otherwise.
        self.otherwise: dict[str, Reply] = {}
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
                if name in self.otherwise:
                    return self.otherwise[name]
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
