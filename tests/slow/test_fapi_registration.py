"""Registering a client with npm's oidc-provider, and signing in with it."""

from __future__ import annotations

import functools
import typing as t

import pytest
from flask import request

from flask_oauth2_login import OAuth2Login, OpenIDConnect, TokenError
from tests.conftest import MakeApp
from tests.support.certified_provider import certified_site, sign_in

if t.TYPE_CHECKING:
    from flask import Flask

TOKEN = "the-initial-access-token"
CONFIGURATION = {"features": {"registration": {"enabled": True, "initialAccessToken": TOKEN}}}


def test_a_tenants_client_is_registered_at_its_first_sign_in(make_app: MakeApp) -> None:
    registered: list[t.Any] = []

    def make(issuer: str) -> Flask:
        @functools.cache
        def find_provider(tenant: str) -> OpenIDConnect:
            client = OpenIDConnect.register_client(
                issuer,
                redirect_uris=[f"{request.host_url}callback"],
                client_name=tenant,
                initial_access_token=TOKEN,
            )
            registered.append(client)
            return OpenIDConnect(client["client_id"], client["client_secret"], issuer)

        login = OAuth2Login(find_provider, name="sso", tenant=lambda: "acme", scope="email profile")
        return make_app(login)

    with certified_site(make, configuration=CONFIGURATION) as site:
        _, page = sign_in(site)
        assert page.json()["email"] == "ada@example.com"
        (client,) = registered
        assert client["client_name"] == "acme"
        assert client["registration_access_token"] not in repr(client)
        cases: list[tuple[str | None, dict[str, t.Any], str]] = [
            (None, {}, "invalid_token"),
            ("another", {}, "invalid_token"),
            (TOKEN, {"token_endpoint_auth_method": "nonsense"}, "invalid_client_metadata"),
            (TOKEN, {"application_type": "native"}, "invalid_redirect_uri"),
        ]
        for token, members, error in cases:
            with pytest.raises(TokenError) as caught:
                OpenIDConnect.register_client(
                    site.issuer,
                    redirect_uris=["https://localhost/callback"],
                    initial_access_token=token,
                    **members,
                )
            assert caught.value.error == error, caught.value
