"""What a link to `/login` may ask: little, unless the app has made it."""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import Path
from urllib.parse import urlencode

import pytest
from flask import Flask, request

from flask_oauth2_login import (
    ConfigurationError,
    OAuth2Login,
    OpenIDConnect,
    login_required,
    login_url,
)
from tests.conftest import SSO, MakeApp
from tests.support.apps import EVE
from tests.support.assertions import is_signed_in, query_of
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider

GOLD = {"id_token": {"acr": {"essential": True, "values": ["gold", "platinum"]}}}


class MakeSite(t.Protocol):
    def __call__(
        self, handler: dict[str, t.Any] | None = None, **login: t.Any
    ) -> tuple[Flask, Browser]: ...


@pytest.fixture
def make_site(provider: Provider, make_app: MakeApp, tmp_path: Path) -> MakeSite:
    """An app whose page ``/link`` has the link that its query asks for."""

    def make(handler: dict[str, t.Any] | None = None, **login: t.Any) -> tuple[Flask, Browser]:
        sso = OpenIDConnect(
            provider.client_id, provider.client_secret, provider.issuer,
            api_url=provider.api_url, **(handler or {}),
        )  # fmt: skip
        store = f"sqlite:///{tmp_path}/logins.db"
        site = make_app(OAuth2Login(sso, **{"name": "sso", "store": store, **login}))

        @site.get("/link")
        def link() -> str:
            given: dict[str, t.Any] = request.args.to_dict()
            return login_url(**given)

        return site, Browser(site, provider)

    return make


def link(browser: Browser, **params: t.Any) -> str:
    """A link that the app has made."""
    return browser.get("/link?" + urlencode(params)).text


@pytest.mark.security("A12")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scope", "admin"),
        ("claims", '{"userinfo": {"phone": null}}'),
        ("authorization_details", '[{"type": "payment"}]'),
        ("kc_action", "delete_account"),
        ("max_age", "nan"),
        ("acr_values", "low"),
        ("resource", "https://api.example"),
        ("access_type", "offline"),
    ],
)
def test_a_link_of_anybodys_asks_for_nothing_in_the_apps_name(
    make_site: MakeSite, name: str, value: str
) -> None:
    _, browser = make_site(scope="email")
    url = browser.begin("/login?" + urlencode({name: value, "next": "/me"}))
    assert query_of(url).get(name) == ("openid email" if name == "scope" else None)
    assert browser.finish(url).location == "/me"


@pytest.mark.security("A12")
def test_a_link_of_anybodys_may_say_who_in_which_language_and_how(make_site: MakeSite) -> None:
    _, browser = make_site()
    sent = query_of(browser.begin("/login?login_hint=ada&ui_locales=de&prompt=consent"))
    assert (sent["login_hint"], sent["ui_locales"], sent["prompt"]) == ("ada", "de", "consent")


@pytest.mark.security("A12")
def test_what_the_app_has_put_in_a_link_is_asked(make_site: MakeSite) -> None:
    _, browser = make_site(scope="email")
    url = link(browser, scope="repo", kc_action="UPDATE_PASSWORD", next="/me")
    sent = query_of(browser.begin(url))
    assert sent["scope"] == "openid email repo"
    assert sent["kc_action"] == "UPDATE_PASSWORD"
    assert "signature" not in sent
    assert browser.sign_in(url).location == "/me"


@pytest.mark.security("A12")
@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace("scope=repo", "scope=admin"),
        lambda url: f"{url}&scope=admin",
        lambda url: f"{url}&max_age=0",
        lambda url: url.replace("signature=", "signature=A"),
        lambda url: url.partition("&signature")[0],
        lambda url: f"{url}&signature=x",
    ],
)
def test_a_changed_link_asks_for_nothing(
    make_site: MakeSite, change: t.Callable[[str], str]
) -> None:
    _, browser = make_site()
    url = change(link(browser, scope="repo"))
    sent = query_of(browser.begin(url))
    assert "admin" not in sent["scope"]
    assert "max_age" not in sent


@pytest.mark.security("A12")
def test_the_signature_leaves_next_free_and_is_for_one_login(
    provider: Provider, make_app: MakeApp
) -> None:
    one = OAuth2Login(make_handler(provider), name="one")
    two = OAuth2Login(make_handler(provider), name="two")
    site = make_app(one, two)
    site.add_url_rule("/link", "link", lambda: login_url("one", scope="repo"))
    browser = Browser(site, provider)
    url = link(browser)
    sent = browser.begin(f"{url}&next=/me")
    assert query_of(sent)["scope"] == "repo"
    assert browser.finish(sent).location == "/me"
    assert "scope" not in query_of(browser.begin(url.replace("/one/", "/two/")))


@pytest.mark.security("A12")
def test_a_link_survives_a_new_secret(make_site: MakeSite) -> None:
    site, browser = make_site()
    url = link(browser, scope="repo")
    site.config["SECRET_KEY_FALLBACKS"] = [site.config["SECRET_KEY"]]
    site.config["SECRET_KEY"] = "another"
    assert "repo" in query_of(browser.begin(url))["scope"]


@pytest.mark.security("A12")
@pytest.mark.parametrize("place", ["handler", "blueprint"])
def test_what_the_developer_asks_of_every_sign_in_is_a_floor(
    make_site: MakeSite, provider: Provider, place: str
) -> None:
    params = {"max_age": 300, "acr_values": "gold platinum", "prompt": "login", "scope": "audit"}
    where: dict[str, t.Any] = {"authorize_params": params}
    _, browser = make_site(where) if place == "handler" else make_site(**where)
    for url in (
        "/login?max_age=4000&acr_values=low&prompt=none&scope=x",
        link(browser, max_age=4000, acr_values="gold low"),
    ):
        sent = query_of(browser.begin(url))
        assert sent["max_age"] == "300"
        assert set(sent["acr_values"].split()) <= {"gold", "platinum"}
        assert sent["prompt"] == "login"
        assert "audit" in sent["scope"].split()
    assert query_of(browser.begin(link(browser, max_age=10)))["max_age"] == "10"


@pytest.mark.security("A12")
@pytest.mark.parametrize("place", ["handler", "blueprint"])
@pytest.mark.parametrize("params", [{"acr_values": "gold"}, {"max_age": 300}, {"claims": GOLD}])
def test_what_the_developer_asks_of_every_sign_in_is_checked(
    make_site: MakeSite, provider: Provider, place: str, params: dict[str, t.Any]
) -> None:
    where: dict[str, t.Any] = {"authorize_params": params}
    _, browser = make_site(where) if place == "handler" else make_site(**where)
    provider.id_token_options = {"claims": {"acr": "low", "auth_time": time.time() - 4000}}
    url = browser.begin("/login")
    if "claims" in params:
        assert json.loads(query_of(url)["claims"]) == GOLD
    assert browser.finish(url).status_code == 400
    assert not is_signed_in(browser)
    provider.id_token_options = {"claims": {"acr": "gold"}}
    assert browser.sign_in().status_code == 302
    assert is_signed_in(browser)


@pytest.mark.security("A12")
def test_a_view_that_asks_for_less_lowers_nothing(make_site: MakeSite, provider: Provider) -> None:
    site, browser = make_site(authorize_params={"acr_values": "gold", "max_age": 60})
    site.add_url_rule("/low", "low", login_required(max_age=9000)(lambda: "low"))
    sent = query_of(browser.begin(browser.get("/low").location))
    assert (sent["max_age"], sent["acr_values"]) == ("60", "gold")


@pytest.mark.parametrize("name", ["state", "redirect_uri", "nonce", "client_id", "response_mode"])
def test_what_a_sign_in_sets_itself_is_refused_of_the_developer(
    make_site: MakeSite, name: str
) -> None:
    site, _ = make_site()
    asked: dict[str, t.Any] = {name: "x"}
    with site.test_request_context(), pytest.raises(ConfigurationError, match=name):
        login_url(**asked)
    if name != "response_mode":
        with pytest.raises(ConfigurationError, match=name):
            OAuth2Login("github", authorize_params={name: "x"})


@pytest.mark.security("A11")
def test_another_sites_link_adds_no_account(make_site: MakeSite, provider: Provider) -> None:
    _, browser = make_site()
    browser.sign_in()
    page = browser.get("/login?link=1", site="cross-site")
    assert page.status_code == 200
    assert "Add an account?" in page.text
    assert "Ada Lovelace" in page.text
    assert len(provider.authorizations) == 1, "nobody was sent to the provider"
    # The person says yes on our own page.
    browser.sign_in(browser.link_path(), person=EVE)
    after = browser.get("/me").get_json()
    assert (after["id"], after["owner"]) == ("eve", "sso::ada")


@pytest.mark.security("A11")
def test_a_link_of_the_apps_own_page_adds_an_account_at_once(make_site: MakeSite) -> None:
    _, browser = make_site()
    browser.sign_in()
    url = link(browser, link=1)
    assert browser.sign_in(url, person=EVE).status_code == 302
    assert browser.get("/me").get_json()["owner"] == "sso::ada"


@pytest.mark.security("A11")
def test_the_proof_of_another_session_is_none(make_site: MakeSite, provider: Provider) -> None:
    site, attacker = make_site()
    stranger = link(attacker, link=1)
    attacker.sign_in(person=EVE)
    victim = Browser(site, provider)
    victim.sign_in()
    own = link(victim, link=1)
    for url in (stranger, link(attacker, link=1), f"{own}x", own.replace("link=1", "link=2")):
        page = victim.get(url, site="cross-site")
        assert page.status_code == 200, url
        assert "Add an account?" in page.text
    # A proof is for who is signed in now.
    victim.post("/logout")
    victim.sign_in(person={"sub": "bob"})
    assert "Add an account?" in victim.get(own, site="same-origin").text


@pytest.mark.security("A11")
def test_a_link_that_adds_an_account_asks_a_stranger_to_sign_in_first(
    make_site: MakeSite,
) -> None:
    _, browser = make_site()
    response = browser.get("/login?link=1", site="cross-site")
    assert response.status_code == 302
    assert browser.sign_in(response.location).location.startswith("/login?link=1")


@pytest.mark.security("A11")
def test_where_nothing_names_an_owner_the_link_is_refused(
    provider: Provider, make_app: MakeApp, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = f"sqlite:///{tmp_path}/logins.db"
    anonymous = make_handler(provider, userinfo_url=None)
    logins = [
        OAuth2Login(anonymous, name="anonymous", store=store),
        OAuth2Login(make_handler(provider), name="cookie"),
        OAuth2Login(make_handler(provider), name="stored", store=store),
    ]
    site = make_app(*logins)
    for login in ("anonymous", "cookie"):
        browser = Browser(site, provider)
        browser.sign_in(f"/{login}/login")
        caplog.clear()
        response = browser.get("/stored/login?link=1", site="cross-site")
        assert response.status_code == 400
        assert "be added here" in response.text
        assert "an account can't be added" in caplog.text


@pytest.mark.parametrize("name", ["self", "login", "params", "target"])
def test_any_parameter_of_a_signed_link_goes_to_the_provider(
    app: Flask, browser: Browser, name: str
) -> None:
    asked: dict[str, t.Any] = {name: "1"}
    app.add_url_rule("/link", "link", lambda: login_url(**asked))
    assert query_of(browser.begin(browser.get("/link").text))[name] == "1"


def test_a_link_may_ask_the_provider_for_more_but_not_change_the_flow(
    provider: Provider, sso: SSO
) -> None:
    browser = sso.browser
    query = (
        "prompt=login&ui_locales=de&redirect_uri=https://evil.example&response_type=token&state=x"
    )
    sent = query_of(browser.get(f"/login?{query}").location)
    assert (sent["prompt"], sent["ui_locales"]) == ("login", "de")
    assert sent["redirect_uri"] == "http://localhost/callback"
    assert sent["response_type"] == "code"
    assert len(sent["state"]) == 32


@pytest.mark.parametrize("path", ["/here", "/here?a=b"], ids=["bare", "query"])
def test_a_link_by_full_path_comes_back_to_the_page_as_it_was(
    make_site: MakeSite, path: str
) -> None:
    site, browser = make_site()

    @site.get("/here")
    def here() -> str:
        return login_url(next=request.full_path)

    begun = browser.begin(browser.get(path).text)
    assert browser.finish(begun).location == path
