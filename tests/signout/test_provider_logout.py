"""Signing out at the provider as well, and coming back."""

from __future__ import annotations

import dataclasses
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from flask_oauth2_login import OAuth2Login, OpenIDConnect
from tests.conftest import SSO, MakeApp, MakeSSO
from tests.support.assertions import is_signed_in, query_of
from tests.support.provider import Browser, Provider
from tests.support.provider.browser import next_step


@pytest.mark.security("D5")
def test_signing_out_goes_on_to_the_provider_and_comes_back(provider: Provider, sso: SSO) -> None:
    browser = sso.browser
    browser.sign_in()
    page = browser.post("/logout", {"next": "/"})
    assert page.status_code == 200, "a redirect after a POST would be blocked by form-action"
    (refresh,) = [line for line in page.text.splitlines() if "http-equiv" in line]
    url = refresh.partition("url=")[2].partition('"')[0].replace("&amp;", "&")
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert url.startswith(f"{provider.url}/logout?")
    assert query["client_id"] == provider.client_id
    assert query["post_logout_redirect_uri"] == "http://localhost/logout"
    assert query["id_token_hint"].count(".") == 2
    assert not is_signed_in(browser)
    assert provider.calls("/revoke")
    back = browser.get(f"/logout?state={query['state']}", site="cross-site")
    assert back.location == "/"


@pytest.mark.security("D5")
@pytest.mark.parametrize("state", ["", "forged"])
def test_a_forged_state_leads_nowhere_after_signing_out(sso: SSO, state: str) -> None:
    browser = sso.browser
    browser.sign_in()
    browser.post("/logout", {"next": "/"})
    back = browser.get(f"/logout?state={state}", site="cross-site")
    assert back.status_code == 200
    assert not back.location
    assert "signed out" in back.text


def test_a_provider_that_is_down_keeps_nobody_from_signing_out(
    provider: Provider, sso: SSO
) -> None:
    browser = sso.browser
    browser.sign_in()
    provider.down()
    assert browser.post("/logout").status_code < 400
    assert not is_signed_in(browser)


@pytest.mark.security("C2")
def test_a_planted_round_trip_leads_nowhere(provider: Provider, make_app: MakeApp) -> None:
    sso = OpenIDConnect(provider.client_id, provider.client_secret, provider.url)
    app = make_app(OAuth2Login(sso, name="sso"))
    browser = Browser(app, provider)
    browser.sign_in()
    away = browser.post("/logout?next=/bye")
    target, by_page = next_step(away)
    assert by_page
    state = query_of(str(target))["state"]
    (kept,) = (cookie for cookie in browser.cookies if cookie.name.endswith("__logout"))
    now = time.time()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: now + 601)
        browser.jar.put(dataclasses.replace(kept, expires_at=None))
        assert browser.get(f"/logout?state={state}").location is None


@pytest.mark.security("D5")
def test_a_state_counts_once_and_its_cookie_goes(make_sso: MakeSSO) -> None:
    _, _, browser = make_sso("cookie")
    browser.sign_in()
    page = browser.post("/logout", {"next": "/"}).text
    state = page.partition("state=")[2].partition('"')[0].partition("&")[0]
    assert browser.get(f"/logout?state={state}", site="cross-site").location == "/"
    assert browser.cookies == []
    assert browser.get(f"/logout?state={state}", site="cross-site").status_code == 200
