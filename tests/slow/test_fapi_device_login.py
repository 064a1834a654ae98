"""Signing in with another device at npm's oidc-provider."""

from __future__ import annotations

import pytest
import requests
from flask import Flask

from flask_oauth2_login import AuthorizationError, OpenIDConnect
from tests.support.certified_provider import answer_forms, certified_site

CLIENT = {
    "grant_types": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
    "redirect_uris": [],
    "response_types": [],
}
CONFIGURATION = {"features": {"deviceFlow": {"enabled": True}}, "ttl": {"DeviceCode": 600}}


def test_a_person_enters_the_code_in_a_browser() -> None:
    with certified_site(
        lambda _: Flask("unused"), client=CLIENT, configuration=CONFIGURATION
    ) as site:
        handler = OpenIDConnect("the-client", "the-secret-of-the-client", site.issuer)
        prompts: list[str] = []
        decisions: list[dict[str, str]] = [{}, {"abort": "yes"}]
        waits: list[float] = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) % 2 == 0:
                visitor, url = requests.Session(), prompts[-1].split()[4]
                page = visitor.get(url)
                answer_forms(
                    visitor, page, site.issuer, login="ada", password="any", **decisions.pop(0)
                )

        token = handler.device_login(prompts.append, scope="email", wait=wait)
        assert token is not None
        assert token.identity is not None
        assert token.identity.id == "ada"
        assert waits == [5, 5]
        assert handler.fetch_identity(token).email == "ada@example.com"
        with pytest.raises(AuthorizationError, match="access_denied"):
            handler.device_login(prompts.append, wait=wait)
