"""An OpenID Provider: UserInfo, addresses, and the ID tokens of a refresh."""

from __future__ import annotations

import typing as t

import pytest

from flask_oauth2_login import ConfigurationError, IDTokenError, OAuth2Login
from tests.conftest import SSO, MakeApp, MakeSSO
from tests.support.assertions import is_signed_in
from tests.support.clock import Clock
from tests.support.handlers import (
    Options,
    at,
    each,
    issue,
    make_handler,
    make_openid_client,
    redeem_openid,
)
from tests.support.provider import REDIRECT, REMOVED, Answer, Browser, Provider, Request, make_key


@pytest.mark.security("E6")
def test_userinfo_is_asked_only_for_what_the_id_token_lacks(provider: Provider) -> None:
    sso = make_openid_client(provider)
    sso.fetch_identity(redeem_openid(provider, sso))
    assert not provider.calls("/userinfo")
    provider.claims_in_id_token = False
    identity = sso.fetch_identity(redeem_openid(provider, sso))
    assert (identity.email, identity.email_verified) == ("ada@example.com", True)
    assert len(provider.calls("/userinfo")) == 1


@pytest.mark.security("E6")
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("sub", ["somebody-else", REMOVED, 7])
def test_userinfo_about_somebody_else_is_rejected(
    provider: Provider, sub: t.Any, signed: bool
) -> None:
    provider.claims_in_id_token, provider.userinfo_signed = False, signed
    provider.userinfo_overrides = {"sub": sub}
    sso = make_openid_client(provider)
    token = redeem_openid(provider, sso)
    with pytest.raises(IDTokenError, match="somebody else"):
        sso.fetch_identity(token)


@pytest.mark.security("E6")
def test_a_signed_answer_is_validated(provider: Provider) -> None:
    provider.claims_in_id_token, provider.userinfo_signed = False, True
    sso = make_openid_client(provider)
    assert sso.fetch_identity(redeem_openid(provider, sso)).email == "ada@example.com"
    forged = provider.sign({"sub": "x"}, key=make_key("RS256", 8))
    provider.on("/userinfo", Answer(body=forged, content_type="application/jwt"))
    token = redeem_openid(provider, sso)
    with pytest.raises(IDTokenError):
        sso.fetch_identity(token)


@pytest.mark.security("E6")
def test_what_the_id_token_says_is_never_replaced(provider: Provider) -> None:
    issue(provider, claims={"email": "ada@example.com", "picture": REMOVED})
    provider.userinfo_overrides = {"email": "mallory@example.com"}
    sso = make_openid_client(provider)
    identity = sso.fetch_identity(redeem_openid(provider, sso), claims=["picture"])
    assert identity.email == "ada@example.com"
    assert provider.calls("/userinfo")


@pytest.mark.security("E6")
def test_nobody_is_half_signed_in(provider: Provider, make_app: MakeApp) -> None:
    provider.claims_in_id_token = False
    provider.on("/userinfo", Answer(status=500))
    login = OAuth2Login(make_openid_client(provider), scope="email", claims=["email"])
    browser = Browser(make_app(login), provider)
    assert browser.sign_in().status_code == 503
    assert browser.fetch("/me").status_code == 401


@pytest.mark.security("E7")
@pytest.mark.parametrize(
    ("said", "verified"), [(True, True), ("true", False), (1, False), (None, False)]
)
def test_only_true_proves_an_address(provider: Provider, said: t.Any, verified: bool) -> None:
    issue(provider, claims={"email_verified": said})
    identity = redeem_openid(provider).identity
    assert identity is not None
    assert identity.email_verified is verified


@pytest.mark.security("E7")
def test_a_providers_own_spelling_is_data(provider: Provider) -> None:
    issue(provider, claims={"email_verified": "true"})
    sso = make_openid_client(provider, identity={"email_verified": "email_verified"})
    identity = redeem_openid(provider, sso).identity
    assert identity is not None
    assert identity.email_verified is True


@pytest.mark.security("E8")
@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"iss": ["https://evil.example"]},
        {"sub": "somebody-else"},
        {"sub": REMOVED},
        {"aud": ["another-client"]},
        {"aud": REMOVED},
    ],
)
@pytest.mark.parametrize("forged", [False, True])
def test_an_id_token_of_a_renewal_is_the_same_persons(
    provider: Provider, claims: Options, forged: bool
) -> None:
    sso = make_openid_client(provider)
    token = redeem_openid(provider, sso)
    issue(provider, claims=claims, **({"key": make_key("RS256", 8)} if forged else {}))
    with pytest.raises(IDTokenError):
        sso.renew(token, token.id_claims)
    assert len(provider.calls("/revoke")) == 2


@pytest.mark.security("E8")
@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"nonce": REMOVED},
        {"auth_time": REMOVED},
        {"aud": ["the-client"]},
    ],
)
def test_a_good_id_token_of_a_renewal_is_handed_out(provider: Provider, claims: Options) -> None:
    sso = make_openid_client(provider)
    token = redeem_openid(provider, sso)
    issue(provider, claims=claims)
    newer = sso.renew(token, token.id_claims)
    assert newer is not None
    assert newer.id_claims is not None
    assert newer["id_token"] != token["id_token"]


@pytest.mark.security("E1", "E8")
def test_another_name_of_the_same_issuer_is_the_same_issuer(provider: Provider) -> None:
    issuer = "https://accounts.google.com"
    metadata = {**provider.metadata(), "issuer": issuer}
    sso = make_openid_client(provider, issuer=issuer, metadata=metadata)
    issue(provider, claims={"iss": issuer})
    token = redeem_openid(provider, sso)
    issue(provider, claims={"iss": "accounts.google.com"})
    newer = sso.renew(token, token.id_claims)
    assert newer is not None
    assert newer.id_claims is not None
    issue(provider, claims={"iss": "https://evil.example"})
    with pytest.raises(IDTokenError):
        sso.renew(newer, newer.id_claims)


@pytest.mark.security("E8")
@pytest.mark.parametrize(
    "options",
    [
        *(
            {"claims": claims}
            for claims in (
                *each("auth_time", at(-3600), None, "now", [1]),
                {"aud": ["the-client", "another"]},
                {"aud": ["another", "the-client"], "azp": "another"},
                {"iat": at(-3600)},
                {"iat": at(360), "nbf": at(360)},
                {"exp": at(-360)},
                {"nonce": "another"},
                {"at_hash": "another"},
            )
        ),
        {"key": make_key("RS256", 8)},
        {"alg": "none"},
        {"header": {"crit": ["b64"]}},
    ],
)
def test_another_fault_of_a_refreshed_id_token_costs_the_id_token_only(
    provider: Provider,
    make_sso: MakeSSO,
    caplog: pytest.LogCaptureFixture,
    options: Options,
) -> None:
    _, _, browser = make_sso(claims=["groups"])
    person = {"sub": "ada", "groups": ["staff"]}
    browser.sign_in(person=person)
    issue(provider, **{**options, "claims": {**options.get("claims", {}), "groups": ["root"]}})
    for _ in range(2):
        provider.grants.expire_access()
        assert browser.fetch("/call/x").status_code == 200
    assert browser.fetch("/me").get_json()["claims"] == {"groups": ["staff"]}
    warnings = [line for line in caplog.messages if "left aside" in line]
    assert len(warnings) == 1
    assert not provider.latest_grant.reused


def test_a_refreshed_id_token_that_is_no_jwt_is_left_aside(
    provider: Provider, make_sso: MakeSSO
) -> None:
    _, _, browser = make_sso()
    browser.sign_in()
    for text in ("encrypted.a.b.c.d", "nonsense", "a.b.c"):
        provider.token_overrides = {"id_token": text}
        provider.grants.expire_access()
        assert browser.fetch("/call/x").status_code == 200


def test_the_sign_ins_own_id_token_again_is_left_aside(
    provider: Provider, make_sso: MakeSSO, clock: Clock
) -> None:
    _, _, browser = make_sso()
    browser.sign_in()
    provider.token_overrides = {"id_token": provider.id_token()}
    clock.ahead += 3600
    assert browser.fetch("/call/x").status_code == 200
    assert is_signed_in(browser)


@pytest.mark.security("E8")
def test_a_refreshed_id_token_counts_within_the_leeway(
    provider: Provider, make_sso: MakeSSO
) -> None:
    _, _, browser = make_sso(handler={"leeway": 900}, claims=["groups"])
    issue(provider, claims={"iat": at(-400), "groups": ["staff", "root"]})
    browser.sign_in()
    issue(provider, claims={"iat": at(-399), "groups": ["staff"]})
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 200
    assert browser.fetch("/me").get_json()["claims"] == {"groups": ["staff"]}


@pytest.mark.security("E8")
@pytest.mark.parametrize("offline", [False, True])
def test_the_guard_sees_the_claims_of_a_refreshed_id_token(
    provider: Provider, make_sso: MakeSSO, offline: bool
) -> None:
    _, _, browser = make_sso(claims=["groups", "locale"], offline=offline)
    browser.sign_in(person={"sub": "ada", "groups": ["staff", "root"], "locale": "en"})

    def claims_after_refresh(**claims: t.Any) -> t.Any:
        issue(provider, claims=claims)
        provider.grants.expire_access()
        assert browser.fetch("/call/x").status_code == 200
        return browser.fetch("/me").get_json()["claims"]

    assert claims_after_refresh(groups=["staff"]) == {"groups": ["staff"], "locale": "en"}
    assert claims_after_refresh(groups=REMOVED) == {"locale": "en"}
    assert claims_after_refresh(groups=["root"]) == {"groups": ["root"], "locale": "en"}


def test_claims_of_userinfo_stay_at_a_refresh(provider: Provider, make_sso: MakeSSO) -> None:
    provider.claims_in_id_token = False
    _, _, browser = make_sso(claims=["groups"])
    browser.sign_in(person={"sub": "ada", "groups": ["staff"]})
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 200
    assert browser.fetch("/me").get_json()["claims"] == {"groups": ["staff"]}


@pytest.mark.security("E8")
def test_a_bad_one_ends_the_login(provider: Provider, make_app: MakeApp) -> None:
    sso = make_openid_client(provider, api_url=provider.api_url)
    browser = Browser(make_app(OAuth2Login(sso, scope="email")), provider)
    browser.sign_in()
    issue(provider, claims={"sub": "somebody-else"})
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 401
    assert browser.fetch("/me").status_code == 401


def test_client_authentication_follows_the_metadata(provider: Provider) -> None:
    for methods, header in ((["client_secret_post"], False), (["client_secret_basic"], True)):
        provider.metadata_overrides = {"token_endpoint_auth_methods_supported": methods}
        provider.client_auth_methods = set(methods)
        redeem_openid(provider)
        assert (
            "authorization" in {name.lower() for name in provider.calls("/token")[-1].headers}
        ) is header


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
    provider: Provider, sso: SSO, claims: Options
) -> None:
    browser = sso.browser
    provider.claims_in_id_token, provider.userinfo_signed = False, True
    assert browser.sign_in().status_code == 302
    provider.userinfo_overrides = claims
    other = {"sub": "eve", "email": "eve@example.com"}
    assert browser.sign_in(person=other).status_code in {400, 502}
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
@pytest.mark.parametrize("claims", [{"sub": "eve"}, {"aud": "another"}])
def test_keys_that_are_down_make_nobody_else_of_a_person(
    provider: Provider, sso: SSO, claims: Options
) -> None:
    browser = sso.browser
    browser.sign_in()
    provider.grants.expire_access()
    provider.rotate_keys()
    provider.on("/jwks", Answer(status=500))
    issue(provider, claims=claims)
    assert browser.fetch("/call/x").status_code == 401
    assert not is_signed_in(browser)


@pytest.mark.security("B3")
@pytest.mark.parametrize("store", ["cookie", "sqlite"])
@pytest.mark.parametrize("refreshable", [True, False])
@pytest.mark.parametrize("access_token", [REMOVED, None])
def test_an_id_token_alone_signs_in(
    provider: Provider, make_sso: MakeSSO, store: str, refreshable: bool, access_token: t.Any
) -> None:
    app, _, browser = make_sso(store, scope="openid")
    provider.refreshable = refreshable
    issue(provider, claims={"at_hash": REMOVED})
    provider.token_overrides = {"access_token": access_token, "token_type": REMOVED}
    assert browser.sign_in().status_code == 302
    assert is_signed_in(browser)
    app.config["TESTING"] = True
    with pytest.raises(ConfigurationError, match="no access token"):
        browser.fetch("/call/x")
    assert not provider.calls("/api/*")
    assert not provider.calls("/userinfo")
    assert browser.post("/logout").status_code < 400
    assert not is_signed_in(browser)


@pytest.mark.security("B3")
@pytest.mark.parametrize(
    "members",
    [{"access_token": ""}, {"access_token": 7}, {"access_token": REMOVED, "id_token": REMOVED}],
)
def test_without_either_token_nobody_is_signed_in(
    provider: Provider, make_sso: MakeSSO, members: Options
) -> None:
    _, _, browser = make_sso()
    provider.token_overrides = members
    assert browser.sign_in().status_code == 502
    assert not is_signed_in(browser)


@pytest.mark.security("E6")
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}), "401"),
        (Answer(403, {"error": "no"}), "403"),
        (Answer(500), "500"),
        (Answer(401, {"error": "expired"}), "expired"),
        (Answer(403, {"message": "Not for you"}), "Not for you"),
        (Answer(200, {"error": "invalid_token"}), "invalid_token"),
        (Answer(200, {"errcode": 40001, "errmsg": "invalid credential"}), "invalid credential"),
        (Answer(200, "<html>"), "no claims"),
        (Answer(200, "<html>", "application/jwt"), "no claims"),
        (Answer(200, "eyJhIjoxfQ.a.b.c.d", "application/jwt"), "it is encrypted: give"),
        (Answer(200, "eyJhIjoxfQ.a.b.c.d", "text/plain"), "it is encrypted: give"),
    ],
)
def test_a_person_whom_the_id_token_names_is_signed_in_without_userinfo(
    provider: Provider,
    make_sso: MakeSSO,
    caplog: pytest.LogCaptureFixture,
    answer: Answer,
    why: str,
) -> None:
    _, _, browser = make_sso()
    provider.claims_in_id_token = False
    provider.on("/userinfo", answer)
    assert browser.sign_in().status_code == 302
    assert browser.fetch("/me").get_json()["id"] == "ada"
    assert why in caplog.text
    _, _, demanding = make_sso(claims=["email"])
    assert demanding.sign_in().status_code in {502, 503}
    assert not is_signed_in(demanding)


@pytest.mark.security("B2")
@pytest.mark.parametrize("path", ["/token", "/jwks", "/userinfo"])
def test_the_log_says_where_an_endpoint_redirects_to(
    provider: Provider, make_sso: MakeSSO, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    _, _, browser = make_sso(claims=["department"])
    provider.on(path, REDIRECT("https://other.example/there?code=a-secret"))
    assert browser.sign_in().status_code == 502
    assert "a redirect to https://other.example/there that is not followed" in caplog.text
    assert "a-secret" not in caplog.text


@pytest.mark.security("C1")
def test_a_refusal_that_quotes_the_token_tells_no_part_of_it(
    provider: Provider, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(request: Request) -> Answer:
        quoted = f"{'x' * 200} {request.access_token()}"
        return Answer(401, {"error": quoted, "error_description": f"{quoted} {quoted} {quoted}"})

    provider.on("/userinfo", refuse)
    browser = Browser(make_app(OAuth2Login(make_handler(provider))), provider)
    assert browser.sign_in().status_code == 502
    assert "xxx" in caplog.text
    assert str(provider.calls("/userinfo")[0].access_token())[:8] not in caplog.text


@pytest.mark.security("C1", "E6")
def test_a_challenge_that_quotes_the_token_tells_it_to_no_log(
    provider: Provider, make_sso: MakeSSO, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(request: Request) -> Answer:
        quoted = f'Bearer error_description="Invalid access token: {request.access_token()}"'
        return Answer(401, headers={"WWW-Authenticate": quoted})

    _, _, browser = make_sso()
    provider.claims_in_id_token = False
    provider.on("/userinfo", refuse)
    assert browser.sign_in().status_code == 302
    assert "Invalid access token: ***" in caplog.text
    assert str(provider.calls("/userinfo")[0].access_token()) not in caplog.text


@pytest.mark.security("E6")
@pytest.mark.parametrize("kind", ["text/plain", "application/json", "application/jwt", "x/y"])
@pytest.mark.parametrize("quoted", [False, True])
def test_a_signed_answer_is_recognised_under_any_type(
    provider: Provider, kind: str, quoted: bool
) -> None:
    provider.claims_in_id_token = False
    mark = '"' if quoted else ""
    claims = {"sub": "ada", "iss": provider.issuer, "email": "ada@example.com"}
    good, forged = provider.sign(claims), provider.sign(claims, key=make_key("RS256", 8))
    sso = make_openid_client(provider)
    provider.on("/userinfo", Answer(200, f"{mark}{good}{mark}\n", kind))
    assert sso.fetch_identity(redeem_openid(provider, sso)).email == "ada@example.com"
    provider.off()
    provider.on("/userinfo", Answer(200, f"{mark}{forged}{mark}", kind))
    token = redeem_openid(provider, sso)
    with pytest.raises(IDTokenError, match="UserInfo"):
        sso.fetch_identity(token)


@pytest.mark.security("E6")
@pytest.mark.parametrize("kind", ["text/html", "application/jwt", "x/y"])
def test_json_is_recognised_under_any_type(provider: Provider, kind: str) -> None:
    provider.claims_in_id_token = False
    provider.on("/userinfo", Answer(200, '{"sub": "ada", "email": "ada@example.com"}', kind))
    sso = make_openid_client(provider)
    assert sso.fetch_identity(redeem_openid(provider, sso)).email == "ada@example.com"


def test_a_claim_that_is_never_sent_is_no_reason_to_ask_each_time(
    provider: Provider, make_sso: MakeSSO
) -> None:
    _, _, browser = make_sso(scope="profile")
    issue(provider, claims={"picture": REMOVED})
    provider.userinfo_overrides = {"picture": REMOVED}
    for _ in range(3):
        assert browser.sign_in().status_code == 302
    assert len(provider.calls("/userinfo")) == 1
    # Somebody else may have one.
    provider.userinfo_overrides = {}
    bob = {"sub": "bob", "name": "Bob", "picture": "https://example.com/bob.png"}
    assert browser.sign_in(person=bob).status_code == 302
    assert browser.fetch("/me").get_json()["picture"] == "https://example.com/bob.png"
    # After several people without one, nobody is thought to have one.
    provider.userinfo_overrides = {"picture": REMOVED}
    for number in range(6):
        assert browser.sign_in(person={"sub": f"person-{number}"}).status_code == 302
    assert len(provider.calls("/userinfo")) == 5


def test_people_without_an_address_cost_nobody_else_theirs(
    provider: Provider, make_sso: MakeSSO
) -> None:
    _, _, browser = make_sso(scope="email")
    provider.claims_in_id_token = False
    provider.userinfo_overrides = {"email": REMOVED}
    for number in range(5):
        assert browser.sign_in(person={"sub": f"person-{number}"}).status_code == 302
        assert browser.fetch("/me").get_json()["email"] is None
    provider.userinfo_overrides = {}
    assert browser.sign_in().status_code == 302
    assert browser.fetch("/me").get_json()["email"] == "ada@example.com"
