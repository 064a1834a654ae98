"""Against npm's oidc-provider, which encrypts what it signs for the client."""

from __future__ import annotations

import html
import typing as t
from pathlib import Path

import pytest

from flask_oauth2_login import OAuth2Login, OpenIDConnect, logged_out
from flask_oauth2_login.protocol.encryption import read_decryption_keys
from tests.conftest import MakeApp
from tests.support.certified_provider import answer_forms, certified_site, sign_in
from tests.support.provider.encryption import make_encryption_key
from tests.support.servers import wait_until

if t.TYPE_CHECKING:
    from flask import Flask

#: How ID tokens, and UserInfo, are encrypted.
WAYS = [
    ("P-256", "ECDH-ES", "A256GCM"),
    ("X25519", "ECDH-ES+A256KW", "A256CBC-HS512"),
    ("RSA", "RSA-OAEP-256", "A128CBC-HS256"),
]


@pytest.mark.parametrize(("kind", "alg", "enc"), WAYS, ids=[alg for _, alg, _ in WAYS])
def test_all_that_is_signed_may_be_encrypted(
    make_app: MakeApp, tmp_path: Path, kind: str, alg: str, enc: str
) -> None:
    reasons: list[str] = []
    (key,) = read_decryption_keys("decryption_key", make_encryption_key(kind).as_dict(private=True))

    def note(_sender: t.Any, reason: str, **_: t.Any) -> None:
        reasons.append(reason)

    def make(issuer: str) -> Flask:
        sso = OpenIDConnect(
            "the-client",
            "the-secret-of-the-client",
            issuer,
            decryption_key=key.key.as_dict(private=True),
        )
        store = f"sqlite:///{tmp_path}/logins.db"
        return make_app(OAuth2Login(sso, name="sso", scope="email profile", store=store))

    encryption = {
        f"{what}_encrypted_response_{member}": value
        for what in ("id_token", "userinfo")
        for member, value in (("alg", alg), ("enc", enc))
    }
    client = {
        "jwks": {"keys": [key.public_jwk]},
        "userinfo_signed_response_alg": "RS256",
        **encryption,
    }
    configuration = {
        "features": {"encryption": {"enabled": True}, "jwtUserinfo": {"enabled": True}},
        "enabledJWA": {
            f"{what}Encryption{member}Values": [value]
            for what in ("idToken", "userinfo")
            for member, value in (("Alg", alg), ("Enc", enc))
        },
    }
    with certified_site(make, client=client, configuration=configuration) as site:
        visitor, page = sign_in(site)
        assert page.json()["email"] == "ada@example.com"
        with logged_out.connected_to(note, site.app):
            # The provider sends an encrypted logout token.
            page = visitor.get(f"{site.issuer}/session/end")
            answer_forms(visitor, page, site.issuer)
            wait_until(lambda: reasons == ["back-channel"])
        assert visitor.get(f"{site.url}/me").url.startswith(site.issuer)
        visitor, _ = sign_in(site)
        page = visitor.post(f"{site.url}/logout", headers={"Origin": site.url})
        url = html.unescape(page.text.partition("url=")[2].partition('"')[0])
        assert url.startswith(f"{site.issuer}/session/end?")
        page = answer_forms(visitor, visitor.get(url), site.issuer)
        assert page.url.startswith(f"{site.url}/logout?state=")
