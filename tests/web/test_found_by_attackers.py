"""Whole requests with which somebody got more, or lost more, than they should."""

from __future__ import annotations

import json
import os
import shutil
import time
import typing as t
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest
from flask import Flask

from flask_oauth2_login import (
    ConfigurationError,
    OAuth2Login,
    OpenIDConnect,
    ProviderError,
    login_required,
    require_login,
)
from tests.conftest import MakeApp
from tests.support.assertions import is_signed_in, query_of
from tests.support.handlers import make_handler
from tests.support.provider import Answer, Browser, Provider


def make_sso(provider: Provider, **options: t.Any) -> OAuth2Login:
    sso = OpenIDConnect(
        provider.client_id, provider.client_secret, provider.issuer, api_url=provider.api_url
    )
    return OAuth2Login(sso, **{"name": "sso", **options})


@pytest.mark.security("A3")
def test_another_sites_posts_leave_no_heap_of_cookies(
    provider: Provider, make_app: MakeApp
) -> None:
    browser = Browser(make_app(make_sso(provider)), provider, base_url="https://app.example")
    form = {"iss": provider.issuer, "login_hint": "x" * 1900, "target_link_uri": "/me"}
    for _ in range(12):
        response = browser.post("/login", form, site="cross-site")
        assert response.status_code == 303
        browser.follow(response, site="cross-site")
    size = sum(len(f"{cookie.name}={cookie.value}; ") for cookie in browser.cookies)
    assert size < 3000
    # It is a way to sign in all the same.
    sent = browser.begin("/login?" + urlencode({**form, "login_hint": "ada"}))
    assert query_of(sent)["login_hint"] == "ada"


@pytest.mark.security("A1")
@pytest.mark.parametrize("replay", ["used", "forgotten"])
def test_who_is_signed_in_already_goes_on_where_an_answer_comes_once_more(
    provider: Provider, make_app: MakeApp, replay: str
) -> None:
    site = make_app(OAuth2Login(make_handler(provider)))
    browser = Browser(site, provider)
    url = browser.begin("/login?next=/me")
    callback = provider.consent(url)
    copy = browser.jar.copy()
    first = browser.get(callback.replace("http://localhost", ""), site="cross-site")
    assert first.location == "/me"
    if replay == "used":
        for cookie in copy:
            if "oauth2_login_oauth2__" in cookie.name:
                browser.jar.put(cookie)
    again = browser.get(callback.replace("http://localhost", ""), site="cross-site")
    assert (again.status_code, again.location) == (302, "/me" if replay == "used" else "/")
    assert len(provider.calls("/token")) == 1, "the answer itself is not used"
    stranger = Browser(site, provider)
    assert stranger.get(callback.replace("http://localhost", "")).status_code == 400


@pytest.mark.security("D3")
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes.")
def test_a_folder_that_others_may_write_to_forgets_no_sign_out(
    provider: Provider, make_app: MakeApp
) -> None:
    site = make_app(OAuth2Login(make_handler(provider)))
    browser = Browser(site, provider)
    browser.sign_in()
    copy = browser.jar.copy()
    browser.post("/logout")
    folder = Path(site.instance_path, "oauth2_login")
    assert folder.is_dir()
    folder.chmod(0o770)
    # Another worker starts: it knows only what the file says.
    newer = Flask("the_app", instance_path=site.instance_path)
    newer.config |= {"SECRET_KEY": site.config["SECRET_KEY"], "TESTING": True}
    newer.register_blueprint(OAuth2Login(make_handler(provider)))
    newer.add_url_rule("/me", "me", login_required(lambda: "seen"))
    other = Browser(newer, provider)
    other.jar = copy
    response = other.get("/me")
    assert response.status_code == 503
    folder.chmod(0o700)
    time.sleep(1.1)
    assert other.fetch("/me").status_code == 401


@pytest.mark.security("D1")
def test_two_guards_of_two_logins_are_no_circle(provider: Provider, make_app: MakeApp) -> None:
    site = make_app(OAuth2Login(make_handler(provider), name="plain"), make_sso(provider))

    @site.get("/both")
    @login_required("plain")
    @login_required(max_age=300)
    def both() -> str:
        return "seen"

    browser = Browser(site, provider)
    browser.sign_in("/plain/login")
    browser.sign_in("/sso/login")
    for _ in range(3):
        response = browser.get("/both")
        if response.status_code == 200:
            break
        browser.sign_in(response.location)
    assert browser.get("/both").text == "seen"


@pytest.mark.security("D1")
def test_a_store_that_is_away_is_a_page_in_an_apps_own_layout_too(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    folder = tmp_path / "templates" / "oauth2_login"
    folder.mkdir(parents=True)
    layout = "<h1>{{ self.title() }}</h1>{% if current_identity %}{{ logout_button() }}{% endif %}"
    (folder / "layout.html").write_text("{% block title %}{% endblock %}" + layout)
    store = tmp_path / "logins.db"
    site = make_app(OAuth2Login(make_handler(provider), store=f"sqlite:///{store}"))
    site.template_folder = str(tmp_path / "templates")
    browser = Browser(site, provider)
    browser.sign_in()
    for file in tmp_path.glob("logins.db*"):
        file.unlink()
    store.mkdir()
    time.sleep(1.1)
    for path in ("/me", "/logout"):
        response = browser.get(path)
        assert response.status_code == 503, response.text
        assert "<h1>" in response.text
    shutil.rmtree(store)


@pytest.mark.security("D1")
@pytest.mark.parametrize("name", ["next", "link", "signature", "_external", "_anchor"])
def test_what_is_no_parameter_of_the_provider_is_refused_of_a_guard(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        login_required(authorize_params={name: "x"})
    with pytest.raises(ConfigurationError, match=name):
        require_login(authorize_params={name: "x"})


@pytest.mark.security("C6")
@pytest.mark.parametrize("store", ["cookie", "sqlite"])
def test_a_renewed_token_that_cannot_be_kept_ends_the_login_cleanly(
    provider: Provider, make_app: MakeApp, tmp_path: Path, store: str
) -> None:
    where = f"sqlite:///{tmp_path}/logins.db" if store == "sqlite" else store
    site = make_app(OAuth2Login(make_handler(provider, revoke_url="revoke"), store=where))
    browser = Browser(site, provider)
    browser.sign_in()
    provider.grants.expire_access()
    # Less than an answer may have, and more than can be kept: a letter of two bytes takes six.
    token = {"access_token": "new", "token_type": "Bearer", "refresh_token": "newer"}
    body = json.dumps({**token, "x": "é" * 450_000}, ensure_ascii=False).encode()
    provider.on("/token", Answer(body=body, content_type="application/json"), times=1)
    assert browser.fetch("/call/x").status_code == 401
    assert browser.fetch("/call/x").status_code == 401
    forms = [parse_qs(call.body.decode()) for call in provider.calls("/token")]
    sent = [form["refresh_token"][0] for form in forms if "refresh_token" in form]
    assert len(sent) == len(set(sent)), "a spent refresh token was sent again"
    assert not is_signed_in(browser)


@pytest.mark.security("C9")
def test_who_hangs_at_the_provider_keeps_nobody_from_trying(
    provider: Provider, make_app: MakeApp
) -> None:
    from flask_oauth2_login.client.backoff import BackOff
    from flask_oauth2_login.client.token_source import TokenSource
    from flask_oauth2_login.protocol.errors import ProviderUnreachableError

    class Person(TokenSource):
        key, name, person, max_request_seconds = "", "sso", "", 60.0

        def __init__(self, key: str) -> None:
            self.key = self.person = key

    back_off, eve, bob, ada = BackOff(), Person("eve"), Person("bob"), Person("ada")
    back_off.failed(eve, ProviderUnreachableError("It hangs.", retry_after=0))
    time.sleep(0.01)
    back_off.check(eve)
    back_off.check(bob)
    with pytest.raises(ProviderError):
        # Now bob tries it for all others.
        back_off.check(ada)


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
