"""Scopes, as developers and providers write them."""

from __future__ import annotations

import pytest

from flask_oauth2_login.protocol.scope import Scope, split_granted, split_scope


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        (None, []),
        ("", []),
        ("read", ["read"]),
        ("read  write\tread", ["read", "write"]),
        (["read", "", "write", "read"], ["read", "write"]),
        (("a:b", "https://p.example/scope"), ["a:b", "https://p.example/scope"]),
        (iter(["b", "a"]), ["b", "a"]),
    ],
)
def test_each_scope_once_in_its_order(scope: Scope | None, scopes: list[str]) -> None:
    assert split_scope(scope) == scopes


@pytest.mark.parametrize(
    ("scope", "separator", "scopes"),
    [
        ("read write", " ", ["read", "write"]),
        ("read,write", " ", ["read", "write"]),
        ("read, write", ",", ["read", "write"]),
        ("read|write", "|", ["read", "write"]),
        ("read|write", " ", ["read|write"]),
        ("read+write", "+", ["read", "write"]),
        ("", ",", []),
        (",,", ",", []),
    ],
)
def test_granted_scopes_whatever_joins_them(scope: str, separator: str, scopes: list[str]) -> None:
    assert split_granted(scope, separator) == scopes
