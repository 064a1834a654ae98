"""Against Keycloak with its client policies for FAPI 2.0: by `profile=`, and nothing else."""

from __future__ import annotations

import json
import time
import typing as t

import pytest
import requests
from joserfc.jwk import ECKey

from flask_oauth2_login import (
    Identity,
    OAuth2Login,
    OpenIDConnect,
    SQLiteStore,
    Token,
    current_oauth_session,
    login_required,
    token_refreshed,
)
from flask_oauth2_login.protocol import base64url
from tests.conftest import MakeApp
from tests.support.keycloak.server import Keycloak, Person
from tests.support.keycloak.visitor import Visitor
from tests.support.provider import Browser
from tests.support.provider.browser import next_step
from tests.support.servers import wait_until
from tests.support.threads import at_once

if t.TYPE_CHECKING:
    from pathlib import Path

    from flask import Flask

#: Keycloak's policies want the app on https.
APP = "https://app.example"
#: The UserInfo endpoint below the issuer, which takes an access token once it is active.
USERINFO = "protocol/openid-connect/userinfo"


class Site(t.NamedTuple):
    """An app, one visitor, and who that is."""

    app: Flask
    browser: Browser
    visitor: Visitor
    person: Person
    keycloak: Keycloak
    #: The tokens that the sign-in and the renewal have brought.
    tokens: list[Token]

    def sign_in(self) -> None:
        page = self.visitor.log_in(self.browser.begin("/login"), self.person)
        # The policies make each client ask for consent.
        if page.html:
            page = self.visitor.submit(page, accept="Yes")
        assert self.visitor.take_home(page).status_code == 302


#: Each profile of Keycloak, with the profile of ours that it wants.
PROFILES: dict[str, t.Literal["fapi2", "fapi2-message-signing"]] = {
    "fapi-2-dpop-security-profile": "fapi2",
    "fapi-2-dpop-message-signing": "fapi2-message-signing",
}


@pytest.fixture(params=list(PROFILES), ids=["security", "signing"])
def site(
    keycloak: Keycloak, make_app: MakeApp, tmp_path: Path, request: pytest.FixtureRequest
) -> t.Iterator[Site]:
    realm = keycloak.add_realm(request.param)
    key = ECKey.generate_key("P-256")
    public = {"keys": [{**key.as_dict(private=False), "kid": key.thumbprint(), "use": "sig"}]}
    realm.admin(
        "PUT",
        "client-policies/policies",
        {
            "policies": [
                {
                    "name": "strict",
                    "enabled": True,
                    "conditions": [{"condition": "any-client", "configuration": {}}],
                    "profiles": [request.param],
                }
            ]
        },
    )
    client = realm.add_client(
        APP,
        attributes={
            "use.jwks.string": "true",
            "jwks.string": json.dumps(public),
            "token.endpoint.auth.signing.alg": "ES256",
            "request.object.signature.alg": "ES256",
            "authorization.signed.response.alg": "ES256",
            "id.token.signed.response.alg": "ES256",
            "access.token.signed.response.alg": "ES256",
            "backchannel.logout.url": f"{APP}/backchannel-logout",
        },
        mappers={},
        clientAuthenticatorType="client-jwt",
    )
    sso = OpenIDConnect(
        client.client_id,
        None,
        realm.issuer,
        profile=PROFILES[request.param],
        private_key=key.as_pem(private=True),
        verify=realm.ca,
        # 32 requests at once wait for each other where the machine is busy.
        timeout=(5, 25),
    )
    login = OAuth2Login(sso, name="sso", scope="openid email", store=SQLiteStore(tmp_path / "s.db"))
    app = make_app(login)

    @app.get("/api")
    @login_required
    def api() -> dict[str, t.Any]:
        response = current_oauth_session.get(USERINFO)
        assert response.status_code == 200, response.text
        # The policies make Keycloak sign what it answers.
        claims = base64url.decode(response.text.split(".")[1])
        return t.cast("dict[str, t.Any]", json.loads(claims))

    browser = Browser(app, base_url=APP)
    visitor = Visitor(realm, browser)
    tokens: list[Token] = []

    @login.on_login
    def keep(_identity: Identity, token: Token) -> None:
        tokens.append(token)

    def note(_sender: t.Any, token: Token, **_: t.Any) -> None:
        tokens.append(token)

    with token_refreshed.connected_to(note, app):
        yield Site(app, browser, visitor, realm.add_person(), realm, tokens)
    visitor.close()


@pytest.mark.security("C6", "F1")
def test_sign_in_api_renewal_and_sign_out(site: Site) -> None:
    # Clocks must agree, so a token that lives for two seconds is waited for.
    site.keycloak.admin("PUT", "", {"accessTokenLifespan": 2})
    site.sign_in()
    site.keycloak.admin("PUT", "", {"accessTokenLifespan": 3600})
    expired_at = time.time() + 2
    assert (site.browser.get("/me").json or {})["id"] == site.person.id
    wait_until(lambda: time.time() > expired_at)
    answers = at_once(lambda: site.browser.fetch("/api"), 32)
    assert {(answer.status_code, answer.json["sub"]) for answer in answers} == {
        (200, site.person.id)
    }
    assert site.keycloak.refreshes(site.person) == ["REFRESH_TOKEN"]
    _, newer = site.tokens
    assert newer["token_type"] == "DPoP"
    assert call_without_key(site.keycloak, newer) == [401, 401]
    target, _ = next_step(site.browser.post("/logout"))
    assert target is not None
    assert site.visitor.take_home(site.visitor.open(target)).status_code == 200
    assert site.browser.fetch("/me").status_code == 401


def call_without_key(keycloak: Keycloak, token: Token) -> list[int]:
    """What Keycloak answers to a copy of a bound token, sent by either scheme."""
    return [
        requests.get(
            f"{keycloak.issuer}/{USERINFO}",
            headers={"Authorization": f"{scheme} {token['access_token']}"},
            verify=keycloak.ca,
            timeout=30,
        ).status_code
        for scheme in ("Bearer", "DPoP")
    ]
