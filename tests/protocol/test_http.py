"""Requests to a provider and the proxies of this machine."""

from __future__ import annotations

import pytest

from flask_oauth2_login import ConfigurationError, OAuth2Login
from tests.conftest import MakeApp
from tests.support.assertions import query_of
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider


@pytest.mark.security("B2")
def test_no_proxy_reads_what_is_for_this_machine_alone(
    provider: Provider, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody listens there: whatever went by this proxy would fail.
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    handler = make_handler(provider)
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    browser.sign_in()
    assert browser.fetch("/call/x").status_code == 200
    home = {"redirect_uri": "http://localhost/callback"}
    answer = query_of(provider.consent(handler.authorize_url(**home)))
    token = handler.get_token(answer["code"], **home)
    assert handler.session(token).get("x").status_code == 200


def test_a_socks_proxy_is_the_developers_mistake(provider: Provider) -> None:
    pytest.importorskip("socks", reason="PySocks is not installed: pip install requests[socks]")
    handler = make_handler(provider, proxies={"http": "socks5h://127.0.0.1:9"})
    with pytest.raises(ConfigurationError, match="SOCKS"):
        handler.get_token("code")
