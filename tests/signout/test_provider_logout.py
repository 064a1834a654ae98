"""Signing out at the provider as well, and coming back."""

from __future__ import annotations

import dataclasses
import json
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from flask_oauth2_login import OAuth2Login, OpenIDConnect
from flask_oauth2_login.protocol import base64url
from tests.conftest import SSO, MakeApp, MakeSSO
from tests.support.apps import STORES
from tests.support.assertions import is_signed_in, query_of
from tests.support.handlers import issue
from tests.support.provider import REMOVED, Browser, Provider, make_key
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
    assert back.headers["Clear-Site-Data"] == '"cache"'


@pytest.mark.security("D5")
@pytest.mark.parametrize("state", ["", "forged"])
def test_a_forged_state_leads_nowhere_after_signing_out(sso: SSO, state: str) -> None:
    browser = sso.browser
    browser.sign_in()
    browser.post("/logout", {"next": "/"})
    back = browser.get(f"/logout?state={state}", site="cross-site")
    assert back.status_code == 200
    assert not back.location
    assert "Signed out" in back.text


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


def logout_request(browser: Browser) -> dict[str, str]:
    """The parameters with which signing out goes on to the provider."""
    page = browser.post("/logout")
    assert page.status_code == 200
    return query_of(page.text.partition("url=")[2].partition('"')[0].replace("&amp;", "&"))


@pytest.mark.security("D5")
@STORES
def test_the_id_token_is_kept_where_it_fits(make_sso: MakeSSO, store: str) -> None:
    _, _, browser = make_sso(store)
    browser.sign_in()
    hint = logout_request(browser).get("id_token_hint")
    assert (hint is None) is (store == "session"), "Flask's session is a cookie of the app's"


@pytest.mark.parametrize(
    ("keep", "size", "kept"), [(None, 43, True), (None, 2900, False), (False, 43, False)]
)
def test_the_id_token_is_left_out_where_a_cookie_has_no_room(
    provider: Provider, make_sso: MakeSSO, keep: bool | None, size: int, kept: bool
) -> None:
    provider.access_token_size = size
    _, _, browser = make_sso("cookie", keep_id_token=keep)
    assert browser.sign_in().status_code == 302
    assert is_signed_in(browser)
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 200
    assert ("id_token_hint" in logout_request(browser)) is kept


def test_no_id_token_is_kept_for_a_provider_that_nobody_signs_out_at(
    provider: Provider, make_sso: MakeSSO
) -> None:
    provider.metadata_overrides = {"end_session_endpoint": REMOVED}
    _, _, browser = make_sso("cookie")
    browser.sign_in()
    without = sum(len(cookie.value) for cookie in browser.jar)
    provider.metadata_overrides = {}
    _, _, browser = make_sso("cookie")
    browser.sign_in()
    assert sum(len(cookie.value) for cookie in browser.jar) > without + 400


@pytest.mark.parametrize(
    ("store", "offline"), [("cookie", False), ("sqlite", False), ("sqlite", True)]
)
def test_the_hint_is_the_newest_id_token_that_was_validated(
    provider: Provider, make_sso: MakeSSO, store: str, offline: bool
) -> None:
    _, _, browser = make_sso(store, offline=offline)
    browser.sign_in()
    issue(provider, claims={"newest": True})
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 200
    issue(provider, claims={"newest": False}, key=make_key("RS256", 8))
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 200
    claims = logout_request(browser)["id_token_hint"].split(".")[1]
    assert json.loads(base64url.decode(claims))["newest"] is True


def test_the_hint_is_of_the_browsers_own_session_though_a_grant_has_another_ones(
    provider: Provider, make_sso: MakeSSO
) -> None:
    app, _, browser = make_sso(offline=True)
    browser.sign_in()
    own = provider.latest_grant.sid
    phone = Browser(app, provider)
    phone.sign_in()
    provider.grants.expire_access()
    assert phone.fetch("/call/x").status_code == 200
    for each, sid in ((browser, own), (phone, provider.latest_grant.sid)):
        claims = logout_request(each)["id_token_hint"].split(".")[1]
        assert json.loads(base64url.decode(claims))["sid"] == sid


def test_logout_params_are_added_and_taken_away(make_sso: MakeSSO) -> None:
    params = {"logout_uri": "http://localhost/logout", "post_logout_redirect_uri": None}
    _, _, browser = make_sso(handler={"logout_params": params})
    browser.sign_in()
    sent = logout_request(browser)
    assert sent["logout_uri"] == "http://localhost/logout"
    assert "post_logout_redirect_uri" not in sent
    assert "client_id" in sent


def test_revoke_false_revokes_nothing(provider: Provider, make_sso: MakeSSO) -> None:
    _, _, browser = make_sso(handler={"revoke": False})
    browser.sign_in()
    browser.post("/logout")
    assert not is_signed_in(browser)
    assert not provider.calls("/revoke")
