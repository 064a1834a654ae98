"""`profile="fapi2"` at npm's oidc-provider in its FAPI 2.0 configuration."""

from __future__ import annotations

import typing as t
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from flask_oauth2_login import OAuth2Login, OpenIDConnect
from flask_oauth2_login.protocol.new_key import make_key
from tests.conftest import MakeApp
from tests.support.certified_provider import certified_site, sign_in
from tests.support.provider.tls import write_files

if t.TYPE_CHECKING:
    from flask import Flask

Options = dict[str, t.Any]

FEATURES: Options = {
    "fapi": {"enabled": True, "profile": "2.0"},
    "pushedAuthorizationRequests": {
        "enabled": True,
        "requirePushedAuthorizationRequests": True,
        "allowUnregisteredRedirectUris": False,
    },
    "userinfo": {"enabled": True},
    "dPoP": {"enabled": True},
    "mTLS": {"enabled": True, "certificateBoundAccessTokens": True, "tlsClientAuth": True},
    "requestObjects": {"enabled": True, "requireSignedRequestObject": False},
    "jwtResponseModes": {"enabled": True},
}
#: How the provider signs.
ANSWERS: Options = {
    "id_token_signed_response_alg": "ES256",
    "authorization_signed_response_alg": "ES256",
}
#: The client's registration beside its keys.
REGISTERED: Options = {
    **ANSWERS,
    "token_endpoint_auth_method": "private_key_jwt",
    "jwks_uri": "APP_URL/jwks.json",
}
BY_KEY: Options = {**REGISTERED, "dpop_bound_access_tokens": True}
SIGNED: Options = {
    **BY_KEY,
    "request_object_signing_alg": "PS256",
    "require_signed_request_object": True,
}
BY_CERTIFICATE: Options = {
    **ANSWERS,
    "token_endpoint_auth_method": "tls_client_auth",
    "tls_client_auth_subject_dn": "CN=client",
    "tls_client_certificate_bound_access_tokens": True,
}


@pytest.mark.parametrize(
    ("profile", "alg", "client"),
    [
        ("fapi2", "ES256", BY_KEY),
        ("fapi2", None, BY_CERTIFICATE),
        ("fapi2-message-signing", "PS256", SIGNED),
    ],
    ids=["key", "certificate", "message-signing"],
)
def test_one_word_signs_somebody_in(
    make_app: MakeApp, tmp_path: Path, profile: t.Any, alg: str | None, client: Options
) -> None:
    tls = None if alg else write_files(tmp_path)

    def make(issuer: str) -> Flask:
        own: Options = {"private_key": make_key(alg)} if alg else {}
        if tls:
            own = {"cert": tls.client, "verify": tls.ca}
        sso = OpenIDConnect("the-client", None, issuer, profile=profile, api_url=issuer, **own)
        return make_app(OAuth2Login(sso, name="sso", scope="email profile"))

    configuration = {
        "features": FEATURES,
        "jwks": {"keys": [make_key("ES256")]},
        "clientAuthMethods": ["private_key_jwt", "tls_client_auth"],
    }
    nonce = None if tls else True
    with certified_site(
        make, client=client, configuration=configuration, tls=tls, require_nonce=nonce
    ) as site:
        visitor, page = sign_in(site, verify=tls.ca if tls else True)
        assert page.ok, page.text
        assert page.json()["email"] == "ada@example.com"
        assert visitor.get(f"{site.url}/call/me").json()["sub"] == "ada"
        begun = visitor.get(f"{site.url}/login", allow_redirects=False)
        query = parse_qs(urlsplit(begun.headers["Location"]).query)
        assert query.keys() == {"client_id", "request_uri"}
