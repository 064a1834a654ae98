"""Part E once more: what a provider says in ID tokens, UserInfo, metadata and keys, and how."""

from __future__ import annotations

import dataclasses
import time
import typing as t

import pytest

from flask_oauth2_login import IDTokenError, login_required
from tests.conftest import MakeSSO
from tests.support.assertions import is_signed_in
from tests.support.clock import Clock
from tests.support.handlers import Options, at, issue, make_openid_client, redeem_openid
from tests.support.provider import HANG, REMOVED, Answer, Browser, Provider, make_key


def each(name: str, *values: t.Any) -> list[Options]:
    """Overrides of one claim."""
    return [{name: value} for value in values]


# -- ID tokens


@pytest.mark.security("E2")
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_clocks_may_differ_by_a_minute(provider: Provider, name: str) -> None:
    issue(provider, claims={name: at(-60 if name == "exp" else 62)})
    assert redeem_openid(provider).identity is not None


@pytest.mark.security("E2", "E5")
@pytest.mark.parametrize(
    "claims",
    [
        *each("auth_time", "yesterday", None, [1], {}, True),
        *each("acr", 7, ["gold"]),
        *each("sid", 7, {}),
    ],
)
def test_what_may_be_missing_is_rejected_where_it_is_of_another_type(
    provider: Provider, make_sso: MakeSSO, claims: Options
) -> None:
    app, _, browser = make_sso()
    app.add_url_rule("/recent", "recent", login_required(max_age=300)(lambda: "recent"))
    issue(provider, claims=claims)
    assert browser.sign_in().status_code == 400
    assert browser.get("/recent").status_code == 302


# -- UserInfo


@pytest.mark.security("E6")
@pytest.mark.parametrize(
    "claims",
    [
        *each("aud", 7, None, {}, "another", ["the-client", 7]),
        *each("iss", 7, None, ["x"], "https://evil.example"),
        *each("exp", at(-600), "tomorrow", None),
        {"nbf": at(600)},
        {"iat": at(600)},
    ],
)
def test_a_signed_answer_is_rejected_for_each_of_its_claims(
    provider: Provider, make_sso: MakeSSO, claims: Options
) -> None:
    _, _, browser = make_sso()
    provider.claims_in_id_token, provider.userinfo_signed = False, True
    assert browser.sign_in().status_code == 302
    provider.userinfo_overrides = claims
    other = {"sub": "eve", "email": "eve@example.com"}
    assert browser.sign_in(person=other).status_code == 400
    assert browser.fetch("/me").get_json()["id"] == "ada", "who was there before still is"


@pytest.mark.security("E7")
@pytest.mark.parametrize(
    ("id_token", "userinfo", "email", "verified"),
    [
        (
            {"email": "victim@example.com"},
            {"email": "ada@example.com", "email_verified": True},
            "victim@example.com",
            False,
        ),
        (
            {"email_verified": True},
            {"email": "victim@example.com", "email_verified": False},
            "victim@example.com",
            False,
        ),
        (
            {"email_verified": True},
            {"email": "victim@example.com", "email_verified": REMOVED},
            "victim@example.com",
            False,
        ),
        (
            {"email": "ada@example.com", "email_verified": True},
            {"email": "victim@example.com", "email_verified": False},
            "ada@example.com",
            True,
        ),
        (
            {"email_verified": False},
            {"email": "ada@example.com", "email_verified": True},
            "ada@example.com",
            True,
        ),
    ],
)
def test_who_names_an_address_vouches_for_it(
    provider: Provider, id_token: Options, userinfo: Options, email: str, verified: bool
) -> None:
    provider.claims_in_id_token, provider.userinfo_overrides = False, userinfo
    issue(provider, claims=id_token)
    sso = make_openid_client(provider)
    identity = sso.fetch_identity(redeem_openid(provider, sso), claims=["name"])
    assert provider.calls("/userinfo")
    assert (identity.email, identity.email_verified) == (email, verified)


# -- metadata


@pytest.mark.security("E1")
def test_an_old_document_serves_while_a_new_one_takes_its_time(
    provider: Provider, make_sso: MakeSSO, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, browser = make_sso()
    browser.sign_in()
    Clock(monkeypatch).ahead = 25 * 3600
    provider.on("/.well-known/*", HANG)
    began = time.monotonic()
    assert browser.get("/login").status_code == 302
    assert time.monotonic() - began < 2
    assert len(provider.calls("/.well-known/*")) == 2


@pytest.mark.security("E1")
@pytest.mark.parametrize(
    "overrides",
    [
        {"id_token_signing_alg_values_supported": [7, {}, None, [], "RS256"]},
        {"id_token_signing_alg_values_supported": {"RS256": 1}},
        {"end_session_endpoint": ""},
        {"revocation_endpoint": None},
    ],
)
def test_what_is_odd_in_a_document_and_not_needed_spoils_nothing(
    provider: Provider, make_sso: MakeSSO, overrides: Options
) -> None:
    provider.metadata_overrides = overrides
    _, _, browser = make_sso()
    assert browser.sign_in().status_code == 302
    assert browser.post("/logout").status_code < 400


# -- keys


@pytest.mark.security("E4")
@pytest.mark.parametrize(
    "change",
    [
        {"use": None},
        {"alg": None},
        {"kid": None},
        {"key_ops": None},
        {"n": lambda number: f"{number}=="},
    ],
)
def test_a_key_may_be_written_as_others_write_it(provider: Provider, change: Options) -> None:
    provider.on("/jwks", Answer(body={"keys": [provider.keys[0].public(**change)]}))
    assert redeem_openid(provider).identity is not None


@pytest.mark.security("E4")
def test_a_new_key_under_an_old_name_works_at_once(provider: Provider) -> None:
    sso = make_openid_client(provider)
    redeem_openid(provider, sso)
    provider.keys = [dataclasses.replace(make_key("RS256", 44), kid=provider.keys[0].kid)]
    assert redeem_openid(provider, sso).identity is not None
    forged = {"key": dataclasses.replace(make_key("RS256", 45), kid=provider.keys[0].kid)}
    issue(provider, **forged)
    fetched = len(provider.calls("/jwks"))
    for _ in range(5):
        with pytest.raises(IDTokenError):
            redeem_openid(provider, sso)
    assert len(provider.calls("/jwks")) <= fetched + 1


# -- renewal


@pytest.mark.security("C6", "E8")
@pytest.mark.parametrize("how", ["never fetched", "rotated"])
def test_keys_that_are_down_cost_no_renewed_token(
    provider: Provider, make_sso: MakeSSO, how: str
) -> None:
    app, _, browser = make_sso()
    browser.sign_in()
    provider.grants.expire_access()
    if how == "rotated":
        provider.rotate_keys()
    else:
        # A worker that has just started.
        _, _, there = make_sso(config={"SECRET_KEY": app.config["SECRET_KEY"]})
        there.jar, browser = browser.jar, there
    provider.on("/jwks", Answer(status=500))
    for _ in range(3):
        assert browser.fetch("/call/x").status_code == 200
        provider.grants.expire_access()
    sent = [
        call.form["refresh_token"] for call in provider.calls("/token") if "code" not in call.form
    ]
    assert len(sent) == len(set(sent)) == 3
    assert is_signed_in(browser)


@pytest.mark.security("E8")
@pytest.mark.parametrize("claims", [{"sub": "eve"}, {"aud": "another"}, {"iat": at(-3600)}])
def test_keys_that_are_down_make_nobody_else_of_a_person(
    provider: Provider, make_sso: MakeSSO, claims: Options
) -> None:
    _, _, browser = make_sso()
    browser.sign_in()
    provider.grants.expire_access()
    provider.rotate_keys()
    provider.on("/jwks", Answer(status=500))
    issue(provider, claims=claims)
    assert browser.fetch("/call/x").status_code == 401
    assert not is_signed_in(browser)


@pytest.mark.security("E8")
@pytest.mark.parametrize("auth_time", [None, "now", [1]])
def test_an_auth_time_that_is_no_time_ends_the_login(
    provider: Provider, make_sso: MakeSSO, auth_time: t.Any
) -> None:
    _, _, browser = make_sso()
    browser.sign_in()
    issue(provider, claims={"auth_time": auth_time})
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 401
    assert not is_signed_in(browser)


# -- signing out by the provider


@pytest.mark.security("D4")
def test_a_sub_means_what_the_provider_calls_a_person(
    provider: Provider, make_sso: MakeSSO
) -> None:
    app, _, browser = make_sso(handler={"identity": {"id": "email"}})
    other = Browser(app, provider)
    browser.sign_in()
    other.sign_in(person={"sub": "eve", "email": "eve@example.com"})
    token = provider.logout_token({"sub": "ada", "sid": REMOVED})
    answer = app.test_client().post("/backchannel-logout", data={"logout_token": token})
    assert answer.status_code == 200
    assert not is_signed_in(browser)
    assert is_signed_in(other)


@pytest.mark.security("D6")
def test_an_issuer_that_is_a_template_signs_its_own_people_out(
    provider: Provider, make_sso: MakeSSO
) -> None:
    provider.issuer_path, provider.send_iss = "/common/v2.0", False
    provider.metadata_overrides = {"issuer": f"{provider.url}/{{tenantid}}/v2.0"}
    ours, another = (f"{provider.url}/{tenant}/v2.0" for tenant in ("t-1", "t-2"))
    issue(provider, claims={"iss": ours, "tid": "t-1"})
    app, _, browser = make_sso()
    assert browser.sign_in().status_code == 302
    query = {"iss": another, "sid": provider.latest_grant.sid}
    frame = app.test_client()
    assert frame.get("/frontchannel-logout", query_string=query).status_code == 400
    assert is_signed_in(browser)
    query["iss"] = ours
    assert frame.get("/frontchannel-logout", query_string=query).status_code == 200
    assert not is_signed_in(browser)
