"""The paths by which an identity is found in what a provider says."""

from __future__ import annotations

import typing as t

import pytest

from flask_oauth2_login import ConfigurationError, ProviderError
from flask_oauth2_login.protocol.identity import (
    check_fields,
    find_path,
    make_identity,
    picks_verified,
)

PERSON: dict[str, t.Any] = {
    "id": 7,
    "name": {"first": "Ada", "last": "Lovelace"},
    "emails": [
        {"email": "old@example.com", "primary": False, "verified": True},
        {"email": "new@example.com", "primary": True, "verified": False},
        {"email": "ada@example.com", "primary": True, "verified": True, "kind": "work"},
    ],
    "names": ["Ada", "A."],
    "included": [
        {"attributes": {"address": "home@example.com", "kind": "home"}},
        {"attributes": {"address": "ada@example.com", "primary": True}},
    ],
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("id", 7),
        ("name.first", "Ada"),
        ("name.first+name.last", "Ada Lovelace"),
        ("name.first+name.middle+name.last", "Ada Lovelace"),
        ("nobody+nothing", None),
        ("names.1", "A."),
        ("names.2", None),
        ("names.-1", None),
        ("emails.0.email", "old@example.com"),
        ("emails[primary].email", "new@example.com"),
        ("emails[primary,verified].email", "ada@example.com"),
        ("emails[kind=work].email", "ada@example.com"),
        ("emails[kind=home].email", None),
        ("emails.[primary].email", "new@example.com"),
        ("included.[attributes.primary].attributes.address", "ada@example.com"),
        ("included[attributes.kind=home].attributes.address", "home@example.com"),
        ("name[primary].email", None),
        ("token:user.id", "u-1"),
        ("token:user.name", None),
        ("id.first", None),
        ("nowhere.at.all", None),
    ],
)
def test_a_path_leads_to_a_value(path: str, value: t.Any) -> None:
    assert find_path(PERSON, path, {"user": {"id": "u-1"}}) == value


@pytest.mark.security("E7")
@pytest.mark.parametrize(
    ("path", "picks"),
    [
        ("emails[verified].email", True),
        ("emails[primary,verified].email", True),
        ("emails[primary].email", False),
        ("emails[verified=no].email", False),
        ("emails[verified].email+name", False),
        ("values.[is_primary,is_confirmed].email", True),
        ("[state=confirmed].email", True),
        ("[state=unconfirmed].email", False),
        ("[unconfirmed].email", False),
        ("verified", False),
    ],
)
def test_a_path_that_picks_what_is_verified(path: str, picks: bool) -> None:
    assert picks_verified(path) is picks


@pytest.mark.parametrize(
    ("answer", "id", "name"),
    [
        ({"sub": "a", "id": "b"}, "a", None),
        ({"sub": "", "id": 5, "login": "ada"}, "5", "ada"),
        ({"uid": 0, "displayName": "Ada", "username": "a"}, "0", "Ada"),
        ({"id": "1", "name": ["Ada"]}, "1", None),
    ],
)
def test_the_first_field_that_is_there_counts(
    answer: dict[str, t.Any], id: str, name: str | None
) -> None:
    identity = make_identity(answer)
    assert (identity.id, identity.name) == (id, name)


@pytest.mark.parametrize(
    "answer",
    [{}, {"sub": None}, {"sub": True}, {"sub": ["a"]}, {"sub": "\ufffd"}],
)
def test_who_signed_in_must_be_said(answer: dict[str, t.Any]) -> None:
    with pytest.raises(ProviderError, match="who signed in"):
        make_identity(answer)


@pytest.mark.security("E7")
@pytest.mark.parametrize(
    ("verified", "fields", "expected"),
    [
        (True, None, True),
        (False, None, False),
        ("true", None, False),
        (1, None, False),
        ("true", {"email_verified": "email_verified"}, True),
        (1, {"email_verified": "email_verified"}, True),
        ("yes", {"email_verified": "email_verified"}, False),
        (None, None, False),
    ],
)
def test_an_address_is_verified_where_that_is_said(
    verified: t.Any, fields: dict[str, str] | None, expected: bool
) -> None:
    answer = {"sub": "a", "email": "a@example.com", "email_verified": verified}
    assert make_identity(answer, fields=fields).email_verified is expected


def test_claims_that_are_asked_for_are_kept() -> None:
    identity = make_identity({"sub": "a", "groups": ["x"], "other": 1}, claims=["groups", "none"])
    assert identity.claims == {"groups": ["x"]}


@pytest.mark.parametrize("fields", [{"mail": "email"}, "email", ["id"]])
def test_a_field_that_there_is_not_is_told(fields: t.Any) -> None:
    with pytest.raises(ConfigurationError, match="identity"):
        check_fields(fields)


def test_an_answer_of_another_shape_names_what_was_looked_for_and_what_came() -> None:
    with pytest.raises(ProviderError) as told:
        make_identity({"user": {"uid": "secret"}, "ok": True}, fields={"id": "data.id"})
    assert "it has no data.id. It has user, ok." in str(told.value)
    assert "secret" not in str(told.value)
    with pytest.raises(ProviderError, match=r"no token:user\.id\. It has openid"):
        make_identity({"a": 1}, fields={"id": "token:user.id"}, token={"openid": "o"})
    with pytest.raises(ProviderError, match="It has no members"):
        make_identity({})
