"""Roles: where they are found, what they are called, and that only checked ones count."""

from __future__ import annotations

import secrets
import time
import typing as t
import uuid

import pytest

from flask_oauth2_login import (
    ConfigurationError,
    Identity,
    OAuth2Login,
    Token,
    current_identity,
    current_oauth_session,
)
from tests.conftest import SSO, MakeApp, MakeSSO
from tests.support.apps import STORES
from tests.support.clock import Clock
from tests.support.handlers import make_handler, make_openid
from tests.support.provider import Answer, Browser, Provider
from tests.support.provider.signing import make_key

#: A client whose id has dots, as Keycloak's may.
CLIENT = "resource_access.app.example.com.roles"


def roles_of(sso: SSO) -> list[str]:
    answer = sso.browser.get("/me").json
    assert answer is not None
    return t.cast("list[str]", answer["roles"])


def say(provider: Provider, **claims: t.Any) -> None:
    """Have ID tokens and UserInfo say this of the person, those of grants that exist too."""
    assert provider.person is not None
    for person in (provider.person, *(grant.person for grant in provider.grants.all)):
        person.update(claims)
        for name in [name for name, value in claims.items() if value is ...]:
            del person[name]


def access_token(provider: Provider, *, sign: t.Any = None, **claims: t.Any) -> None:
    """Have the token endpoint issue access tokens that are JWTs with these claims."""
    now = int(time.time())
    members = {
        "iss": provider.issuer,
        "sub": "ada",
        "aud": "account",
        "iat": now,
        "exp": now + 3600,
        **claims,
    }
    provider.token_overrides = {
        "access_token": provider.sign(
            {k: v for k, v in members.items() if v is not ...}, **sign or {}
        )
    }
    provider.id_token_options = {"claims": {"at_hash": ...}}


@STORES
def test_roles_of_the_id_token_are_kept(make_sso: MakeSSO, provider: Provider, store: str) -> None:
    say(provider, groups=["staff", "admins", "staff"])
    sso = make_sso(store, roles="groups")
    sso.browser.sign_in()
    assert roles_of(sso) == ["staff", "admins"]
    assert not provider.calls("/userinfo"), "the ID token has said it"


def test_on_login_sees_the_roles(make_sso: MakeSSO, provider: Provider) -> None:
    say(provider, groups=["staff"])
    sso = make_sso(roles="groups")
    seen: list[list[str]] = []

    @sso.login.on_login
    def note(identity: Identity, token: Token) -> None:
        seen.append(identity.roles)

    sso.browser.sign_in()
    assert seen == [["staff"]]


def test_without_a_path_there_are_no_roles(make_sso: MakeSSO, provider: Provider) -> None:
    say(provider, roles=["admin"], groups=["admin"])
    sso = make_sso()
    sso.browser.sign_in()
    assert roles_of(sso) == []


@pytest.mark.parametrize(
    ("roles", "claims", "found"),
    [
        ("a.b", {"a": {"b": ["x"]}}, ["x"]),
        ("a.b", {"a.b": ["literal"], "a": {"b": ["x"]}}, ["literal"]),
        ("https://app.example/roles", {"https://app.example/roles": ["x"]}, ["x"]),
        (CLIENT, {"resource_access": {"app.example.com": {"roles": ["x"]}}}, ["x"]),
        ("cognito:groups", {"cognito:groups": ["x"]}, ["x"]),
        ("orgs[id=7].roles", {"orgs": [{"id": 6}, {"id": 7, "roles": ["x"]}]}, ["x"]),
        (["a", "b"], {"a": ["x", "y"], "b": ["y", "z"]}, ["x", "y", "z"]),
        (["a", "b"], {"b": ["z"]}, ["z"]),
        ("role", {"role": "admin"}, ["admin"]),
        ("role", {"role": "admin editor"}, ["admin editor"]),
        ("role", {"role": ["ok", 7, None, {"name": "x"}, ["y"], "", True]}, ["ok"]),
        ("role", {"role": {"admin": True}}, []),
        ("role", {"role": True}, []),
        ("role", {"role": ["x" * 201, "y" * 200]}, ["y" * 200]),
        ("role", {"role": [f"r{n}" for n in range(500)]}, [f"r{n}" for n in range(100)]),
        ("role.x.y", {"role": "x"}, []),
    ],
)  # fmt: skip
def test_where_roles_may_be_and_what_counts_as_one(
    make_sso: MakeSSO,
    provider: Provider,
    roles: t.Any,
    claims: dict[str, t.Any],
    found: list[str],
) -> None:
    say(provider, **claims)
    sso = make_sso("cookie", roles=roles)
    assert sso.browser.sign_in().status_code == 302
    assert roles_of(sso) == found


def test_names_of_the_app_drop_what_they_do_not_name(make_sso: MakeSSO, provider: Provider) -> None:
    say(provider, groups=[*(f"g{n}" for n in range(500)), "sso-admins", "sso-roots"])
    names = {"sso-admins": "admin", "sso-roots": "admin", "sso-staff": "staff"}
    sso = make_sso(roles="groups", role_names=names)
    sso.browser.sign_in()
    assert roles_of(sso) == ["admin"]


@pytest.mark.security("D1")
def test_a_role_of_the_provider_is_none_of_the_apps_by_having_its_name(
    make_sso: MakeSSO, provider: Provider
) -> None:
    say(provider, groups=["admin", "Sso-Admins", "sso-admins ", "sso-staff"])
    sso = make_sso(roles="groups", role_names={"sso-admins": "admin", "sso-staff": "staff"})
    sso.browser.sign_in()
    assert roles_of(sso) == ["staff"]


@pytest.mark.security("D1")
def test_roles_in_userinfo_of_somebody_else_sign_nobody_in(
    make_sso: MakeSSO, provider: Provider
) -> None:
    provider.on("/userinfo", Answer(200, {"sub": "eve", "groups": ["admin"]}))
    sso = make_sso(roles="groups")
    assert sso.browser.sign_in().status_code == 400
    assert sso.browser.fetch("/me").status_code == 401


def test_other_names_count_for_logins_that_exist(make_sso: MakeSSO, provider: Provider) -> None:
    say(provider, groups=["sso-admins"])
    key = {"SECRET_KEY": "the same"}
    sso = make_sso(config=key, roles="groups", role_names={"sso-admins": "admin"})
    sso.browser.sign_in()
    later = make_sso(config=key, roles="groups", role_names={"sso-admins": "guest"})
    later.browser.jar = sso.browser.jar
    assert roles_of(later) == ["guest"]
    elsewhere = make_sso(config=key, roles="other")
    elsewhere.browser.jar = sso.browser.jar
    assert roles_of(elsewhere) == []


def test_userinfo_is_asked_for_roles_that_no_token_has(
    make_sso: MakeSSO, provider: Provider
) -> None:
    provider.claims_in_id_token = False
    say(provider, groups=["staff"])
    sso = make_sso(roles="groups")
    sso.browser.sign_in()
    assert roles_of(sso) == ["staff"]


def test_roles_of_a_provider_without_id_tokens(make_app: MakeApp, provider: Provider) -> None:
    say(provider, groups=["staff"])
    app = make_app(OAuth2Login(make_handler(provider), name="plain", roles="groups"))
    browser = Browser(app, provider)
    browser.sign_in()
    assert '"roles":["staff"]' in browser.get("/me").text


def test_roles_of_an_access_token_by_the_preset_alone(
    provider: Provider, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    provider.client_id = "app.example.com"
    of_clients = {
        "app.example.com": ["editor", "staff"],
        "app": ["owner"],
        "account": ["manage-account"],
    }
    access_token(
        provider,
        realm_access={"roles": ["admin", "staff"]},
        resource_access={client: {"roles": roles} for client, roles in of_clients.items()},
    )
    app = make_app(
        OAuth2Login("keycloak", scope="openid", preset={"issuer": provider.issuer}),
        KEYCLOAK_CLIENT_ID=provider.client_id,
        KEYCLOAK_CLIENT_SECRET=provider.client_secret,
    )
    browser = Browser(app, provider)
    browser.sign_in()
    assert '"roles":["admin","staff","editor"]' in browser.get("/me").text, (
        "no role at another client"
    )
    assert not provider.calls("/userinfo")
    assert "access token" not in caplog.text


OTHER = make_key("RS256", 77)


@pytest.mark.security("D1")
@pytest.mark.parametrize(
    ("sign", "claims"),
    [
        ({"key": OTHER}, {}),
        ({"alg": "none"}, {}),
        ({"key": b"the-secret"}, {}),
        ({}, {"iss": "https://other.example"}),
        ({}, {"iss": ...}),
        ({}, {"exp": int(time.time()) - 3600}),
        ({}, {"exp": ...}),
        ({}, {"nbf": int(time.time()) + 36000}),
        ({}, {"sub": "somebody else"}),
        ({"header": {"typ": "logout+jwt"}}, {}),
        ({"header": {"crit": ["x"]}}, {}),
    ],
)
def test_roles_of_an_access_token_that_fails_a_check_do_not_count(
    make_sso: MakeSSO,
    provider: Provider,
    sign: dict[str, t.Any],
    claims: dict[str, t.Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    access_token(provider, sign=sign, realm_access={"roles": ["admin"]}, **claims)
    sso = make_sso(roles="realm_access.roles")
    for _ in range(2):
        # UserInfo does not know these tokens either.
        provider.on("/userinfo", Answer(200, {"sub": "ada"}))
        assert sso.browser.sign_in().status_code == 302
        assert roles_of(sso) == []
    assert caplog.text.count("roles in an access token don't count") == 1
    assert provider.token_overrides["access_token"] not in caplog.text


@pytest.mark.security("D1")
@pytest.mark.parametrize(
    "claims",
    [
        {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x"}}},
        {"hasgroups": True},
    ],
)
def test_groups_that_are_too_many_for_a_token_let_nobody_in_and_are_logged(
    make_sso: MakeSSO,
    provider: Provider,
    claims: dict[str, t.Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    say(provider, **claims)
    sso = make_sso(roles="groups")
    sso.browser.sign_in()
    assert roles_of(sso) == []
    assert "left out what is at the path 'groups'" in caplog.text


@pytest.mark.parametrize(
    "options",
    [
        {"roles": []},
        {"roles": ""},
        {"roles": 7},
        {"roles": ["a", 7]},
        {"roles": {"a": "b"}},
        {"roles": "a", "role_names": ["admin"]},
        {"roles": "a", "role_names": {"x": 7}},
        {"roles": "a", "role_names": {"": "x"}},
    ],
)
def test_options_that_are_no_paths_or_names_are_an_error(
    provider: Provider, options: dict[str, t.Any]
) -> None:
    with pytest.raises(ConfigurationError, match=r"roles=|role_names="):
        OAuth2Login(make_openid(provider), **options)


def test_names_without_a_path_are_an_error_at_registration(
    provider: Provider, make_app: MakeApp
) -> None:
    with pytest.raises(ConfigurationError, match="roles='path'"):
        make_app(OAuth2Login(make_openid(provider), role_names={"a": "b"}))


def renew(sso: SSO, provider: Provider) -> None:
    """Have the login's token refreshed."""
    provider.grants.expire_access()
    assert sso.browser.fetch("/call/x").status_code == 200


@STORES
def test_roles_follow_a_renewed_id_token(make_sso: MakeSSO, provider: Provider, store: str) -> None:
    say(provider, groups=["staff", "admins"])
    sso = make_sso(store, roles="groups")
    sso.browser.sign_in()
    say(provider, groups=["staff"])
    assert roles_of(sso) == ["staff", "admins"]
    renew(sso, provider)
    assert roles_of(sso) == ["staff"]
    say(provider, groups=...)
    renew(sso, provider)
    assert roles_of(sso) == []


def test_roles_follow_in_the_request_that_renews(make_sso: MakeSSO, provider: Provider) -> None:
    say(provider, groups=["admins"])
    sso = make_sso(roles="groups")

    @sso.app.get("/both")
    def both() -> list[list[str]]:
        before = current_identity.roles
        current_oauth_session.get("x")
        return [before, current_identity.roles]

    sso.browser.sign_in()
    say(provider, groups=["staff"])
    provider.grants.expire_access()
    assert sso.browser.get("/both").json == [["admins"], ["staff"]]


def test_roles_follow_the_grant_for_jobs(make_sso: MakeSSO, provider: Provider) -> None:
    say(provider, groups=["admins"])
    sso = make_sso(roles="groups", offline=True)
    sso.browser.sign_in()
    assert roles_of(sso) == ["admins"]
    say(provider, groups=[])
    renew(sso, provider)
    assert roles_of(sso) == []


def test_roles_stay_if_a_renewal_brings_no_id_token(make_sso: MakeSSO, provider: Provider) -> None:
    say(provider, groups=["admins"])
    provider.id_token_at_refresh = False
    sso = make_sso(roles="groups")
    sso.browser.sign_in()
    renew(sso, provider)
    assert roles_of(sso) == ["admins"]


@pytest.mark.security("D1")
@pytest.mark.parametrize("revalidate", [None, 900], ids=["never", "revalidated"])
def test_an_access_token_says_nothing_where_the_id_token_has_said_it(
    make_sso: MakeSSO, provider: Provider, clock: Clock, revalidate: float | None
) -> None:
    say(provider, groups=["staff"])
    provider.id_token_at_refresh = False
    sso = make_sso(roles="groups", revalidate=revalidate)
    sso.browser.sign_in()
    # Such as an API's own roles, under the same name.
    access_token(provider, groups=["admins"])
    provider.on("/userinfo", Answer(401))
    provider.on("/api/*", Answer(200, {}))
    clock.ahead += 3700
    assert sso.browser.fetch("/call/x").status_code == 200
    assert len(provider.calls("/token", grant_type="refresh_token")) == 1
    assert roles_of(sso) == ["staff"]


def test_roles_of_userinfo_stay_unless_the_id_token_has_them(
    make_sso: MakeSSO, provider: Provider
) -> None:
    provider.claims_in_id_token = False
    say(provider, groups=["admins"])
    sso = make_sso(roles="groups")
    sso.browser.sign_in()
    renew(sso, provider)
    assert roles_of(sso) == ["admins"]
    provider.claims_in_id_token = True
    say(provider, groups=["staff"])
    renew(sso, provider)
    assert roles_of(sso) == ["staff"]


@pytest.mark.security("D1")
def test_roles_follow_a_renewed_access_token(
    make_sso: MakeSSO, provider: Provider, clock: Clock
) -> None:
    def renew_to(role: str, **options: t.Any) -> None:
        clock.ahead += 3700
        access_token(provider, realm_access={"roles": [role]}, **options)
        assert sso.browser.fetch("/call/x").status_code == 200

    access_token(provider, realm_access={"roles": ["admin"]})
    sso = make_sso(roles="realm_access.roles")
    sso.browser.sign_in()
    assert roles_of(sso) == ["admin"]
    provider.on("/api/*", Answer(200, {}))
    renew_to("staff")
    assert roles_of(sso) == ["staff"]
    renew_to("root", sign={"key": OTHER})
    assert roles_of(sso) == [], "neither the former roles nor those that nobody has signed"


def test_roles_stay_while_the_keys_of_an_access_token_cannot_be_fetched(
    make_sso: MakeSSO, provider: Provider, clock: Clock
) -> None:
    access_token(provider, realm_access={"roles": ["admin"]})
    provider.id_token_at_refresh = False
    sso = make_sso(roles="realm_access.roles")
    sso.browser.sign_in()
    provider.rotate_keys()
    provider.on("/jwks", Answer(503))
    provider.on("/api/*", Answer(200, {}))
    clock.ahead += 3700
    access_token(provider, realm_access={"roles": ["staff"]})
    assert sso.browser.fetch("/call/x").status_code == 200
    assert len(provider.calls("/token")) == 2
    assert roles_of(sso) == ["admin"]


@STORES
def test_as_many_roles_as_are_kept_fit_where_browsers_keep_records(
    make_sso: MakeSSO, provider: Provider, store: str
) -> None:
    groups = [str(uuid.uuid4()) for _ in range(150)]
    say(provider, groups=groups)
    sso = make_sso(store, roles="groups")
    assert sso.browser.sign_in().status_code == 302
    assert roles_of(sso) == groups[:100]


def test_roles_that_do_not_fit_into_cookies_sign_nobody_in_and_the_log_says_why(
    make_sso: MakeSSO, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    say(provider, groups=[secrets.token_hex(100) for _ in range(100)])
    sso = make_sso("cookie", roles="groups")
    assert sso.browser.sign_in().status_code == 502
    assert "role_names" in caplog.text
    named = make_sso("cookie", roles="groups", role_names={"admins": "admin"})
    assert named.browser.sign_in().status_code == 302
