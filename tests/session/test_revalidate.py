"""``revalidate``: the provider confirms a login again after a while, exactly once."""

from __future__ import annotations

import typing as t

import pytest

from flask_oauth2_login import ConfigurationError, OAuth2Login, logged_out
from tests.conftest import MakeApp, MakeSSO
from tests.session.test_roles import access_token
from tests.support.apps import STORES
from tests.support.clock import Clock
from tests.support.handlers import issue, make_handler, make_openid
from tests.support.provider import REMOVED, Answer, Browser, Provider
from tests.support.threads import at_once

#: An access token outlives this, so nothing else renews it.
SECONDS = 900


@pytest.fixture
def lasting(provider: Provider) -> Provider:
    """A provider whose access tokens live for a day."""
    provider.expires_in = 24 * 3600
    return provider


def say(provider: Provider, **claims: t.Any) -> None:
    assert provider.person is not None
    for person in (provider.person, *(grant.person for grant in provider.grants.all)):
        person.update(claims)


def roles_of(browser: Browser) -> list[str]:
    answer = browser.get("/me")
    assert answer.status_code == 200
    return t.cast("list[str]", (answer.json or {})["roles"])


def refreshes(provider: Provider) -> int:
    return len([c for c in provider.calls("/token") if c.form["grant_type"] == "refresh_token"])


@STORES
def test_a_guarded_page_renews_once_the_time_is_over(
    make_sso: MakeSSO, lasting: Provider, clock: Clock, store: str
) -> None:
    say(lasting, groups=["admins"])
    sso = make_sso(store, roles="groups", revalidate=SECONDS)
    sso.browser.sign_in()
    say(lasting, groups=["staff"])
    clock.ahead += SECONDS - 60
    assert roles_of(sso.browser) == ["admins"]
    assert refreshes(lasting) == 0
    clock.ahead += 120
    assert roles_of(sso.browser) == ["staff"]
    assert roles_of(sso.browser) == ["staff"]
    assert refreshes(lasting) == 1
    clock.ahead += SECONDS + 60
    assert roles_of(sso.browser) == ["staff"]
    assert refreshes(lasting) == 2


def test_without_the_option_no_page_renews(
    make_sso: MakeSSO, lasting: Provider, clock: Clock
) -> None:
    sso = make_sso()
    sso.browser.sign_in()
    clock.ahead += 10 * SECONDS
    roles_of(sso.browser)
    assert refreshes(lasting) == 0


@STORES
def test_a_call_that_renews_confirms_too(
    make_sso: MakeSSO, provider: Provider, clock: Clock, store: str
) -> None:
    sso = make_sso(store, revalidate=SECONDS)
    sso.browser.sign_in()
    clock.ahead += SECONDS - 60
    provider.grants.expire_access()
    assert sso.browser.fetch("/call/x").status_code == 200
    clock.ahead += 120
    roles_of(sso.browser)
    assert refreshes(provider) == 1


@pytest.mark.security("D1")
@STORES
def test_a_refusal_ends_the_login(
    make_sso: MakeSSO, lasting: Provider, clock: Clock, store: str
) -> None:
    sso = make_sso(store, revalidate=SECONDS)
    sso.browser.sign_in()
    reasons: list[str] = []

    def note(_sender: t.Any, reason: str, **_: t.Any) -> None:
        reasons.append(reason)

    lasting.grants.revoke_all()
    clock.ahead += SECONDS + 1
    with logged_out.connected_to(note, sso.app):
        assert sso.browser.get("/me").location == "/login?next=/me"
        assert sso.browser.get("/me").location == "/login?next=/me"
    assert reasons == ["refused"]
    assert len(lasting.calls("/token")) == 2


@pytest.mark.security("D1")
def test_a_refusal_ends_the_login_of_a_grant(
    make_sso: MakeSSO, lasting: Provider, clock: Clock
) -> None:
    say(lasting, groups=["admins"])
    sso = make_sso(roles="groups", revalidate=SECONDS, offline=True)
    sso.browser.sign_in()
    say(lasting, groups=["staff"])
    clock.ahead += SECONDS + 1
    assert roles_of(sso.browser) == ["staff"]
    lasting.grants.revoke_all()
    clock.ahead += SECONDS + 1
    assert sso.browser.get("/me").location == "/login?next=/me"
    assert sso.browser.get("/me").location == "/login?next=/me"


@pytest.mark.parametrize(
    "trouble", [Answer(503), Answer(500), Answer(400, {"error": "invalid_client"})]
)
@STORES
def test_an_outage_leaves_the_login_and_is_tried_again(
    make_sso: MakeSSO, lasting: Provider, clock: Clock, store: str, trouble: Answer
) -> None:
    say(lasting, groups=["admins"])
    sso = make_sso(store, roles="groups", revalidate=SECONDS)
    sso.browser.sign_in()
    say(lasting, groups=["staff"])
    lasting.on("/token", trouble)
    clock.ahead += SECONDS + 1
    for _ in range(3):
        assert roles_of(sso.browser) == ["admins"]
    assert refreshes(lasting) == 1, "there is a pause"
    lasting.off()
    clock.ahead += 60
    assert roles_of(sso.browser) == ["staff"]


@STORES
def test_pages_at_the_same_time_renew_once(
    make_sso: MakeSSO, lasting: Provider, clock: Clock, store: str
) -> None:
    sso = make_sso(store, revalidate=SECONDS)
    sso.browser.sign_in()
    clock.ahead += SECONDS + 1
    statuses: list[int] = []

    def visit() -> None:
        copy = Browser(sso.app, lasting)
        copy.jar = sso.browser.jar.copy()
        statuses.append(copy.get("/me").status_code)

    at_once(visit, 16)
    assert statuses == [200] * 16
    assert refreshes(lasting) == 1


@STORES
def test_roles_and_claims_of_userinfo_are_asked_for_again(
    make_sso: MakeSSO, lasting: Provider, clock: Clock, store: str
) -> None:
    lasting.claims_in_id_token = False
    say(lasting, groups=["admins"], plan="gold")
    sso = make_sso(store, roles="groups", claims=["plan"], revalidate=SECONDS)
    sso.browser.sign_in()
    say(lasting, groups=["staff"], plan="free")
    clock.ahead += SECONDS + 1
    answer = sso.browser.get("/me").json or {}
    assert (answer["roles"], answer["claims"]) == (["staff"], {"plan": "free"})
    assert refreshes(lasting) == 1
    assert len(lasting.calls("/userinfo")) == 2


@pytest.mark.security("D1")
@STORES
def test_userinfo_says_what_a_refresh_without_an_id_token_does_not(
    make_sso: MakeSSO, lasting: Provider, clock: Clock, store: str
) -> None:
    lasting.id_token_at_refresh = False
    say(lasting, groups=["admins"], plan="gold")
    sso = make_sso(store, roles="groups", claims=["plan"], revalidate=SECONDS)
    sso.browser.sign_in()
    assert not lasting.calls("/userinfo"), "the ID token has said it"
    for number, (group, plan) in enumerate([("staff", "free"), ("guests", "silver")], 1):
        say(lasting, groups=[group], plan=plan)
        clock.ahead += SECONDS + 1
        answer = sso.browser.get("/me").json or {}
        assert (answer["roles"], answer["claims"]) == ([group], {"plan": plan})
        assert len(lasting.calls("/userinfo")) == number


def test_what_only_the_id_token_has_stays_without_a_new_one(
    make_sso: MakeSSO, lasting: Provider, clock: Clock
) -> None:
    lasting.id_token_at_refresh = False
    say(lasting, groups=["admins"], plan="gold")
    lasting.on("/userinfo", Answer(200, {"sub": "ada"}))
    sso = make_sso(roles="groups", claims=["plan"], revalidate=SECONDS)
    sso.browser.sign_in()
    clock.ahead += SECONDS + 1
    answer = sso.browser.get("/me").json or {}
    assert (answer["roles"], answer["claims"]) == (["admins"], {"plan": "gold"})


@pytest.mark.security("D1")
@pytest.mark.parametrize("of", ["access token", "ID token"])
def test_roles_that_cannot_be_checked_now_are_asked_for_again_later(
    make_sso: MakeSSO, lasting: Provider, clock: Clock, of: str
) -> None:
    def have(role: str) -> None:
        if of == "ID token":
            say(lasting, groups=[role])
        else:
            access_token(lasting, groups=[role])

    have("admins")
    # UserInfo knows neither these access tokens nor the groups.
    lasting.on("/userinfo", Answer(200, {"sub": "ada"}))
    sso = make_sso(roles="groups", revalidate=SECONDS)
    sso.browser.sign_in()
    assert roles_of(sso.browser) == ["admins"]
    lasting.rotate_keys()
    lasting.on("/jwks", Answer(503))
    have("staff")
    clock.ahead += SECONDS + 1
    for _ in range(3):
        assert roles_of(sso.browser) == ["admins"]
    assert refreshes(lasting) == 1
    lasting.off("/jwks")
    clock.ahead += 60
    assert roles_of(sso.browser) == ["staff"]


def test_userinfo_that_is_down_costs_no_token_and_is_asked_again_later(
    make_sso: MakeSSO, lasting: Provider, clock: Clock
) -> None:
    lasting.claims_in_id_token = False
    say(lasting, groups=["admins"])
    sso = make_sso(roles="groups", revalidate=SECONDS)
    sso.browser.sign_in()
    say(lasting, groups=["staff"])
    lasting.on("/userinfo", Answer(503))
    clock.ahead += SECONDS + 1
    for _ in range(3):
        assert roles_of(sso.browser) == ["admins"]
    assert refreshes(lasting) == 1
    lasting.off()
    clock.ahead += 60
    assert roles_of(sso.browser) == ["staff"]
    assert refreshes(lasting) == 2


@pytest.mark.security("D1")
@pytest.mark.parametrize("openid", [True, False])
@STORES
def test_without_a_refresh_token_userinfo_alone_is_asked(
    make_app: MakeApp, lasting: Provider, clock: Clock, tmp_path: t.Any, openid: bool, store: str
) -> None:
    lasting.refreshable, lasting.claims_in_id_token = False, False
    say(lasting, groups=["admins"])
    handler = (make_openid if openid else make_handler)(lasting)
    where = f"sqlite:///{tmp_path}/logins.db" if store == "sqlite" else store
    login = OAuth2Login(handler, name="sso", roles="groups", revalidate=SECONDS, store=where)
    app = make_app(login)
    browser = Browser(app, lasting)
    browser.sign_in()
    say(lasting, groups=["staff"])
    clock.ahead += SECONDS + 1
    statuses: list[int] = []

    def visit() -> None:
        copy = Browser(app, lasting)
        copy.jar = browser.jar.copy()
        statuses.append(copy.get("/me").status_code)

    at_once(visit, 8)
    assert statuses == [200] * 8
    assert roles_of(browser) == ["staff"]
    assert len(lasting.calls("/userinfo")) == 2
    lasting.on("/userinfo", Answer(503))
    clock.ahead += SECONDS + 1
    assert roles_of(browser) == ["staff"]
    lasting.off()
    lasting.grants.revoke_all()
    clock.ahead += 60
    assert browser.get("/me").location == "/login?next=/me"
    assert browser.get("/me").location == "/login?next=/me"


@pytest.mark.security("D1")
@STORES
def test_without_a_refresh_token_userinfo_says_what_the_id_token_said_before(
    make_sso: MakeSSO, lasting: Provider, clock: Clock, store: str
) -> None:
    lasting.refreshable = False
    say(lasting, groups=["admins"], plan="gold")
    sso = make_sso(store, roles="groups", claims=["plan"], revalidate=SECONDS)
    sso.browser.sign_in()
    say(lasting, groups=["staff"], plan="free")
    clock.ahead += SECONDS + 1
    answer = sso.browser.get("/me").json or {}
    assert (answer["roles"], answer["claims"]) == (["staff"], {"plan": "free"})


@pytest.mark.security("D1")
def test_userinfo_of_somebody_else_ends_the_login(
    make_sso: MakeSSO, lasting: Provider, clock: Clock
) -> None:
    lasting.refreshable = False
    sso = make_sso(revalidate=SECONDS)
    sso.browser.sign_in()
    lasting.userinfo_overrides = {"sub": "eve"}
    clock.ahead += SECONDS + 1
    assert sso.browser.get("/me").location == "/login?next=/me"


def test_a_login_that_nothing_can_confirm_is_logged_once(
    make_sso: MakeSSO, provider: Provider, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    provider.refreshable, provider.expires_in = False, 600
    sso = make_sso(revalidate=SECONDS)
    sso.browser.sign_in()
    clock.ahead += SECONDS + 1
    for _ in range(2):
        assert roles_of(sso.browser) == []
    assert caplog.text.count("revalidate=900 can't be done") == 1


@pytest.mark.parametrize("seconds", [0, -1, True, "900", float("inf"), float("nan"), [900]])
def test_what_is_no_number_of_seconds_is_an_error(provider: Provider, seconds: t.Any) -> None:
    with pytest.raises(ConfigurationError, match="revalidate="):
        OAuth2Login(make_openid(provider), revalidate=seconds)


@STORES
def test_a_login_that_has_an_id_token_alone_is_confirmed_by_another_one(
    make_sso: MakeSSO, lasting: Provider, clock: Clock, store: str
) -> None:
    """Azure AD B2C sends no access token, also at a refresh, and the refresh token counts once."""
    say(lasting, groups=["admins"])
    sso = make_sso(store, scope="openid", roles="groups", revalidate=SECONDS)
    issue(lasting, claims={"at_hash": REMOVED})
    lasting.token_overrides = {"access_token": REMOVED, "token_type": REMOVED}
    sso.browser.sign_in()
    for groups in (["staff"], ["guests"]):
        say(lasting, groups=groups)
        clock.ahead += SECONDS + 1
        assert roles_of(sso.browser) == groups
    assert refreshes(lasting) == 2
