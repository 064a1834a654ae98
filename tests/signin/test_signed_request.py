"""Authorization requests that the client signs: RFC 9101."""

from __future__ import annotations

import json
import logging
import time
import typing as t

import pytest
from joserfc import jwk

from flask_oauth2_login import ConfigurationError, OAuth2, OAuth2Login, OpenIDConnect, login_url
from flask_oauth2_login.protocol import base64url
from tests.conftest import MakeApp, MakeSSO
from tests.support.assertions import is_signed_in, query_of
from tests.support.handlers import make_client, make_openid_client
from tests.support.provider import REMOVED, Answer, BadAuthorizationRequest, Browser, Provider

KEYS: dict[str, t.Any] = {
    "EC": jwk.ECKey.generate_key("P-256"),
    "Ed": jwk.OKPKey.generate_key("Ed25519"),
    "RSA": jwk.RSAKey.generate_key(2048),
}


def signing(provider: Provider, kind: str = "EC", **options: t.Any) -> dict[str, t.Any]:
    """The options of a handler that signs, whose key the provider knows."""
    key = KEYS[kind]
    provider.client_keys = [{**key.as_dict(private=False), "kid": key.thumbprint()}]
    return {"jar": True, "private_key": key.as_pem(private=True).decode(), **options}


def read(request: str) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """The header and the claims of a request object."""
    header, claims = (json.loads(base64url.decode(part)) for part in request.split(".")[:2])
    return header, claims


@pytest.mark.parametrize("par", [False, True])
@pytest.mark.parametrize(("kind", "alg"), [("EC", "ES256"), ("Ed", "EdDSA"), ("RSA", "PS256")])
def test_the_whole_request_is_signed(
    provider: Provider, make_sso: MakeSSO, kind: str, alg: str, par: bool
) -> None:
    provider.require_jar, provider.require_par = True, par
    browser = make_sso(handler=signing(provider, kind)).browser
    url = browser.begin()
    if par:
        sent = provider.calls("/par")[0].form
        assert sent.keys() == {"client_id", "request"}
        assert query_of(url).keys() == {"client_id", "request_uri"}
    else:
        sent = query_of(url)
        assert sent.keys() == {"client_id", "request", "response_type", "scope"}
    header, claims = read(sent["request"])
    assert (header["typ"], header["alg"]) == ("oauth-authz-req+jwt", alg)
    assert claims["iss"] == claims["client_id"] == "the-client"
    assert claims["aud"] == provider.issuer
    assert claims["exp"] - claims["nbf"] <= 3600
    assert claims["nbf"] < time.time() < claims["exp"]
    assert claims.keys() == {
        "iss", "aud", "iat", "nbf", "exp", "jti", "client_id", "response_type", "redirect_uri",
        "scope", "state", "nonce", "code_challenge", "code_challenge_method",
    }  # fmt: skip
    assert browser.finish(url).status_code == 302
    assert is_signed_in(browser)


@pytest.mark.parametrize("par", [False, True])
def test_plain_oauth2_has_nothing_beside_the_signed_request(
    provider: Provider, make_app: MakeApp, par: bool
) -> None:
    provider.require_jar, provider.require_par = True, par
    handler = OAuth2(
        "the-client", "the-secret", issuer=provider.issuer, **signing(provider, par=par)
    )
    browser = Browser(make_app(OAuth2Login(handler, scope="read")), provider)
    url = browser.begin()
    assert query_of(url).keys() == {"client_id", "request_uri" if par else "request"}
    assert browser.finish(url).status_code == 302


@pytest.mark.parametrize(
    ("listed", "alg"),
    [
        (["RS256"], "RS256"),
        (["PS256", "RS256"], "PS256"),
        (None, "RS256"),
        (["none", "PS256"], "PS256"),
    ],
    ids=["rs256", "both", "unsaid", "none"],
)
def test_the_algorithm_is_one_that_the_metadata_name(
    provider: Provider, listed: list[str] | None, alg: str
) -> None:
    provider.metadata_overrides = {"request_object_signing_alg_values_supported": listed or REMOVED}
    sso = make_openid_client(provider, **signing(provider, "RSA"))
    assert read(query_of(sso.authorize_url("email"))["request"])[0]["alg"] == alg


def test_the_algorithm_of_a_jwk_counts(provider: Provider) -> None:
    key = {**KEYS["RSA"].as_dict(private=True), "alg": "PS256", "kid": "ours"}
    provider.metadata_overrides = {"request_object_signing_alg_values_supported": REMOVED}
    sso = make_openid_client(provider, jar=True, private_key=key)
    header, _ = read(query_of(sso.authorize_url("email"))["request"])
    assert (header["alg"], header["kid"]) == ("PS256", "ours")


def test_keys_that_the_provider_accepts_no_algorithm_of_are_told(provider: Provider) -> None:
    provider.metadata_overrides = {"request_object_signing_alg_values_supported": ["RS256"]}
    sso = make_openid_client(provider, **signing(provider, "EC"))
    with pytest.raises(ConfigurationError, match="ES256, and the provider accepts RS256"):
        sso.authorize_url("email")


def test_a_client_with_a_secret_needs_no_algorithm_of_assertions(provider: Provider) -> None:
    provider.metadata_overrides = {"token_endpoint_auth_signing_alg_values_supported": ["HS256"]}
    sso = make_openid_client(provider, **signing(provider))
    code = provider.answer(sso.authorize_url("openid", state="s")).params["code"]
    assert sso.get_token(code) is not None
    assert "client_assertion" not in provider.calls("/token")[0].form


PARAMS: dict[str, t.Any] = {
    "max_age": 300,
    "claims": {"id_token": {"email": {"essential": True}}},
    "authorization_details": [{"type": "payment", "amount": "12.50"}],
    "resource": ["https://one.example/", "https://other.example/"],
    "prompt": "consent",
    "ui_locales": "de",
}


@pytest.mark.parametrize("par", [False, True])
def test_every_parameter_is_inside_as_json_has_it(
    provider: Provider, make_sso: MakeSSO, par: bool
) -> None:
    found, sent = [], {}
    for options in ({}, signing(provider)):
        app, _, browser = make_sso(handler={**options, "par": par})
        app.add_url_rule("/link", "link", lambda: login_url(scope="profile", **PARAMS))
        assert browser.sign_in().status_code == 302
        url = browser.begin(browser.get("/link").text)
        sent = provider.calls("/par")[-1].form if par else query_of(url)
        assert browser.finish(url).status_code == 302
        of_each = {"state", "nonce", "code_challenge"}
        found.append({n: v for n, v in provider.authorizations[-1].items() if n not in of_each})
    _, claims = read(sent["request"])
    assert {name: claims[name] for name in PARAMS} == PARAMS
    plain, signed = found
    plain.pop("client_secret", None)
    for name in ("claims", "authorization_details"):
        assert json.loads(plain.pop(name)) == json.loads(signed.pop(name))
    assert plain == signed


@pytest.mark.security("F5")
def test_a_request_that_is_changed_on_the_way_begins_nothing(
    provider: Provider, make_sso: MakeSSO
) -> None:
    browser = make_sso(handler=signing(provider)).browser
    url = browser.begin()
    header, claims, _ = query_of(url)["request"].split(".")
    changed = {**json.loads(base64url.decode(claims)), "redirect_uri": "https://evil.example/"}
    other = base64url.encode(json.dumps(changed).encode())
    with pytest.raises(BadAuthorizationRequest, match="signature"):
        provider.consent(url.replace(f"{header}.{claims}.", f"{header}.{other}."))
    assert browser.finish(url).status_code == 302


def test_each_sign_in_signs_anew(provider: Provider, make_sso: MakeSSO) -> None:
    browser = make_sso(handler=signing(provider)).browser
    one, other = browser.begin(), browser.begin()
    jtis = {read(query_of(url)["request"])[1]["jti"] for url in (one, other)}
    assert len(jtis) == 2


@pytest.mark.security("C1")
def test_neither_key_nor_signed_request_is_logged(
    provider: Provider, make_sso: MakeSSO, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    browser = make_sso(handler=signing(provider, par=True)).browser
    provider.on("/par", lambda got: Answer(400, {"error": "x", "message": got.form["request"]}))
    assert browser.get("/login").status_code == 502
    assert "eyJ" not in caplog.text
    assert "PRIVATE KEY" not in caplog.text


@pytest.mark.security("F5")
@pytest.mark.parametrize("name", ["request", "request_uri"])
def test_a_link_adds_no_other_request(provider: Provider, make_sso: MakeSSO, name: str) -> None:
    app, _, browser = make_sso(handler=signing(provider))
    for path in (f"/login?{name}=x", f"/login?prompt=login&{name}=x"):
        query = query_of(browser.begin(path))
        assert name not in read(query["request"])[1]
        assert "request_uri" not in query
        assert query["request"] != "x"
    with app.test_request_context(), pytest.raises(ConfigurationError, match=name):
        login_url(**{name: t.cast(t.Any, "x")})


@pytest.mark.parametrize("name", ["request", "request_uri"])
def test_a_signed_request_contains_no_other_request(provider: Provider, name: str) -> None:
    sso = make_openid_client(provider, **signing(provider))
    with pytest.raises(ConfigurationError, match=name):
        sso.authorize_url("email", **{name: "x"})


def test_signing_needs_a_key_and_an_issuer(provider: Provider) -> None:
    with pytest.raises(ConfigurationError, match="private_key"):
        make_openid_client(provider, jar=True)
    with pytest.raises(ConfigurationError, match="issuer"):
        make_client(provider, **signing(provider))
    with pytest.raises(ConfigurationError, match="jar='yes'"):
        OpenIDConnect("id", "secret", provider.issuer, jar=t.cast(t.Any, "yes"))
