"""ID tokens: claims, signatures and algorithms."""

from __future__ import annotations

import time
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_oauth2_login import ConfigurationError, IDTokenError, login_required
from tests.conftest import SSO, MakeProvider, MakeSSO
from tests.support.handlers import Options, at, each, issue, make_openid_client, redeem_openid
from tests.support.provider import REMOVED, Provider, make_key
from tests.support.strategies import anything, quickly


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
def test_what_may_be_missing_is_left_out_where_it_is_of_another_type(
    provider: Provider, sso: SSO, caplog: pytest.LogCaptureFixture, claims: Options
) -> None:
    app, browser = sso.app, sso.browser
    recent, strong = login_required(max_age=300), login_required(acr_values="7")
    app.add_url_rule("/recent", "recent", recent(lambda: "recent"))
    app.add_url_rule("/strong", "strong", strong(lambda: "strong"))
    issue(provider, claims=claims)
    assert browser.sign_in().status_code == 302
    (name, value) = next(iter(claims.items()))
    assert (f"its {name} has the wrong type" in caplog.text) is (value is not None)
    # It fulfils no demand.
    fulfilled = 302 if name == "auth_time" else 200
    assert browser.get("/recent").status_code == fulfilled
    assert browser.get("/strong").status_code == 302
    path = "/recent" if name == "auth_time" else "/strong"
    login_url = browser.get(path).location
    if name != "sid":
        assert login_url is not None
        assert browser.sign_in(login_url).status_code == 400


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


@pytest.mark.security("E2")
@pytest.mark.parametrize("where", ["id token", "userinfo", "signed userinfo"])
def test_a_number_is_a_sub_where_it_is_accepted(
    provider: Provider, make_sso: MakeSSO, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    provider.claims_in_id_token = False
    provider.person = {"sub": "4711", "email": "ada@example.com"}
    if where == "id token":
        issue(provider, claims={"sub": 4711})
    else:
        provider.userinfo_overrides = {"sub": 4711}
        provider.userinfo_signed = where == "signed userinfo"
    _, _, strict = make_sso()
    assert strict.sign_in().status_code == 502
    assert "numeric_sub=True" in caplog.text
    _, _, browser = make_sso(handler={"numeric_sub": True})
    assert browser.sign_in().status_code == 302
    assert browser.fetch("/me").get_json()["id"] == "4711"


@pytest.mark.security("E2")
@pytest.mark.parametrize("sub", [True, 7.5, 1e300, [7], None])
def test_other_types_are_no_sub_even_so(provider: Provider, sub: t.Any) -> None:
    issue(provider, claims={"sub": sub})
    with pytest.raises(IDTokenError):
        redeem_openid(provider, make_openid_client(provider, numeric_sub=True))


@pytest.mark.security("E2")
@pytest.mark.parametrize(
    ("claims", "named"),
    [
        ({"aud": ["the-client", "project-1"]}, ["'project-1'", "trusted_audiences"]),
        ({"aud": "another"}, ["'another'", "'the-client'"]),
        ({"aud": ["the-client", "x\ny" * 5000]}, ["trusted_audiences"]),
        ({"exp": at(-600)}, ["expired 60", "leeway"]),
        ({"iat": at(600)}, ["in the future", "leeway"]),
        ({"nbf": at(600)}, ["leeway"]),
        ({"iss": lambda iss: f"{iss}/"}, ["/'", "issuer=", "slash"]),
        ({"iss": "https://evil.example"}, ["'https://evil.example'", "issuer="]),
        ({"sub": 7}, ["number 7", "numeric_sub=True"]),
    ],
)
def test_a_rejected_id_token_names_both_sides_in_one_line(
    provider: Provider, claims: Options, named: list[str]
) -> None:
    issue(provider, claims=claims)
    with pytest.raises(IDTokenError) as caught:
        redeem_openid(provider)
    assert all(word in str(caught.value) for word in named), str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.security("E2")
def test_a_clock_may_differ_as_much_as_is_said(provider: Provider) -> None:
    for claims in ({"exp": at(-600)}, {"iat": at(600)}, {"nbf": at(600)}):
        issue(provider, claims=claims)
        sso = make_openid_client(provider, leeway=700)
        assert redeem_openid(provider, sso).identity is not None
        with pytest.raises(IDTokenError, match="leeway=500"):
            redeem_openid(provider, make_openid_client(provider, leeway=500))


@pytest.mark.parametrize("leeway", [-1, "90", None, True, float("nan"), float("inf")])
def test_a_leeway_is_a_number_of_seconds(provider: Provider, leeway: t.Any) -> None:
    with pytest.raises(ConfigurationError, match="leeway"):
        make_openid_client(provider, leeway=leeway)
