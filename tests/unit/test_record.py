"""Records, and what becomes of them as lists and as bytes."""

from __future__ import annotations

import json
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_oauth2_login import Identity, Token
from flask_oauth2_login.session.record import SHORT_LIFE, Record, default_owner, pack, unpack
from flask_oauth2_login.stores import packing

NOW = 1_800_000_000
ISSUER = "https://sso.example"
#: What a record of the login `sso` is sealed with.
CONTEXT = ("sso", ISSUER, "the-client")


def make_record(**changes: t.Any) -> Record:
    token = Token(
        access_token="a",
        refresh_token="r",
        expires_at=NOW + 3600,
        scope="read",
        token_type="Bearer",
    )
    identity = Identity("sso", "ada", "Ada", "ada@example.com", True, "https://p.example/ada.png")
    identity.owner = default_owner(identity)
    values = {
        "id": "record-id", "token": token, "identity": identity, "signed_in_at": NOW,
        "scopes": ["read"],
    }  # fmt: skip
    return Record(**{**values, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"token": Token()},
        {"token": Token(access_token="a", token_type="Bearer")},
        {"token": Token(access_token="a", token_type="DPoP", instance_url="https://q.example")},
        {
            "token": Token(
                access_token="a", expires_at=NOW + SHORT_LIFE, expires_in=SHORT_LIFE,
                token_type="Bearer",
            )
        },
        {"scopes": ["read", "write"]},
        {"roles": {"groups": (0, ["staff"]), "realm_access.roles": (2, [])}},
        {"scopes": []},
        {"requested": {"scope": ["read"], "max_age": 60}},
        {"requested": {"scope": ["read", "write"], "prompt": "login"}},
        {"token": Token(access_token="a", token_type="Bearer"), "scopes": ["a b", "c"]},
        {"id_claims": {"sid": "s", "auth_time": NOW}, "id_token": "x.y.z"},
        {"id_claims": {"iss": ISSUER, "sub": "ada", "aud": "the-client", "iat": NOW - 1}},
        {"id_claims": {"iss": ISSUER, "aud": ["the-client", "other"], "nonce": "n", "acr": "x"}},
        {"id_claims": {"iss": "https://q.example", "sub": "grace", "aud": None, "iat": NOW + 0.5}},
        {"grant": "grant-id"},
        {"grant": "record-id"},
        {"identity": Identity("sso", "ada", owner="user-1")},
        {"identity": Identity("sso", None)},
        {"identity": Identity("sso", "ada", claims={"groups": ["a"]}, owner="sso::ada")},
    ],
)  # fmt: skip
def test_a_record_comes_back_as_it_was(changes: dict[str, t.Any]) -> None:
    record = make_record(**changes)
    packed = json.loads(json.dumps(pack(record, CONTEXT)))
    assert unpack(packed, "sso", CONTEXT) == record
    assert unpack(packing.unpack(packing.pack(packed)), "sso", CONTEXT) == record


def test_what_other_parts_of_a_record_tell_is_not_stored_twice() -> None:
    claims = {"iss": ISSUER, "sub": "ada", "aud": "the-client", "iat": NOW, "auth_time": NOW - 9}
    record = make_record(id_claims=claims, requested={"scope": ["read"]})
    text = json.dumps(pack(record, CONTEXT))
    assert ISSUER not in text
    assert "the-client" not in text
    assert [text.count(word) for word in ('"ada"', "read", str(NOW))] == [1, 1, 1]


def test_a_long_life_is_not_stored_but_when_it_ends_is() -> None:
    life = SHORT_LIFE + 1
    token = Token(access_token="a", expires_at=NOW + life, expires_in=life, token_type="Bearer")
    unpacked = unpack(pack(make_record(token=token)), "sso")
    assert unpacked is not None
    assert unpacked.token.expires_at == NOW + life
    assert "expires_in" not in unpacked.token


def test_only_a_grant_is_one() -> None:
    assert make_record(grant="record-id").is_grant
    assert not make_record(grant="another").is_grant
    assert not make_record().is_grant


@pytest.mark.security("C11")
def test_each_secret_is_an_element_of_its_own() -> None:
    token = Token(access_token="the-access", refresh_token="the-refresh", token_type="Bearer")
    packed = pack(make_record(token=token, id_token="the-id"))
    assert {"the-access", "the-refresh", "the-id"} <= {one for one in packed if type(one) is str}
    others = [one for one in packed if not isinstance(one, str)]
    assert "the-" not in json.dumps(others)


@pytest.mark.parametrize(
    "packed", [None, [], "text", 5, {}, [1, 2, 3], ["id", "a", "r", [], [], [], None], [None] * 12]
)
def test_what_is_no_record_is_none(packed: t.Any) -> None:
    assert unpack(packed, "sso") is None


@pytest.mark.parametrize(
    ("identity", "owner"),
    [
        (Identity("sso", "ada"), "sso::ada"),
        (Identity("sso", "ada", tenant="acme"), "sso:acme:ada"),
        (Identity("sso", None), None),
    ],
)
def test_the_default_owner_names_the_account(identity: Identity, owner: str | None) -> None:
    assert default_owner(identity) == owner


#: Anything that JSON has, without what it has no number for.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@pytest.mark.security("C11")
@given(JSON | st.text("abcXYZ019_-.") | st.lists(st.text("abcXYZ019_-."), max_size=4))
def test_what_is_packed_is_unpacked_as_it_was(value: t.Any) -> None:
    assert packing.unpack(packing.pack(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_unpacked_or_none(data: bytes) -> None:
    packing.unpack(data)


@pytest.mark.security("C11")
@pytest.mark.parametrize("known", ["aaaaaaaa", "secretse", "zzzzzzzz"])
def test_the_length_of_a_text_tells_its_length_alone(known: str) -> None:
    assert len(packing.pack([known, "secretse"])) == len(packing.pack(["qwertyui", "secretse"]))


@pytest.mark.security("C2")
def test_what_inflates_without_bound_is_not_unpacked() -> None:
    with pytest.raises(ValueError, match="too large"):
        packing.pack({"a": "x" * packing.MAX_PLAIN})
