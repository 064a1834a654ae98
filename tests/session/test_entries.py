"""What the session holds of a login."""

from __future__ import annotations

import typing as t

import pytest
from flask import Flask


@pytest.mark.parametrize(
    "marks",
    [
        1,
        "x",
        [],
        ["id", "abcd"],
        ["id", ["oauth2", "x", "y", "z"]],
        ["id", ["oauth2", "x", "y", None]],
        ["id", ["oauth2", 5, 6, 7]],
        ["id", [["oauth2"], "a", "b", 1]],
        ["id", [1, 2, 3, 4, 5, 6, 7]],
        ["id", ["oauth2", "x", "y", 1e400]],
        [["id"], ["oauth2", "x", "y", 1, 2]],
    ],
)
def test_marks_of_another_shape_are_as_good_as_none(app: Flask, marks: t.Any) -> None:
    client = app.test_client()
    with client.session_transaction() as kept:
        kept["_oauth2"] = marks
    assert client.get("/me").status_code == 401
    assert client.get("/logout").status_code == 200
    assert client.post("/logout", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 204
    assert client.get("/login").status_code == 302
