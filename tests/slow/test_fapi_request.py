"""Against npm's oidc-provider: requests that are pushed and signed, and answers that it signs."""

from __future__ import annotations

import html
import re
import typing as t
from urllib.parse import urljoin

import pytest
import requests
from flask import Flask
from joserfc.jwk import ECKey, OKPKey, RSAKey

from flask_oauth2_login import OAuth2Login, OpenIDConnect, Token
from tests.conftest import MakeApp
from tests.support.certified_provider import Site, certified_site, sign_in

READ = {"type": "accounts", "actions": ["read"]}
PAY = {"type": "payment", "amount": {"currency": "EUR", "value": "12.50"}}
API = "https://api.example/payments"
KEYS: dict[str, t.Any] = {
    "ES256": ECKey.generate_key("P-256"),
    "EdDSA": OKPKey.generate_key("Ed25519"),
    "PS256": RSAKey.generate_key(2048),
}


def make_site(
    make_app: MakeApp,
    scope: str = "email",
    client: t.Mapping[str, t.Any] | None = None,
    features: t.Mapping[str, t.Any] | None = None,
    **options: t.Any,
) -> t.ContextManager[Site]:
    """An app that shows its token at ``/token``, and the provider it signs in at.

    :param features: the provider's, beside its own.
    :param options: those of the handler.
    """

    def make(issuer: str) -> Flask:
        sso = OpenIDConnect("the-client", "the-secret-of-the-client", issuer, **options)
        login = OAuth2Login(sso, name="sso", scope=scope)
        app = make_app(login)
        app.add_url_rule("/token", "token", lambda: dict(Token(login.token or {})))
        app.add_url_rule("/renewed", "renewed", lambda: dict(renew(sso, login)))
        return app

    configuration = {"features": features or {}}
    return certified_site(make, client=client, configuration=configuration)


def renew(sso: OpenIDConnect, login: OAuth2Login) -> Token:
    renewed = sso.renew(Token(login.token or {}))
    assert renewed is not None
    return renewed


def go_on(visitor: requests.Session, page: requests.Response) -> requests.Response:
    """Follow a page of the app that goes on by itself, as a browser does."""
    found = re.search(r'http-equiv="refresh" content="0; ?url=([^"]*)"', page.text)
    assert found is not None, page.text
    return visitor.get(urljoin(page.url, html.unescape(found[1])))


def test_requests_are_pushed_in_detail_and_for_a_resource(make_app: MakeApp) -> None:
    features = {
        "pushedAuthorizationRequests": {"requirePushedAuthorizationRequests": True},
        "richAuthorizationRequests": {"enabled": True},
        "resourceIndicators": {"enabled": True},
    }
    options: dict[str, t.Any] = {"authorization_details": [READ, PAY], "resource": API}
    client = {"authorization_details_types": ["accounts", "payment"]}
    scope = "email api offline_access"
    with make_site(make_app, scope, client, features, **options) as site:
        visitor, page = sign_in(site, "/login?prompt=consent&next=/me")
        assert page.json()["email"] == "ada@example.com"
        for path in ("/token", "/renewed"):
            token = visitor.get(f"{site.url}{path}").json()
            assert token["authorization_details"] == [READ, PAY], path
            assert "api" in token["scope"].split()


def client_with(alg: str, **metadata: t.Any) -> dict[str, t.Any]:
    """A client that signs its requests."""
    key = KEYS[alg]
    public = {**key.as_dict(private=False), "kid": key.thumbprint(), "use": "sig", "alg": alg}
    return {
        "jwks": {"keys": [public]},
        "request_object_signing_alg": alg,
        **metadata,
    }


@pytest.mark.parametrize(("alg", "par"), [("ES256", False), ("EdDSA", True), ("PS256", True)])
def test_requests_are_signed(make_app: MakeApp, alg: str, par: bool) -> None:
    features = {"requestObjects": {"enabled": True, "requireSignedRequestObject": True}}
    key = KEYS[alg].as_dict(private=True)
    options = {"jar": True, "private_key": key, "par": par}
    with make_site(make_app, client=client_with(alg), features=features, **options) as site:
        _, page = sign_in(site)
        assert page.json()["email"] == "ada@example.com"


@pytest.mark.parametrize("mode", ["jwt", "form_post.jwt"])
def test_answers_are_signed(make_app: MakeApp, mode: str) -> None:
    features = {"jwtResponseModes": {"enabled": True}}
    with make_site(make_app, features=features, response_mode=mode) as site:
        visitor, page = sign_in(site)
        if mode == "form_post.jwt":
            page = go_on(visitor, page)
        assert page.json()["email"] == "ada@example.com"


def test_all_of_it_by_one_word(make_app: MakeApp) -> None:
    client = {
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "id_token_signed_response_alg": "ES256",
        "authorization_signed_response_alg": "ES256",
        "dpop_bound_access_tokens": True,
        **client_with("ES256"),
    }
    features = {
        "fapi": {"enabled": True, "profile": "2.0"},
        "dPoP": {"enabled": True},
        "jwtResponseModes": {"enabled": True},
        "requestObjects": {"enabled": True, "requireSignedRequestObject": True},
        "pushedAuthorizationRequests": {"requirePushedAuthorizationRequests": True},
    }

    def make(issuer: str) -> Flask:
        key = KEYS["ES256"].as_dict(private=True)
        sso = OpenIDConnect(
            "the-client",
            None,
            issuer,
            api_url=issuer,
            profile="fapi2-message-signing",
            private_key=key,
        )
        return make_app(OAuth2Login(sso, name="sso", scope="email"))

    own = ECKey.generate_key("P-256", {"kid": "of-the-provider", "use": "sig", "alg": "ES256"})
    configuration = {
        "clientAuthMethods": ["private_key_jwt"],
        "features": features,
        "jwks": {"keys": [own.as_dict(private=True)]},
    }
    with certified_site(make, client=client, configuration=configuration) as site:
        visitor, page = sign_in(site)
        assert page.json()["email"] == "ada@example.com"
        assert visitor.get(f"{site.url}/call/me").json()["sub"] == "ada"
