"""Tokens that are bound to a key, at npm's oidc-provider: with and without nonces. RFC 9449."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from joserfc.jwk import ECKey

from flask_oauth2_login import (
    OAuth2Login,
    OpenIDConnect,
    Token,
    current_oauth_session,
    token_refreshed,
)
from tests.conftest import MakeApp
from tests.support.certified_provider import certified_site, sign_in
from tests.support.clock import Clock

if t.TYPE_CHECKING:
    from flask import Flask

CLIENT = ECKey.generate_key("P-256", {"kid": "the-key", "use": "sig", "alg": "ES256"})
#: Seconds that an access token lives. Proofs may be that much ahead of the provider's clock.
LIFETIME = 30

#: As a FAPI 2.0 server has it: bound tokens, assertions, pushed requests.
REGISTERED = {
    "token_endpoint_auth_method": "private_key_jwt",
    "token_endpoint_auth_signing_alg": "ES256",
    "dpop_bound_access_tokens": True,
    "jwks": {"keys": [CLIENT.as_dict(private=False)]},
}
FEATURES = {
    "dPoP": {"enabled": True},
    "pushedAuthorizationRequests": {
        "enabled": True,
        "requirePushedAuthorizationRequests": True,
        "allowUnregisteredRedirectUris": False,
    },
    "fapi": {"enabled": True, "profile": "2.0"},
    "userinfo": {"enabled": True},
}


@pytest.mark.parametrize(
    ("dpop", "require_nonce"),
    [(True, None), (True, False), (True, True), ("own", True)],
    ids=["no nonces", "optional nonces", "nonces", "the client's own key"],
)
def test_sign_in_api_renewal_and_sign_out(
    make_app: MakeApp, tmp_path: Path, clock: Clock, dpop: t.Any, require_nonce: bool | None
) -> None:
    own = ECKey.generate_key("P-256").as_pem(private=True)

    def make(issuer: str) -> Flask:
        sso = OpenIDConnect(
            "the-client",
            None,
            issuer,
            private_key=CLIENT.as_dict(private=True),
            authorize_params={"prompt": "consent"},
            dpop=True if dpop is True else own,
        )
        store = f"sqlite:///{tmp_path}/logins.db"
        login = OAuth2Login(sso, name="sso", scope="email offline_access", store=store)
        app = make_app(login)

        @app.get("/userinfo")
        def userinfo() -> t.Any:
            response = current_oauth_session.get(f"{issuer}/me")
            return response.json(), response.status_code

        return app

    configuration = {"features": FEATURES, "ttl": {"AccessToken": LIFETIME}}
    renewed: list[t.Any] = []

    def note(_sender: t.Any, token: Token, **_: t.Any) -> None:
        renewed.append(token)

    site = certified_site(
        make, client=REGISTERED, configuration=configuration, require_nonce=require_nonce
    )
    with site as found, token_refreshed.connected_to(note, found.app):
        visitor, page = sign_in(found)
        assert page.json()["email"] == "ada@example.com", page.text
        for count in range(1, 3):
            assert visitor.get(f"{found.url}/userinfo").json()["sub"] == "ada"
            clock.ahead += LIFETIME - 2
            with ThreadPoolExecutor(8) as pool:
                answers = list(
                    pool.map(
                        lambda cookies: requests.get(
                            f"{found.url}/userinfo", cookies=cookies, timeout=30
                        ),
                        [visitor.cookies] * 16,
                    )
                )
            assert {answer.status_code for answer in answers} == {200}
            assert len(renewed) == count
        token = renewed[-1]
        headers = {"Origin": found.url}
        left = visitor.post(f"{found.url}/logout", headers=headers, allow_redirects=False)
        assert left.status_code < 400
    assert token.is_dpop
