"""The app's own keys for people, by which a store finds what is theirs."""

from __future__ import annotations

import typing as t

import pytest

from flask_oauth2_login import ConfigurationError, Identity
from flask_oauth2_login.session.store_labels import owner_key, owner_of


@pytest.mark.security("C10")
@pytest.mark.parametrize(
    ("owner", "key"), [("user-1", "user-1"), (7, "7"), (0, "0"), ("sso::ada", "sso::ada")]
)
def test_a_key_is_a_text(owner: t.Any, key: str) -> None:
    assert owner_key(owner) == key


@pytest.mark.security("C10")
@pytest.mark.parametrize("owner", [None, "", "None"])
def test_what_all_people_without_a_key_share_is_none(owner: t.Any) -> None:
    with pytest.raises(ConfigurationError, match="can't be an owner"):
        owner_key(owner)


@pytest.mark.parametrize(
    ("identity", "owner"),
    [
        (Identity("sso", "ada"), "sso::ada"),
        (Identity("sso", "ada", tenant="acme"), "sso:acme:ada"),
        (Identity("sso", "ada", owner="user-1"), "user-1"),
        (Identity("sso", None, owner="user-1"), "user-1"),
    ],
)
def test_who_has_no_key_is_named_by_the_account(identity: Identity, owner: str) -> None:
    assert owner_of(identity) == owner


def test_nobody_is_named_by_nothing() -> None:
    with pytest.raises(ConfigurationError, match="userinfo_url"):
        owner_of(Identity("sso", None))
