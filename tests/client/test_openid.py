"""Signing in at an OpenID Provider: what its metadata, keys and ID tokens must be (part E)."""

from __future__ import annotations

import threading
import time
import typing as t

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_oauth2_login import (
    AuthorizationError,
    ConfigurationError,
    IDTokenError,
    OAuth2Login,
    ProviderError,
)
from tests.conftest import MakeApp, MakeProvider
from tests.support.handlers import Options, at, issue, make_openid_client, redeem_openid
from tests.support.provider import HANG, REMOVED, ZIP_BOMB, Answer, Browser, Provider, make_key

# -- E1: discovery


@pytest.mark.security("E1")
def test_endpoints_come_from_discovery_once(provider: Provider) -> None:
    sso = make_openid_client(provider)
    threads = [threading.Thread(target=lambda: sso.endpoint("token_url")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sso.endpoint("token_url") == f"{provider.url}/token"
    assert len(provider.calls("/.well-known/openid-configuration")) == 1


@pytest.mark.security("E1")
@pytest.mark.parametrize(
    "document",
    [
        Answer(body="<html>"),
        Answer(body="[]"),
        Answer(body="{}"),
        Answer(status=500, body="{}"),
        ZIP_BOMB,
        HANG,
    ],
)
def test_a_broken_document_is_a_provider_error_and_recovers(
    provider: Provider, document: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/.well-known/openid-configuration"
    provider.on(path, document, times=1)
    sso = make_openid_client(provider)
    with pytest.raises(ProviderError):
        sso.endpoint("token_url")
    with pytest.raises(ProviderError):
        sso.endpoint("token_url")
    assert len(provider.calls(path)) == 1, "visitors queue up behind a provider that is down"
    later = time.monotonic() + 2.1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert sso.endpoint("token_url") == f"{provider.url}/token"


@pytest.mark.security("E1")
@pytest.mark.parametrize("issuer", ["https://evil.example", REMOVED, 7, "{url}/", "{url}X"])
def test_another_issuer_is_refused(provider: Provider, issuer: t.Any) -> None:
    if isinstance(issuer, str):
        issuer = issuer.replace("{url}", provider.url)
    provider.metadata_overrides = {"issuer": issuer}
    with pytest.raises(ProviderError, match="issuer"):
        make_openid_client(provider).endpoint("token_url")


@pytest.mark.security("E1")
def test_an_endpoint_in_the_clear_is_refused_unless_it_is_named(provider: Provider) -> None:
    provider.metadata_overrides = {"token_endpoint": "http://sso.internal/token"}
    with pytest.raises(ProviderError, match="token_endpoint"):
        make_openid_client(provider).endpoint("token_url")
    named = make_openid_client(provider, http_hosts=["sso.internal"])
    assert named.endpoint("token_url") == "http://sso.internal/token"


@pytest.mark.security("E1")
def test_a_document_is_fetched_again_after_a_day_and_serves_while_that_fails(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    sso = make_openid_client(provider)
    sso.endpoint("token_url")
    later = time.monotonic() + 24 * 3600 + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    provider.on("/.well-known/*", Answer(status=503))
    assert sso.endpoint("token_url") == f"{provider.url}/token"
    assert len(provider.calls("/.well-known/openid-configuration")) == 2


@pytest.mark.security("E1")
def test_entra_signs_in_any_tenant_but_as_the_tenant_it_says(provider: Provider) -> None:
    template = provider.url + "/{tenantid}/v2.0"
    issuer = f"{provider.url}/common/v2.0"
    provider.metadata_overrides = {"issuer": template}
    provider.on(
        "/common/v2.0/.well-known/openid-configuration",
        lambda _request: Answer(body={**provider.metadata(), "issuer": template}),
    )
    sso = make_openid_client(provider, issuer=issuer)
    issue(provider, claims={"iss": f"{provider.url}/t-1/v2.0", "tid": "t-1"})
    assert redeem_openid(provider, sso).identity is not None
    issue(provider, claims={"iss": f"{provider.url}/t-2/v2.0", "tid": "t-1"})
    with pytest.raises(IDTokenError, match="iss"):
        redeem_openid(provider, sso)
    issue(provider, claims={"iss": issuer, "tid": "t-1"})
    with pytest.raises(IDTokenError, match="iss"):
        redeem_openid(provider, sso)


@pytest.mark.security("E1")
def test_metadata_can_be_given(provider: Provider) -> None:
    sso = make_openid_client(provider, metadata=provider.metadata())
    assert redeem_openid(provider, sso).identity is not None
    assert not provider.calls("/.well-known/openid-configuration")
    with pytest.raises(ConfigurationError, match="issuer"):
        make_openid_client(provider, metadata={"issuer": "https://other.example"})


def test_the_app_starts_and_serves_while_the_provider_is_down(
    provider: Provider, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(OAuth2Login(make_openid_client(provider), scope="openid"))
    provider.down()
    browser = Browser(app, provider)
    assert browser.get("/").status_code == 200
    assert browser.get("/login").status_code == 503
    provider.up()
    later = time.monotonic() + 2.1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert browser.sign_in().status_code == 302


# -- E2: claims


@pytest.mark.security("E2")
@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"aud": ["the-client"]},
        {"exp": at(-30)},
        {"iat": at(30)},
        {"nbf": at(30)},
        {"azp": "the-client"},
        {"sub": "x" * 255},
    ],
)
def test_good_claims_are_accepted(provider: Provider, claims: Options) -> None:
    issue(provider, claims=claims)
    assert redeem_openid(provider).identity is not None


@pytest.mark.security("E2", "E5")
@pytest.mark.parametrize(
    "claims",
    [
        {"iss": REMOVED},
        {"iss": "https://evil.example"},
        {"iss": ["x"]},
        {"aud": REMOVED},
        {"aud": "another"},
        {"aud": []},
        {"aud": ["the-client", "another"]},
        {"aud": ["the-client", 7]},
        {"aud": {"the-client": 1}},
        {"azp": "another"},
        {"azp": None},
        {"sub": REMOVED},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 256},
        {"exp": REMOVED},
        {"exp": at(-600)},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": None},
        {"iat": REMOVED},
        {"iat": at(600)},
        {"iat": "now"},
        {"nbf": at(600)},
        {"nbf": "now"},
        {"nonce": REMOVED},
        {"nonce": "another"},
        {"nonce": ["n-1"]},
        {"at_hash": "AAAA"},
        {"at_hash": 7},
        {"c_hash": "AAAA"},
    ],
)
def test_bad_claims_are_rejected(provider: Provider, claims: Options) -> None:
    issue(provider, claims=claims)
    with pytest.raises(IDTokenError):
        redeem_openid(provider)


@pytest.mark.security("E2")
def test_another_audience_counts_where_it_is_trusted(provider: Provider) -> None:
    issue(provider, claims={"aud": ["the-client", "api"]})
    assert (
        redeem_openid(provider, make_openid_client(provider, trusted_audiences=["api"])).identity
        is not None
    )


@pytest.mark.security("E2")
@pytest.mark.parametrize(
    "id_token", [REMOVED, None, "", 7, "x", "a.b.c", "a.b.c.d.e", "..", "é.é.é"]
)
def test_what_is_no_id_token_is_rejected(provider: Provider, id_token: t.Any) -> None:
    provider.token_overrides = {"id_token": id_token}
    with pytest.raises(IDTokenError):
        redeem_openid(provider)


# -- E3: signatures


@pytest.mark.security("E3")
@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_asymmetric_algorithms_of_the_metadata_are_accepted(
    make_provider: MakeProvider, alg: str
) -> None:
    provider = make_provider(keys=[make_key(alg)])
    provider.metadata_overrides = {"id_token_signing_alg_values_supported": [alg]}
    assert redeem_openid(provider).identity is not None


@pytest.mark.security("E3")
def test_an_algorithm_that_is_not_expected_is_rejected(make_provider: MakeProvider) -> None:
    provider = make_provider(keys=[make_key("ES256")])
    provider.metadata_overrides = {"id_token_signing_alg_values_supported": ["RS256"]}
    with pytest.raises(IDTokenError, match="ES256"):
        redeem_openid(provider)


def forgeries(provider: Provider) -> dict[str, Options]:
    pem = provider.keys[0].public_pem()
    return {
        "none": {"alg": "none"},
        "NONE": {"header": {"alg": "NONE"}},
        "another key": {"key": make_key("RS256", 5)},
        "hmac by the secret": {"key": b"the-secret", "alg": "HS256"},
        "hmac by the public key": {"key": pem, "alg": "HS256"},
        "crit": {"header": {"crit": ["exp"], "exp": 1}},
        "b64": {"header": {"crit": ["b64"], "b64": False}},
        "jwk": {"key": make_key("RS256", 6), "header": {"jwk": make_key("RS256", 6).public()}},
        "jku": {"key": make_key("RS256", 7), "header": {"jku": "https://evil.example/jwks"}},
        "alg missing": {"header": {"alg": REMOVED}},
        "alg a list": {"header": {"alg": ["RS256"]}},
        "kid a number": {"header": {"kid": 7}},
        "another type": {"header": {"typ": "logout+jwt"}},
    }


@pytest.mark.security("E3")
@pytest.mark.parametrize(
    "name",
    [
        "none", "NONE", "another key", "hmac by the secret", "hmac by the public key", "crit",
        "b64", "jwk", "jku", "alg missing", "alg a list", "kid a number", "another type",
    ],
)  # fmt: skip
def test_forgeries_are_rejected(provider: Provider, name: str) -> None:
    issue(provider, **forgeries(provider)[name])
    with pytest.raises(IDTokenError):
        redeem_openid(provider)


@pytest.mark.security("E3")
def test_hmac_counts_only_where_it_was_asked_for(make_provider: MakeProvider) -> None:
    provider = make_provider(client_secret="s" * 32)
    issue(provider, key=b"s" * 32, alg="HS256")
    with pytest.raises(IDTokenError, match="HS256"):
        redeem_openid(provider)
    assert (
        redeem_openid(provider, make_openid_client(provider, algorithms=["HS256"])).identity
        is not None
    )
    issue(provider, key=b"", alg="HS256")
    with pytest.raises(IDTokenError):
        redeem_openid(provider, make_openid_client(provider, algorithms=["HS256"]))


@pytest.mark.security("E3")
@pytest.mark.parametrize(
    "change",
    [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"alg": "RS512"}, {"kty": "oct"}, {"kty": "EC"}],
)
def test_a_key_that_does_not_fit_is_not_used(provider: Provider, change: Options) -> None:
    provider.on("/jwks", Answer(body={"keys": [provider.keys[0].public(**change)]}))
    with pytest.raises(IDTokenError, match="signature"):
        redeem_openid(provider)


@pytest.mark.security("E3")
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_a_short_rsa_key_is_not_used(make_provider: MakeProvider) -> None:
    with pytest.raises(IDTokenError, match="signature"):
        redeem_openid(make_provider(keys=[make_key("RS256", bits=1024)]))


# -- E4: keys


@pytest.mark.security("E4")
def test_a_token_without_kid_is_tried_with_the_keys_that_fit(
    make_provider: MakeProvider,
) -> None:
    provider = make_provider(keys=[make_key("RS256"), make_key("RS256", 1), make_key("ES256")])
    issue(provider, header={"kid": REMOVED}, key=provider.keys[1])
    assert redeem_openid(provider).identity is not None


@pytest.mark.security("E4")
def test_a_rotation_between_two_sign_ins_works_at_once(provider: Provider) -> None:
    sso = make_openid_client(provider)
    for _ in range(3):
        assert redeem_openid(provider, sso).identity is not None
        provider.rotate_keys()
    assert len(provider.calls("/jwks")) == 3


@pytest.mark.security("E4")
def test_a_new_key_without_kid_works_as_a_new_kid_does(provider: Provider) -> None:
    def keys(_request: t.Any) -> Answer:
        return Answer(body={"keys": [provider.keys[0].public(kid=REMOVED)]})

    provider.on("/jwks", keys)
    issue(provider, header={"kid": REMOVED})
    sso = make_openid_client(provider)
    assert redeem_openid(provider, sso).identity is not None
    provider.rotate_keys()
    assert redeem_openid(provider, sso).identity is not None


@pytest.mark.security("E4")
def test_a_hundred_tokens_with_an_unknown_kid_cost_one_fetch(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    sso = make_openid_client(provider)
    redeem_openid(provider, sso)
    issue(provider, header={"kid": "nobody's"}, key=make_key("RS256", 9))
    for _ in range(100):
        with pytest.raises(IDTokenError):
            redeem_openid(provider, sso)
    assert len(provider.calls("/jwks")) == 2
    later = time.monotonic() + 31
    monkeypatch.setattr(time, "monotonic", lambda: later)
    provider.rotate_keys()
    issue(provider)
    assert redeem_openid(provider, sso).identity is not None


@pytest.mark.security("E4")
@pytest.mark.parametrize(
    "junk", [None, 7, {}, {"kty": "RSA"}, {"kty": "RSA", "n": "!", "e": "AQAB"}]
)
def test_a_malformed_key_among_good_ones_spoils_nothing(provider: Provider, junk: t.Any) -> None:
    provider.on("/jwks", Answer(body={"keys": [junk, provider.keys[0].public()]}))
    assert redeem_openid(provider).identity is not None


@pytest.mark.security("E4")
@pytest.mark.parametrize(
    "keys", [Answer(status=500), Answer(body="x"), Answer(body={"keys": 1}), HANG]
)
def test_keys_that_cannot_be_had_are_a_provider_error_not_remembered(
    provider: Provider, keys: t.Any
) -> None:
    provider.on("/jwks", keys, times=1)
    sso = make_openid_client(provider)
    with pytest.raises(ProviderError):
        redeem_openid(provider, sso)
    assert redeem_openid(provider, sso).identity is not None


# -- E5: how and when the person signed in


@pytest.mark.security("E5")
def test_auth_time_and_acr_count_where_they_were_demanded(provider: Provider) -> None:
    provider.signed_in_at = time.time() - 3600
    with pytest.raises(IDTokenError, match="too long ago"):
        redeem_openid(provider, max_age=300)
    assert redeem_openid(provider, max_age=7200).identity is not None
    issue(provider, claims={"auth_time": REMOVED})
    with pytest.raises(IDTokenError, match="auth_time"):
        redeem_openid(provider, max_age=7200)
    issue(provider, claims={"acr": "silver"})
    with pytest.raises(IDTokenError, match="acr"):
        redeem_openid(provider, acr_values="gold platinum")
    assert redeem_openid(provider, acr_values="silver").identity is not None


# -- E6 and E7: UserInfo


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
    browser = Browser(make_app(OAuth2Login(make_openid_client(provider), scope="email")), provider)
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


# -- E8: renewal


@pytest.mark.security("E8")
@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({}, True),
        ({"nonce": REMOVED}, True),
        ({"auth_time": REMOVED}, True),
        ({"iss": "https://evil.example"}, False),
        ({"sub": "somebody-else"}, False),
        ({"aud": ["the-client"]}, False),
        ({"iat": at(-3600)}, False),
        ({"auth_time": at(-3600)}, False),
        ({"nonce": "another"}, False),
    ],
)
def test_an_id_token_of_a_renewal_is_the_same_persons(
    provider: Provider, claims: Options, good: bool
) -> None:
    sso = make_openid_client(provider)
    token = redeem_openid(provider, sso)
    issue(provider, claims=claims)
    if good:
        newer = sso.renew(token, token.id_claims)
        assert newer is not None
        assert newer.access_token != token.access_token
    else:
        with pytest.raises(IDTokenError):
            sso.renew(token, token.id_claims)


@pytest.mark.security("E8")
def test_a_bad_one_ends_the_login(provider: Provider, make_app: MakeApp) -> None:
    sso = make_openid_client(provider, api_url=provider.api_url)
    browser = Browser(make_app(OAuth2Login(sso, scope="email")), provider)
    browser.sign_in()
    issue(provider, claims={"sub": "somebody-else"})
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 401
    assert browser.fetch("/me").status_code == 401


# -- A4: whose answer it is


@pytest.mark.security("A4")
@pytest.mark.parametrize("iss", ["https://evil.example", REMOVED])
def test_iss_must_be_right_and_there_where_it_is_promised(
    provider: Provider, make_app: MakeApp, iss: t.Any
) -> None:
    browser = Browser(make_app(OAuth2Login(make_openid_client(provider), scope="email")), provider)
    assert browser.sign_in(iss=iss).status_code == 400
    assert not provider.calls("/token")
    assert browser.fetch("/me").status_code == 401


@pytest.mark.security("A4")
def test_iss_may_be_missing_where_nothing_promises_it(provider: Provider) -> None:
    provider.send_iss = False
    sso = make_openid_client(provider)
    sso.check_issuer(None)
    with pytest.raises(AuthorizationError):
        sso.check_issuer("https://evil.example")


# -- the whole way


def test_a_sign_in_by_form_post(provider: Provider, make_app: MakeApp) -> None:
    sso = make_openid_client(provider, response_mode="form_post")
    browser = Browser(make_app(OAuth2Login(sso, scope="email")), provider)
    assert browser.sign_in().status_code == 302
    who = browser.get("/me").get_json() or {}
    assert (who["id"], who["email"]) == ("ada", "ada@example.com")


def test_client_authentication_follows_the_metadata(provider: Provider) -> None:
    for methods, header in ((["client_secret_post"], False), (["client_secret_basic"], True)):
        provider.metadata_overrides = {"token_endpoint_auth_methods_supported": methods}
        provider.client_auth_methods = set(methods)
        redeem_openid(provider)
        assert (
            "authorization" in {name.lower() for name in provider.calls("/token")[-1].headers}
        ) is header


# -- properties

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
quickly = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@quickly
@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_as_id_token_are_an_id_token_error(provider: Provider, data: bytes) -> None:
    provider.token_overrides = {"id_token": data.decode("latin-1")}
    with pytest.raises(IDTokenError):
        redeem_openid(provider, make_openid_client(provider, metadata=provider.metadata()))


@quickly
@given(
    st.dictionaries(
        st.sampled_from(["iss", "aud", "sub", "exp", "iat", "nbf", "azp"]), anything, min_size=1
    )
)
def test_any_claims_are_accepted_or_an_id_token_error(provider: Provider, claims: Options) -> None:
    issue(provider, claims=claims)
    try:
        token = redeem_openid(provider, make_openid_client(provider, metadata=provider.metadata()))
    except IDTokenError:
        return
    assert token.identity is not None
    assert isinstance(token.identity.id, str)


@quickly
@given(anything)
def test_any_document_is_accepted_or_a_provider_error(provider: Provider, document: t.Any) -> None:
    provider.off()
    provider.on("/.well-known/*", Answer(body=repr(document) if document != document else document))
    with pytest.raises(ProviderError):
        make_openid_client(provider).endpoint("token_url")


@quickly
@given(anything)
def test_any_key_set_is_an_error_of_ours(provider: Provider, keys: t.Any) -> None:
    provider.off()
    provider.on("/jwks", Answer(body={"keys": [keys]}))
    with pytest.raises((ProviderError, IDTokenError)):
        redeem_openid(provider, make_openid_client(provider, metadata=provider.metadata()))
