"""The guard's demands for roles: who gets in, and what the others read."""

from __future__ import annotations

import typing as t

import pytest
from flask import Blueprint, Flask

from flask_oauth2_login import (
    ConfigurationError,
    OAuth2Login,
    current_identity,
    login_required,
    require_login,
)
from tests.conftest import SSO, MakeApp, MakeSSO
from tests.support.assertions import is_signed_in, query_of
from tests.support.handlers import make_handler, make_openid
from tests.support.provider import Browser, Provider


def guard(app: Flask, *login: str, path: str = "/guarded", **demands: t.Any) -> None:
    app.add_url_rule(path, path, login_required(*login, **demands)(lambda: "seen"))


def make_member(make_sso: MakeSSO, provider: Provider, *groups: str, **options: t.Any) -> SSO:
    """An app, and somebody who is in these groups."""
    assert provider.person is not None
    provider.person["groups"] = list(groups)
    return make_sso("cookie", **{"roles": "groups", **options})


@pytest.mark.security("D1")
@pytest.mark.parametrize(
    ("demand", "status"),
    [
        ({"roles": "staff"}, 200),
        ({"roles": ["admin", "staff"]}, 200),
        ({"roles": {"staff"}}, 200),
        ({"roles": "admin"}, 403),
        ({"roles": ["admin", "root"]}, 403),
        ({"roles": "sta"}, 403),
        ({"roles": "Staff"}, 403),
        ({"roles": "staff editor"}, 403),
        ({"roles_all": "staff"}, 200),
        ({"roles_all": ["staff", "editor"]}, 200),
        ({"roles_all": ["staff", "admin"]}, 403),
        ({"roles": "staff", "roles_all": ["editor"]}, 200),
        ({"roles": "admin", "roles_all": ["editor"]}, 403),
        ({"roles": "staff", "roles_all": ["admin"]}, 403),
        ({"roles": "staff", "check": lambda _: False}, 403),
        ({"roles": "admin", "check": lambda _: True}, 403),
    ],
)
def test_who_has_the_roles_gets_in(
    make_sso: MakeSSO, provider: Provider, demand: dict[str, t.Any], status: int
) -> None:
    sso = make_member(make_sso, provider, "staff", "editor")
    guard(sso.app, **demand)
    guard(sso.app, "sso", path="/named", **demand)
    members = Blueprint("members", "members", url_prefix="/members")
    members.before_request(lambda: require_login("sso", **demand))
    members.add_url_rule("/", "index", lambda: "seen")
    sso.app.register_blueprint(members)
    sso.browser.sign_in()
    for path in ("/guarded", "/named", "/members/"):
        assert sso.browser.get(path).status_code == status, path


@pytest.mark.security("D1")
def test_nobody_is_asked_to_sign_in_first(make_sso: MakeSSO) -> None:
    sso = make_sso(roles="groups")
    guard(sso.app, roles="admin")
    assert sso.browser.get("/guarded").location == "/login?next=/guarded"
    assert sso.browser.fetch("/guarded").status_code == 401


def test_the_page_says_who_is_signed_in_and_offers_two_ways_on(
    make_sso: MakeSSO, provider: Provider
) -> None:
    sso = make_member(make_sso, provider, "staff")
    guard(sso.app, roles="admin")
    sso.browser.sign_in()
    page = sso.browser.get("/guarded?x=1")
    assert page.status_code == 403
    assert "You are signed in as Ada" in page.text
    assert "ada@example.com" in page.text
    assert "no-store" in page.headers["Cache-Control"]
    link = page.text.partition('oauth2-primary" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert provider.person is not None
    provider.person.update(sub="eve", name="Eve", groups=["admin"])
    sent = sso.browser.begin(link)
    assert query_of(sent)["prompt"] == "select_account"
    assert sso.browser.finish(sent).location == "/guarded?x=1"
    assert sso.browser.get("/guarded").text == "seen"


def test_the_page_signs_out(make_sso: MakeSSO, provider: Provider) -> None:
    sso = make_member(make_sso, provider, "staff")
    guard(sso.app, roles="admin")
    sso.browser.sign_in()
    page = sso.browser.get("/guarded")
    assert '<form method="post" action="/logout">' in page.text
    token = page.text.partition('name="token" value="')[2].partition('"')[0]
    assert sso.browser.post("/logout", data={"token": token}).status_code in {200, 302}
    assert not is_signed_in(sso.browser)


def test_a_program_gets_problem_details(make_sso: MakeSSO, provider: Provider) -> None:
    sso = make_member(make_sso, provider, "staff")
    guard(sso.app, roles="admin")
    sso.browser.sign_in()
    answer = sso.browser.fetch("/guarded")
    assert answer.status_code == 403
    assert answer.content_type == "application/problem+json"
    assert "admin" not in answer.text


def test_an_app_answers_in_its_own_way(make_sso: MakeSSO, provider: Provider) -> None:
    sso = make_member(make_sso, provider, "staff")
    guard(sso.app, roles="admin")
    sso.app.register_error_handler(403, lambda _: ("ours", 403))
    sso.browser.sign_in()
    assert sso.browser.get("/guarded").text == "ours"


@pytest.mark.security("D1")
@pytest.mark.parametrize("name", [(), ("sso",)])
@pytest.mark.parametrize("demand", [{"roles": "admin"}, {"roles_all": ["admin"]}])
def test_a_login_that_does_not_know_roles_is_an_error_for_everybody(
    make_sso: MakeSSO, name: tuple[str, ...], demand: dict[str, t.Any]
) -> None:
    sso = make_sso()
    guard(sso.app, *name, **demand)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"'sso'.*roles='path'"):
            sso.browser.get("/guarded")
        sso.browser.sign_in()


@pytest.mark.security("D1")
def test_of_several_logins_the_one_that_knows_roles_counts(
    make_app: MakeApp, provider: Provider
) -> None:
    assert provider.person is not None
    provider.person["groups"] = ["admin"]
    app = make_app(
        OAuth2Login(make_openid(provider), name="sso", roles="groups"),
        OAuth2Login(make_handler(provider), name="plain"),
    )
    guard(app, roles="admin")
    guard(app, "plain", path="/plain", roles="admin")

    @app.get("/who")
    @login_required(roles="admin")
    def who() -> str:
        return current_identity.provider

    browser = Browser(app, provider)
    browser.sign_in("/plain/login")
    page = browser.get("/guarded")
    assert page.status_code == 403
    assert "Sign in with Sso</a>" in page.text
    assert "another account" not in page.text
    with pytest.raises(ConfigurationError, match="'plain'"):
        browser.get("/plain")
    browser.sign_in("/sso/login")
    browser.sign_in("/plain/login")
    assert browser.get("/guarded").text == "seen"
    assert browser.get("/who").text == "sso"
