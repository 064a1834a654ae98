"""What the guard demands: only what it can check, and by what proves it."""

from __future__ import annotations

import functools
import time
import typing as t

import pytest
from flask import Flask

from flask_oauth2_login import (
    ConfigurationError,
    OAuth2Login,
    OpenIDConnect,
    current_oauth_session,
    login_required,
    require_login,
)
from tests.conftest import SSO, MakeApp, MakeSSO
from tests.support.assertions import query_of
from tests.support.clock import Clock
from tests.support.handlers import make_handler
from tests.support.provider import REMOVED, Answer, Browser, Provider


def make_login(provider: Provider, name: str = "sso", **options: t.Any) -> OAuth2Login:
    handler = {key: options.pop(key) for key in ("authorize_params",) if key in options}
    sso = OpenIDConnect(
        provider.client_id, provider.client_secret, provider.issuer,
        api_url=provider.api_url, **handler,
    )  # fmt: skip
    return OAuth2Login(sso, name=name, **options)


@pytest.fixture
def app(provider: Provider, make_app: MakeApp) -> Flask:
    return make_app(make_login(provider))


@pytest.mark.security("D1")
@pytest.mark.parametrize(
    "demand",
    [
        {"role": "admin"},
        {"roles_any": ["admin"]},
        {"groups": ["admins"]},
        {"tenant": "acme"},
        {"permission": "write"},
        {"prompt": "login"},
        {"email_verified": True},
        {"self": 1},
        {"view": 1},
    ],
)
def test_an_unknown_demand_is_an_error_where_the_view_is_decorated(
    demand: dict[str, t.Any],
) -> None:
    (name,) = demand
    for login in (("sso",), ()):
        with pytest.raises(ConfigurationError, match=f"(?s){name}.*authorize_params"):
            login_required(*login, **demand)


@pytest.mark.security("D1")
def test_an_unknown_demand_of_the_function_is_an_error_for_everybody(
    app: Flask, browser: Browser
) -> None:
    def admin() -> str:
        require_login("sso", role="admin")  # type: ignore[arg-type]
        return "seen"

    app.add_url_rule("/admin", "admin", admin)
    with pytest.raises(ConfigurationError, match="role"):
        browser.get("/admin")
    browser.sign_in()
    with pytest.raises(ConfigurationError, match="role"):
        browser.get("/admin")


@pytest.mark.security("D1")
@pytest.mark.parametrize(
    ("demands", "fix"),
    [
        ({"max_age": float("nan")}, "number of seconds"),
        ({"max_age": "soon"}, "number of seconds"),
        ({"max_age": -1}, "number of seconds"),
        ({"max_age": True}, "number of seconds"),
        ({"check": "admin"}, "plain function"),
        ({"roles": []}, "list of roles"),
        ({"roles": ""}, "list of roles"),
        ({"roles": 7}, "list of roles"),
        ({"roles": {"admin": True}}, "list of roles"),
        ({"roles": ["admin", None]}, "list of roles"),
        ({"roles": (role for role in ["admin"])}, "list of roles"),
        ({"roles": False}, "list of roles"),
        ({"roles_all": [["admin"]]}, "list of roles"),
        ({"authorize_params": "prompt=login"}, "dictionary"),
        ({"authorize_params": {"state": "x"}}, "state"),
        ({"authorize_params": {"redirect_uri": "https://evil.example"}}, "redirect_uri"),
        ({"authorize_params": {"max_age": "nan"}}, "number of seconds"),
        ({"authorize_params": {"claims": "{"}}, "claims"),
        ({"acr_values": "gold", "authorize_params": {"acr_values": "silver"}}, "in common"),
    ],
)
def test_a_demand_that_cannot_be_checked_is_an_error_where_the_view_is_decorated(
    demands: dict[str, t.Any], fix: str
) -> None:
    with pytest.raises(ConfigurationError, match=fix):
        login_required("sso", **demands)


@pytest.mark.security("D1")
def test_what_only_the_provider_understands_is_sent_when_somebody_signs_in(
    app: Flask, browser: Browser
) -> None:
    guard = login_required("sso", authorize_params={"kc_action": "UPDATE_PASSWORD", "x": ["1"]})
    app.add_url_rule("/password", "password", guard(lambda: "changed"))
    sent = browser.begin(browser.get("/password").location)
    assert query_of(sent)["kc_action"] == "UPDATE_PASSWORD"
    assert query_of(sent)["x"] == "1"
    assert browser.finish(sent).location == "/password"
    assert browser.get("/password").text == "changed"


@pytest.mark.security("D1")
@pytest.mark.parametrize(
    ("params", "missing", "proof"),
    [
        ({"scope": "repo"}, {}, {}),
        ({"acr_values": "gold"}, {}, {"acr": "gold"}),
        ({"max_age": 0}, {"auth_time": 1_000_000_000}, {}),
        (
            {"claims": {"id_token": {"acr": {"essential": True, "values": ["gold"]}}}},
            {},
            {"acr": "gold"},
        ),
    ],
)
def test_what_stands_among_the_params_is_checked_all_the_same(
    app: Flask,
    browser: Browser,
    provider: Provider,
    params: dict[str, t.Any],
    missing: dict[str, t.Any],
    proof: dict[str, t.Any],
) -> None:
    guard = login_required("sso", authorize_params=params)
    app.add_url_rule("/closed", "closed", guard(lambda: "inside"))
    provider.granted_scope = "openid"
    provider.id_token_options = {"claims": missing}
    browser.sign_in()
    response = browser.get("/closed")
    assert response.status_code == 302
    url = browser.begin(response.location)
    assert set(query_of(url)) >= set(params) - {"claims"}
    provider.granted_scope = None
    provider.id_token_options = {"claims": proof}
    provider.signed_in_at = time.time()
    assert browser.finish(url).location == "/closed"
    if "claims" not in params:
        assert browser.get("/closed").text == "inside"


@pytest.mark.security("D1")
@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (None, "NoneType"),
        ("yes", "str"),
        (1, "int"),
        ((False, "not an admin"), "tuple"),
        ([], "list"),
    ],
)
def test_a_check_that_returns_no_bool_lets_nobody_in(
    app: Flask, browser: Browser, answer: t.Any, named: str
) -> None:
    app.add_url_rule("/checked", "checked", login_required(check=lambda _: answer)(lambda: "seen"))
    browser.sign_in()
    with pytest.raises(ConfigurationError, match=named):
        browser.get("/checked")


@pytest.mark.security("D1")
def test_a_check_that_returns_a_coroutine_or_a_generator_lets_nobody_in(
    app: Flask, browser: Browser
) -> None:
    async def nobody(_identity: t.Any) -> bool:
        return False

    async def nobody_in_turn(_identity: t.Any) -> t.AsyncIterator[bool]:
        yield False

    def nobody_after_another(_identity: t.Any) -> t.Iterator[bool]:
        yield False

    class Nobody:
        async def __call__(self, _identity: t.Any) -> bool:
            return False

    for check in (nobody, nobody_in_turn, nobody_after_another, Nobody()):
        with pytest.raises(ConfigurationError, match="plain function"):
            login_required(check=t.cast(t.Any, check))
    checks: list[t.Any] = [nobody, nobody_in_turn, nobody_after_another]
    for number, check in enumerate(checks):
        guard = login_required(check=functools.partial(call, check))
        app.add_url_rule(f"/{number}", f"hidden-{number}", guard(lambda: "seen"))
    browser.sign_in()
    for number in range(len(checks)):
        with pytest.raises(ConfigurationError, match=r"coroutine|generator"):
            browser.get(f"/{number}")


def call(function: t.Callable[[t.Any], t.Any], identity: t.Any) -> t.Any:
    """Call a function from one that is plain."""
    return function(identity)


@pytest.mark.security("D1")
def test_a_silent_sign_in_is_not_a_recent_one(
    app: Flask, browser: Browser, provider: Provider
) -> None:
    app.add_url_rule("/recent", "recent", login_required(max_age=300)(lambda: "recent"))
    provider.id_token_options = {"claims": {"auth_time": REMOVED}}
    browser.sign_in()
    response = browser.get("/recent")
    assert response.status_code == 302, "nobody says when the person signed in at the provider"
    url = browser.begin(response.location)
    assert query_of(url)["max_age"] == "300"
    refused = browser.finish(url)
    assert refused.status_code == 400
    assert browser.get("/recent").status_code == 302
    provider.id_token_options = {"claims": {"auth_time": time.time() - 4000}}
    assert browser.sign_in(browser.get("/recent").location).status_code == 400
    provider.id_token_options = {}
    assert browser.sign_in(browser.get("/recent").location).location == "/recent"
    assert browser.get("/recent").text == "recent"


@pytest.mark.security("D1")
@pytest.mark.parametrize("demand", [{"max_age": 300}, {"acr_values": "gold"}])
def test_a_login_without_id_tokens_proves_nothing(
    provider: Provider, make_app: MakeApp, demand: dict[str, t.Any]
) -> None:
    app = make_app(OAuth2Login(make_handler(provider), name="plain"))
    app.add_url_rule("/any", "any", login_required(**demand)(lambda: "seen"))
    app.add_url_rule("/one", "one", login_required("plain", **demand)(lambda: "seen"))
    browser = Browser(app, provider)
    for _ in range(2):
        for path in ("/any", "/one"):
            with pytest.raises(ConfigurationError, match="ID tokens"):
                browser.get(path)
        browser.sign_in()


@pytest.mark.security("D1")
def test_of_several_logins_only_those_with_id_tokens_are_offered_for_a_proof(
    provider: Provider, make_app: MakeApp
) -> None:
    app = make_app(OAuth2Login(make_handler(provider), name="plain"), make_login(provider))
    app.add_url_rule("/recent", "recent", login_required(max_age=300)(lambda: "recent"))
    browser = Browser(app, provider)
    assert browser.get("/recent").location.startswith("/sso/login?")
    browser.sign_in("/plain/login")
    response = browser.get("/recent")
    assert response.location.startswith("/sso/login?")
    assert browser.sign_in(response.location).location == "/recent"
    assert browser.get("/recent").text == "recent"


@pytest.mark.security("D1")
@pytest.mark.parametrize("place", ["handler", "blueprint"])
@pytest.mark.parametrize("params", [{"max_age": 300}, {"acr_values": "gold"}])
def test_a_proof_that_no_id_token_can_give_is_told_at_registration(
    provider: Provider, make_app: MakeApp, place: str, params: dict[str, t.Any]
) -> None:
    on_handler, on_blueprint = (params, {}) if place == "handler" else ({}, params)
    handler = make_handler(provider, authorize_params=on_handler)
    login = OAuth2Login(handler, authorize_params=on_blueprint)
    with pytest.raises(ConfigurationError, match="ID tokens"):
        make_app(login)


@pytest.mark.security("D1")
def test_what_the_provider_understands_is_asked_again_with_a_recent_sign_in(
    provider: Provider, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(make_login(provider))
    guard = login_required(max_age=5, authorize_params={"prompt": "login"})
    app.add_url_rule("/pay", "pay", guard(lambda: "paid"))
    browser, clock = Browser(app, provider), Clock(monkeypatch)
    for _ in range(3):
        url = browser.begin(browser.get("/pay").location)
        assert query_of(url)["prompt"] == "login"
        assert browser.finish(url).location == "/pay"
        assert browser.get("/pay").text == "paid"
        clock.ahead += 20


@pytest.mark.security("D1")
@pytest.mark.parametrize(
    ("demand", "fix"),
    [
        ({"chek": lambda _: False}, "check"),
        ({"checks": lambda _: False}, "check"),
        ({"allowed": lambda _: False}, "check"),
        ({"scopes": "repo"}, "scope"),
        ({"maxage": 300}, "max_age"),
        ({"acr_value": "gold"}, "acr_values"),
        ({"acr": "gold"}, "acr_values"),
        ({"login": "sso"}, "first"),
    ],
)
def test_a_misspelt_demand_lets_nobody_in(demand: dict[str, t.Any], fix: str) -> None:
    with pytest.raises(ConfigurationError, match=fix):
        login_required(**demand)(lambda: "seen")


@pytest.mark.security("D1")
def test_a_misspelt_demand_of_a_function_lets_nobody_in(make_sso: MakeSSO) -> None:
    app, _, browser = make_sso("cookie")

    @app.get("/admin")
    def admin() -> str:
        require_login(chek=lambda _: False)  # type: ignore[arg-type]
        return "seen"

    browser.sign_in()
    with pytest.raises(ConfigurationError, match="check"):
        browser.get("/admin")


@pytest.mark.parametrize(("max_age", "late"), [(0, 20), (30, 45), (300, 330)])
def test_an_age_is_asked_for_whenever_it_is_over_and_met_by_signing_in(
    provider: Provider, make_sso: MakeSSO, clock: Clock, max_age: int, late: int
) -> None:
    app, _, browser = make_sso("cookie")

    @app.get("/pay")
    @login_required(max_age=max_age)
    def pay() -> str:
        return "paid"

    first = browser.get("/pay")
    assert query_of(first.location)["max_age"] == str(max_age), "one way to the provider, not two"
    for _ in range(3):
        provider.signed_in_at = time.time()
        response = browser.get("/pay")
        assert response.status_code == 302
        assert browser.sign_in(response.location).location == "/pay"
        assert browser.get("/pay").text == "paid"
        clock.ahead += late


def test_a_view_asks_for_a_stronger_or_more_recent_sign_in(provider: Provider, sso: SSO) -> None:
    app, browser = sso.app, sso.browser

    @app.get("/gold")
    @login_required(acr_values="gold")
    def gold() -> str:
        return "gold"

    @app.get("/recent")
    @login_required(max_age=300)
    def recent() -> str:
        return "recent"

    browser.sign_in()
    response = browser.get("/gold")
    assert "acr_values=gold" in response.location
    response = browser.get(response.location)
    assert query_of(response.location)["acr_values"] == "gold"
    provider.id_token_options = {"claims": {"acr": "gold"}}
    assert browser.finish(response.location).location == "/gold"
    assert browser.get("/gold").text == "gold"
    assert browser.get("/recent").text == "recent"


def test_a_provider_that_answers_too_little_ends_in_a_page_not_in_a_loop(
    provider: Provider, sso: SSO
) -> None:
    app, browser = sso.app, sso.browser

    @app.get("/stronger")
    @login_required
    def stronger() -> t.Any:
        return current_oauth_session.get("step-up").json()

    challenge = 'Bearer error="insufficient_user_authentication", acr_values="gold"'
    provider.on("/api/step-up", Answer(status=401, headers={"WWW-Authenticate": challenge}))
    browser.sign_in()
    response = browser.get("/stronger")
    assert query_of(response.location)["acr_values"] == "gold"
    provider.id_token_options = {"claims": {"acr": "gold"}}
    assert browser.sign_in(response.location).location == "/stronger"
    assert browser.get("/stronger").status_code == 403


@pytest.mark.security("D1")
@pytest.mark.parametrize("max_age", ["nan", "-1", "soon", "1e9"])
def test_an_age_that_an_api_makes_up_is_no_demand_and_no_500(
    provider: Provider, sso: SSO, max_age: str
) -> None:
    app, browser = sso.app, sso.browser

    @app.get("/stronger")
    @login_required
    def stronger() -> t.Any:
        return current_oauth_session.get("step-up").json()

    error = 'error="insufficient_user_authentication"'
    challenge = f'Bearer {error}, acr_values="gold", max_age="{max_age}"'
    provider.on("/api/step-up", Answer(status=401, headers={"WWW-Authenticate": challenge}))
    browser.sign_in()
    sent = query_of(browser.get("/stronger").location)
    assert sent["acr_values"] == "gold"
    assert "max_age" not in sent


def test_scope_is_asked_for_once_and_earlier_scopes_stay(provider: Provider, sso: SSO) -> None:
    app, browser = sso.app, sso.browser

    @app.get("/repos")
    @login_required(scope="repo")
    def repos() -> str:
        return "repos"

    provider.granted_scope = "openid email"
    browser.sign_in()
    response = browser.get(browser.get("/repos").location)
    assert set(query_of(response.location)["scope"].split()) == {"openid", "email", "repo"}
    provider.granted_scope = None
    assert browser.finish(response.location).location == "/repos"
    assert browser.get("/repos").text == "repos"
    provider.granted_scope = "openid email"
    other = Browser(app, provider)
    refused = other.sign_in(other.get("/repos").location)
    assert refused.location == "/repos"
    assert other.get("/repos").status_code == 403


@pytest.mark.security("D1")
@pytest.mark.parametrize("name", ["next", "link", "signature", "_external", "_anchor"])
def test_what_is_no_parameter_of_the_provider_is_refused_of_a_guard(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        login_required(authorize_params={name: "x"})
    with pytest.raises(ConfigurationError, match=name):
        require_login(authorize_params={name: "x"})


@pytest.mark.security("D1", "E5")
@pytest.mark.parametrize(
    ("demand", "claims", "sentence"),
    [
        ({"acr_values": "gold"}, {"acr": "silver"}, "stronger sign-in"),
        ({"max_age": 5}, {"auth_time": lambda now: now - 60}, "more recent sign-in"),
        ({"max_age": 0}, {"auth_time": lambda now: now - 30}, "more recent sign-in"),
    ],
)
def test_a_step_up_that_the_provider_does_not_fulfil_is_told_as_it_is(
    provider: Provider,
    make_sso: MakeSSO,
    demand: dict[str, t.Any],
    claims: dict[str, t.Any],
    sentence: str,
) -> None:
    app, _, browser = make_sso()
    app.add_url_rule("/strong", "strong", login_required(**demand)(lambda: "inside"))
    provider.signed_in_at = time.time() - 3600
    browser.sign_in()
    provider.id_token_options = {"claims": claims}
    page = browser.sign_in(browser.get("/strong").location)
    assert page.status_code == 400
    assert sentence in page.text
    assert "Try again" not in page.text
    assert "does not belong" not in page.text
    assert 'href="/"' in page.text
    assert browser.get("/strong").status_code == 302
    assert browser.fetch("/me").status_code == 200, "who was signed in still is"


@pytest.mark.security("E5")
def test_a_person_may_take_a_while_after_authenticating(
    provider: Provider, make_sso: MakeSSO, clock: Clock
) -> None:
    app, _, browser = make_sso()
    app.add_url_rule("/strong", "strong", login_required(max_age=0)(lambda: "inside"))
    url = browser.begin(browser.get("/strong").location)
    provider.signed_in_at = time.time()
    clock.ahead += 200
    assert browser.finish(url).location == "/strong"
    assert browser.get("/strong").text == "inside"
