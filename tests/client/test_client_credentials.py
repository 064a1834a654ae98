"""How a client authenticates: by assertions (RFC 7523) and by certificates (RFC 8705)."""

from __future__ import annotations

import json
import re
import time
import typing as t

import pytest
from joserfc import jwk

from flask_oauth2_login import ConfigurationError, TokenError, TokenRequest
from flask_oauth2_login.protocol import base64url
from tests.conftest import MakeProvider
from tests.support.handlers import (
    CALLBACK,
    make_client,
    make_openid_client,
    redeem,
    redeem_openid,
)
from tests.support.provider import Answer, Provider

KEYS: dict[str, t.Any] = {
    "EC": jwk.ECKey.generate_key("P-256"),
    "Ed": jwk.OKPKey.generate_key("Ed25519"),
    "RSA": jwk.RSAKey.generate_key(2048),
}
EC = KEYS["EC"]


def pem(key: t.Any) -> str:
    return str(key.as_pem(private=True).decode())


def public(key: t.Any) -> dict[str, t.Any]:
    """A key as it is registered with a provider."""
    return {**key.as_dict(private=False), "kid": key.thumbprint()}


def with_key(make_provider: MakeProvider, *keys: t.Any, **settings: t.Any) -> Provider:
    """A provider at which the client has keys and no secret."""
    methods = {"private_key_jwt"}
    return make_provider(
        client_secret=None,
        client_auth_methods=methods,
        client_keys=[public(key) for key in keys],
        **settings,
    )


def read(assertion: str) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """The header and the claims of an assertion."""
    header, claims = (json.loads(base64url.decode(part)) for part in assertion.split(".")[:2])
    return header, claims


@pytest.mark.security("B6", "F4")
@pytest.mark.parametrize(("kind", "alg"), [("EC", "ES256"), ("Ed", "EdDSA"), ("RSA", "PS256")])
def test_a_private_key_authenticates_each_request(
    make_provider: MakeProvider, kind: str, alg: str
) -> None:
    provider = with_key(make_provider, KEYS[kind])
    sso = make_openid_client(provider, private_key=pem(KEYS[kind]))
    token = redeem_openid(provider, sso)
    assert sso.refresh_token(token.refresh_token)
    assert sso.client_token("read")
    sso.revoke_token("one")
    calls = [*provider.calls("/token"), *provider.calls("/revoke")]
    assert len(calls) == 4
    for call in calls:
        assert call.form["client_id"] == provider.client_id
        assert "client_secret" not in call.form
        assert "Authorization" not in call.headers
        header, claims = read(call.form["client_assertion"])
        assert header == {"alg": alg, "kid": KEYS[kind].thumbprint(), "typ": "JWT"}
        assert claims["iss"] == claims["sub"] == provider.client_id
        assert claims["aud"] == provider.issuer
        assert claims["exp"] - claims["iat"] == 60
        assert abs(claims["iat"] - time.time()) < 60
    assert len(provider.seen_jtis) == 4


def test_without_an_issuer_the_audience_is_the_token_endpoint(make_provider: MakeProvider) -> None:
    provider = with_key(make_provider, EC)
    provider.assertion_audience = f"{provider.url}/token"
    handler = make_client(provider, private_key=EC.as_dict(private=True))
    redeem(handler, provider)
    handler.revoke_token("one")
    assert len(provider.seen_jtis) == 2


@pytest.mark.parametrize("audience", ["token_url", "https://other.example/as"])
def test_the_audience_can_be_set(make_provider: MakeProvider, audience: str) -> None:
    provider = with_key(make_provider, EC)
    provider.assertion_audience = audience.replace("token_url", f"{provider.url}/token")
    sso = make_openid_client(provider, private_key=pem(EC), assertion_audience=audience)
    assert redeem_openid(provider, sso)


@pytest.mark.parametrize(
    ("accepted", "options", "alg"),
    [
        (["RS256", "PS256"], {}, "PS256"),
        (["RS256"], {}, "RS256"),
        (["RS256", "PS256"], {"assertion_algorithm": "RS256"}, "RS256"),
        (None, {}, "RS256"),
        (None, {"assertion_algorithm": "PS256"}, "PS256"),
    ],
    ids=["both", "only", "said", "unknown", "unknown-said"],
)
def test_the_algorithm_is_one_that_key_and_provider_have(
    make_provider: MakeProvider, accepted: t.Any, options: dict[str, t.Any], alg: str
) -> None:
    listed = "token_endpoint_auth_signing_alg_values_supported"
    provider = with_key(make_provider, KEYS["RSA"])
    provider.metadata_overrides = {listed: ... if accepted is None else accepted}
    sso = make_openid_client(provider, private_key=pem(KEYS["RSA"]), **options)
    redeem_openid(provider, sso)
    (call,) = provider.calls("/token")
    assert read(call.form["client_assertion"])[0]["alg"] == alg


def test_the_alg_of_a_jwk_counts(make_provider: MakeProvider) -> None:
    provider = with_key(make_provider, KEYS["RSA"])
    own = {**KEYS["RSA"].as_dict(private=True), "alg": "RS256"}
    redeem_openid(provider, make_openid_client(provider, private_key=own))
    (call,) = provider.calls("/token")
    assert read(call.form["client_assertion"])[0]["alg"] == "RS256"


def test_of_several_keys_the_first_signs_that_the_provider_accepts(
    make_provider: MakeProvider,
) -> None:
    keys = [
        {**KEYS["Ed"].as_dict(private=True), "use": "enc"},
        pem(EC),
        pem(KEYS["RSA"]),
    ]
    provider = with_key(make_provider, EC, KEYS["RSA"])
    redeem_openid(provider, make_openid_client(provider, private_key=keys))
    provider.metadata_overrides = {
        "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
    }
    redeem_openid(provider, make_openid_client(provider, private_key=keys))
    algs = [read(call.form["client_assertion"])[0]["alg"] for call in provider.calls("/token")]
    assert algs == ["ES256", "RS256"]


def test_a_provider_that_accepts_no_key_is_told(make_provider: MakeProvider) -> None:
    provider = with_key(make_provider, EC, assertion_algorithms=["PS256"])
    with pytest.raises(ConfigurationError, match=r"keys for ES256, .* accepts PS256, HS256"):
        redeem_openid(provider, make_openid_client(provider, private_key=pem(EC)))
    assert provider.calls("/token") == []


@pytest.mark.security("B6")
def test_the_secret_can_sign_instead_of_being_sent(make_provider: MakeProvider) -> None:
    provider = make_provider(client_auth_methods={"client_secret_jwt"})
    sso = make_openid_client(provider, client_auth="client_secret_jwt")
    assert redeem_openid(provider, sso)
    (call,) = provider.calls("/token")
    assert read(call.form["client_assertion"])[0]["alg"] == "HS256"
    assert str(provider.client_secret) not in call.body.decode()


def test_with_a_secret_and_a_key_the_secret_authenticates(provider: Provider) -> None:
    redeem(make_client(provider, private_key=pem(EC)), provider)
    (call,) = provider.calls("/token")
    assert "client_assertion" not in call.form


def test_a_function_can_send_the_assertion_in_its_own_way(make_provider: MakeProvider) -> None:
    def own(request: TokenRequest) -> None:
        assert request.make_assertion is not None
        request.params["assertion"] = request.make_assertion()

    provider = make_provider()
    provider.on("/token", Answer(200, {"access_token": "a", "token_type": "Bearer"}))
    redeem(make_client(provider, private_key=pem(EC), client_auth=own), provider)
    assert read(provider.calls("/token")[0].form["assertion"])[0]["alg"] == "ES256"


@pytest.mark.security("C1")
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"client_keys": []}, "is this key registered"),
        ({"assertion_audience": "https://other.example"}, "assertion_audience="),
        ({"assertion_algorithms": ["PS256"]}, "assertion_algorithm="),
    ],
    ids=["key", "audience", "algorithm"],
)
def test_a_refusal_says_what_to_compare_and_shows_no_assertion(
    make_provider: MakeProvider,
    wrong: dict[str, t.Any],
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider = with_key(make_provider, EC)
    for name, value in wrong.items():
        setattr(provider, name, value)
    provider.metadata_overrides = {"token_endpoint_auth_signing_alg_values_supported": ["ES256"]}
    caplog.set_level("DEBUG")

    def quote(request: t.Any) -> Answer:
        answer = provider.behave(request)
        answer.body["error_description"] = f"bad {request.form['client_assertion']}"
        return answer

    provider.on("/token", quote)
    sso = make_openid_client(provider, private_key=pem(EC))
    with pytest.raises(TokenError) as caught:
        redeem_openid(provider, sso)
    text = str(caught.value)
    assert said in text
    assert f"the key {EC.thumbprint()!r} signed by ES256" in text
    assert f"for the audience {provider.issuer!r}" in text
    assertion = provider.calls("/token")[0].form["client_assertion"]
    assert assertion not in text + caplog.text
    assert assertion not in repr(sso) + repr(sso.private_key)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"client_auth": "private_key_jwt"}, "needs the client's private key"),
        ({"client_auth": "tls_client_auth"}, "needs the client's certificate"),
        ({"client_auth": "self_signed_tls_client_auth"}, "cert=\\('client.pem'"),
        ({"client_auth": "client_secret_jwt", "client_secret": None}, "the client's secret"),
        ({"assertion_algorithm": "ES256", "client_auth": "client_secret_jwt"}, "by HS256"),
        ({"assertion_algorithm": "HS256", "private_key": pem(EC)}, "not one of"),
        ({"assertion_algorithm": "PS256", "private_key": pem(EC)}, "keys for ES256"),
        ({"assertion_audience": "issuer"}, "neither 'token_url' nor"),
        ({"private_key": "no key"}, "private_key is neither"),
    ],
    ids=["key", "cert", "own-cert", "secret", "alg", "hmac", "other-alg", "aud", "no-key"],
)
def test_what_is_missing_is_told_at_construction(
    provider: Provider, options: dict[str, t.Any], text: str
) -> None:
    from flask_oauth2_login import OAuth2

    secret = options.pop("client_secret", "the-secret")
    with pytest.raises(ConfigurationError, match=text):
        OAuth2("id", secret, provider.url, CALLBACK, **options)


# -- mutual TLS


def with_certificate(make_provider: MakeProvider, method: str, **settings: t.Any) -> Provider:
    """A provider at which the client has a certificate and no secret."""
    methods = {method}
    return make_provider(tls=True, client_secret=None, client_auth_methods=methods, **settings)


@pytest.mark.security("B6")
@pytest.mark.parametrize("method", ["tls_client_auth", "self_signed_tls_client_auth"])
def test_a_certificate_authenticates_each_request(make_provider: MakeProvider, method: str) -> None:
    provider = with_certificate(make_provider, method, client_cert_name="client")
    cert = provider.client_cert_file
    sso = make_openid_client(provider, client_auth=method, cert=cert, verify=provider.ca_file)
    sso.refresh_token(redeem_openid(provider, sso).refresh_token)
    sso.revoke_token("one")
    calls = [*provider.calls("/token"), *provider.calls("/revoke")]
    assert [call.client_cert for call in calls] == ["client"] * 3
    assert {call.form["client_id"] for call in calls} == {provider.client_id}


def test_another_certificate_is_refused_with_what_to_compare(make_provider: MakeProvider) -> None:
    provider = with_certificate(make_provider, "tls_client_auth", client_cert_name="another")
    cert = provider.client_cert_file
    sso = make_openid_client(
        provider, client_auth="tls_client_auth", cert=cert, verify=provider.ca_file
    )
    with pytest.raises(TokenError, match="certificate's subject with the file of cert="):
        redeem_openid(provider, sso)


def test_the_aliases_for_mutual_tls_are_used(make_provider: MakeProvider) -> None:
    provider = with_certificate(make_provider, "tls_client_auth")
    host = re.sub("127.0.0.1", "localhost", provider.url)
    provider.metadata_overrides = {
        "mtls_endpoint_aliases": {
            "token_endpoint": f"{host}/token",
            "revocation_endpoint": f"{host}/revoke",
            "userinfo_endpoint": f"{host}/userinfo",
        }
    }
    sso = make_openid_client(
        provider,
        client_auth="tls_client_auth",
        cert=provider.client_cert_file,
        verify=provider.ca_file,
    )
    token = redeem_openid(provider, sso)
    sso.fetch_identity(token, ["preferred_username", "nickname"])
    sso.revoke_token("one")
    hosts = {
        path: provider.calls(path)[0].headers["Host"].partition(":")[0]
        for path in ("/token", "/revoke", "/userinfo", "/jwks")
    }
    assert hosts == {
        "/token": "localhost", "/revoke": "localhost", "/userinfo": "localhost",
        "/jwks": "127.0.0.1",
    }  # fmt: skip


def test_aliases_are_not_used_without_a_certificate(make_provider: MakeProvider) -> None:
    provider = make_provider()
    aliases = {"token_endpoint": "https://mtls.example/token"}
    provider.metadata_overrides = {"mtls_endpoint_aliases": aliases}
    assert redeem_openid(provider)


@pytest.mark.security("E1")
def test_an_alias_without_https_is_refused(make_provider: MakeProvider) -> None:
    provider = with_certificate(make_provider, "tls_client_auth")
    aliases = {"token_endpoint": "http://mtls.example/token"}
    provider.metadata_overrides = {"mtls_endpoint_aliases": aliases}
    sso = make_openid_client(
        provider,
        client_auth="tls_client_auth",
        cert=provider.client_cert_file,
        verify=provider.ca_file,
    )
    with pytest.raises(ConfigurationError, match="token_url is 'http://mtls"):
        redeem_openid(provider, sso)
