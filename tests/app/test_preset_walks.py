"""Every preset signs somebody in, from its row alone, over real HTTP.

What each provider wants and how it answers is in ``support/preset_walks.jsonl``, a provider a line.
These facts were written from what other code bases say of the providers, not from the rows, so that
a wrong path or parameter in a row fails here. The hosts of all of them are one server on loopback.
"""

from __future__ import annotations

import base64
import datetime
import hmac
import re
import time
from html import unescape
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import RSAKey

from flask_oauth2_login import Token
from flask_oauth2_login.providers.presets import find_preset, make_handler, preset_names
from tests.support.any_host import AnyHost, Call
from tests.support.preset_walks import (
    CLIENT,
    SECRET,
    SIGNER,
    WALKS,
    Facts,
    StandIn,
    make_site,
    read_json,
    without_query,
)

CALLBACK = "http://localhost/callback"


def test_every_preset_has_its_facts() -> None:
    assert sorted(WALKS) == preset_names()


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
    assert urlsplit(location).fragment == wanted.get("fragment", "")
    assert sent.get("scope") == wanted.get("scope")
    expected = {"response_type": "code", "redirect_uri": f"{base_url}/callback"}
    expected |= {**query, **wanted["params"]}
    # JSON counts as what it says, however it is spaced.
    assert read_json(expected).items() <= read_json(sent).items()
    assert ("code_challenge" in sent) == wanted["pkce"]
    stand_in.nonce = sent.get("nonce")

    # The answer, and the token request.
    answer = {"code": "the-code", "state": sent["state"], **walk.get("callback", {})}
    if walk.get("hmac"):
        text = "&".join(f"{name}={answer[name]}" for name in sorted(answer))
        answer["hmac"] = hmac.new(SECRET.encode(), text.encode(), "sha256").hexdigest()
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


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in WALKS if "offline" in WALKS[name]])
def test_a_preset_asks_for_a_refresh_token_in_the_providers_words(
    name: str, hosts: AnyHost, tmp_path: Path
) -> None:
    walk = WALKS[name]
    hosts.answer = StandIn(walk).answer
    store = f"sqlite:///{tmp_path}/logins.db"
    client = make_site(walk, hosts, offline=True, store=store).test_client()
    sent = dict(parse_qsl(urlsplit(client.get("/login").location).query))
    assert walk["offline"].get("params", {}).items() <= sent.items()
    separator = "," if "," in sent.get("scope", "") else " "
    asked = sent.get("scope", "").split(separator)
    wanted = walk["offline"].get("scope", "")
    assert not wanted or asked.count(wanted) == 1
    assert {*walk["authorize"].get("scope", "").split(separator)} - {""} <= {*asked}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in WALKS if "refresh" in WALKS[name]])
def test_a_preset_refreshes_where_and_as_the_provider_wants(name: str, hosts: AnyHost) -> None:
    walk = WALKS[name]
    token, wanted = walk["token"], walk["refresh"]
    url = wanted.get("url", token["url"])
    stand_in = StandIn({**walk, "token": {**token, "url": url}})
    hosts.answer = stand_in.answer
    handler = make_site(walk, hosts).extensions["oauth2_login"].logins[name].handler
    kept = {"callback": {**walk.get("callback", {}), "state": "s"}}
    newer = handler.renew(Token({"refresh_token": "rt-0", **token["answer"], **kept}))
    assert newer is not None
    (call,) = hosts.calls
    base, query = without_query(url)
    assert call.url == base
    assert query.items() <= call.query.items()
    sent: dict[str, str] = getattr(call, token["style"])
    assert sent["grant_type"] == "refresh_token"
    assert wanted.get("params", {}).items() <= sent.items()


def test_entra_takes_a_certificate_in_place_of_the_secret(hosts: AnyHost) -> None:
    walk = WALKS["microsoft"]
    hosts.answer = StandIn(walk).answer
    key = rsa.generate_private_key(65537, 2048)
    certificate = self_signed(key)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    options = {"private_key": pem.decode(), "proxies": {"https": hosts.proxy}}
    preset = find_preset("microsoft", preset={**options, "verify": hosts.ca_file})
    handler = make_handler("microsoft", preset, "the-client", None)
    handler.client_token("https://graph.microsoft.com/.default")
    (call,) = [call for call in hosts.calls if call.url == walk["token"]["url"]]
    assertion = jwt.decode(call.form["client_assertion"], RSAKey.import_key(key), ["PS256"])
    thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256()))
    assert assertion.header == {
        "alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint.rstrip(b"=").decode(),
    }  # fmt: skip
    assert assertion.claims["aud"] == walk["token"]["url"]
    assert "client_secret" not in call.form


def self_signed(key: rsa.RSAPrivateKey) -> x509.Certificate:
    """A certificate of a key, as a developer makes and uploads it."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "my-app")])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )


def check_token_request(call: Call, facts: Facts, pkce: bool, asked: dict[str, str]) -> None:
    style = facts["style"]
    sent: dict[str, str] = getattr(call, style)
    sent = {**sent, **{name: sent[own] for name, own in facts.get("names", {}).items()}}
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
    if facts["auth"] == "assertion":
        assertion = jwt.decode(sent["client_assertion"], CLIENT)
        assert assertion.claims["aud"] == facts["audience"]
        assert {assertion.claims["iss"], assertion.claims["sub"]} == {"the-client"}
    if facts["auth"] != "basic":
        assert "the-client" in sent.values()
    assert call.headers["Accept"]
