"""Against npm's oidc-provider: a client with keys, or with a certificate, and no secret."""

from __future__ import annotations

import typing as t
from base64 import b64encode
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from flask_oauth2_login import OAuth2Login, OpenIDConnect, TokenError
from flask_oauth2_login.protocol.new_key import make_key
from flask_oauth2_login.protocol.private_keys import read_private_keys
from tests.conftest import MakeApp
from tests.support.certified_provider import Site, certified_site, sign_in
from tests.support.provider.tls import Files, write_files

if t.TYPE_CHECKING:
    from flask import Flask

METHODS = ["private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"]


@pytest.fixture
def tls(tmp_path: Path) -> Files:
    return write_files(tmp_path)


def make_site(
    make_app: MakeApp, client: dict[str, t.Any], tls: Files | None = None, **options: t.Any
) -> t.ContextManager[Site]:
    """An app with a handler of these options, and the provider that knows its client."""

    def make(issuer: str) -> Flask:
        more = {"verify": tls.ca, **options} if tls else options
        sso = OpenIDConnect("the-client", None, issuer, api_url=issuer, **more)
        return make_app(OAuth2Login(sso, name="sso", scope="email profile"))

    features = {
        "mTLS": {
            "enabled": True,
            "certificateBoundAccessTokens": True,
            "selfSignedTlsClientAuth": True,
            "tlsClientAuth": True,
        },
        "clientCredentials": {"enabled": True},
    }
    configuration = {"clientAuthMethods": METHODS, "features": features}
    grants = ["authorization_code", "refresh_token", "client_credentials"]
    client = {"grant_types": grants, **client}
    return certified_site(make_app=make, client=client, configuration=configuration, tls=tls)


def handler_of(site: Site) -> OpenIDConnect:
    return t.cast(OpenIDConnect, site.app.extensions["oauth2_login"].logins["sso"].handler)


@pytest.mark.security("B6")
@pytest.mark.parametrize("alg", ["ES256", "PS256", "EdDSA"])
def test_the_provider_fetches_the_keys_and_accepts_the_assertions(
    make_app: MakeApp, alg: str
) -> None:
    client = {
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": alg,
        "jwks_uri": "APP_URL/jwks.json",
        "scope": "openid email profile offline_access",
    }
    with make_site(make_app, client, private_key=[make_key(alg), make_key("ES256")]) as site:
        visitor, page = sign_in(site)
        assert page.ok, page.text
        assert page.json()["email"] == "ada@example.com"
        assert visitor.get(f"{site.url}/call/me").json()["sub"] == "ada"
        assert handler_of(site).client_token() is not None


def certificate_client(method: str, tls: Files) -> dict[str, t.Any]:
    """The registration of a client with the certificate of the tests."""
    if method == "tls_client_auth":
        how: dict[str, t.Any] = {"tls_client_auth_subject_dn": "CN=client"}
    else:
        pem = Path(tls.client).read_bytes()
        der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
        (key,) = read_private_keys("key", pem[pem.index(b"-----BEGIN PRIVATE") :])
        how = {"jwks": {"keys": [{**key.public_jwk, "x5c": [b64encode(der).decode()]}]}}
    return {
        "token_endpoint_auth_method": method,
        "tls_client_certificate_bound_access_tokens": True,
        **how,
    }


@pytest.mark.security("B6")
@pytest.mark.parametrize("method", ["tls_client_auth", "self_signed_tls_client_auth"])
def test_the_certificate_authenticates_the_client_and_its_tokens(
    make_app: MakeApp, tls: Files, method: str
) -> None:
    client = certificate_client(method, tls)
    with make_site(make_app, client, tls, client_auth=method, cert=tls.client) as site:
        visitor, page = sign_in(site, verify=tls.ca)
        assert page.ok, page.text
        assert page.json()["email"] == "ada@example.com"
        answer = visitor.get(f"{site.url}/call/me")
        assert answer.json()["sub"] == "ada"
        # The token is bound to the certificate, so it is worth nothing without.
        token = handler_of(site).client_token()
        assert token is not None
        bearer = {"Authorization": f"Bearer {token.access_token}"}
        alone = requests.get(f"{site.issuer}/me", headers=bearer, verify=tls.ca, timeout=10)
        assert alone.status_code == 401
        other = OpenIDConnect(
            "the-client", None, site.issuer, verify=tls.ca, cert=tls.server, client_auth=method
        )
        with pytest.raises(TokenError, match="its certificate"):
            other.client_token()
