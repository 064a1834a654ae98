"""Refusals in the words of providers that say them in their own way: nobody is signed in."""

from __future__ import annotations

import logging
import typing as t
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from tests.support.any_host import AnyHost, Reply
from tests.support.preset_walks import WALKS, StandIn, make_site

pytestmark = pytest.mark.slow


def sign_in(name: str, hosts: AnyHost, **otherwise: Reply) -> tuple[int, int]:
    """The status of the callback, and of a page for who is signed in."""
    stand_in = StandIn(WALKS[name])
    stand_in.otherwise = otherwise
    hosts.answer = stand_in.answer
    client = make_site(WALKS[name], hosts).test_client()
    sent = dict(parse_qsl(urlsplit(client.get("/login").location).query))
    stand_in.nonce = sent.get("nonce")
    answer = {"code": "the-code", "state": sent["state"], **WALKS[name].get("callback", {})}
    status = client.get(f"/callback?{urlencode(answer)}").status_code
    return status, client.get("/me", headers={"Accept": "application/json"}).status_code


TOKEN_REFUSALS: list[tuple[str, t.Any]] = [
    ("github", {"error": "bad_verification_code", "error_description": "The code is incorrect."}),
    ("github", "error=bad_verification_code&error_description=The+code+is+incorrect."),
    ("slack", {"ok": False, "error": "invalid_code"}),
    ("slack_api", {"ok": False, "error": "invalid_code"}),
    ("withings", {"status": 601, "body": {}, "error": "Too Many Requests: code used"}),
    ("withings", {"status": 503, "error": "Invalid Params: invalid code"}),
    ("tiktok", {"error": "invalid_grant", "error_description": "expired", "log_id": "2026"}),
    ("zoho", {"error": "invalid_code"}),
    ("naver", {"error": "invalid_request", "error_description": "no valid data in session"}),
    ("weibo", {"error": "invalid_grant", "error_code": 21325, "request": "/oauth2/access_token"}),
    ("qq", 'callback( {"error":100020,"error_description":"code is reused"} );\n'),
    ("qq", {"error": 100020, "error_description": "code is reused error"}),
    ("baidu", {"error": "invalid_grant", "error_description": "expired"}),
    ("arcgis", {"error": {"code": 400, "error": "invalid_request", "message": "Invalid code"}}),
    ("facebook", {"error": {"message": "expired", "type": "OAuthException", "code": 100}}),
    ("bitly", "INVALID_CODE"),
    ("twitch", {"status": 400, "message": "Invalid authorization code"}),
    ("todoist", "error=bad_authorization_code"),
    ("vk", {"error": "invalid_grant", "error_description": "code is invalid"}),
    ("wakatime", {"error": "invalid_grant"}),
    ("mailru", {"error": "invalid code", "error_code": 6}),
    ("gumroad", {"success": False, "error": "invalid_grant"}),
    ("strava", {"message": "Bad Request", "errors": [{"field": "code", "code": "invalid"}]}),
    ("wechat", {"errcode": 40029, "errmsg": "invalid code, rid: 1"}),
    ("discord", {}),
    ("discord", []),
    ("discord", ""),
]  # fmt: skip


@pytest.mark.security("B4")
@pytest.mark.parametrize(("name", "body"), TOKEN_REFUSALS)
def test_a_refused_code_signs_nobody_in_whatever_the_words(
    name: str, body: t.Any, hosts: AnyHost, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    status, page = sign_in(name, hosts, token=Reply(body, "text/html"))
    assert status in {400, 502}
    assert page == 401
    assert not any(record.exc_info for record in caplog.records)
    assert [call for call in hosts.calls if "probe" in call.url] == []


IDENTITY_REFUSALS: list[tuple[str, t.Any]] = [
    ("slack_api", {"ok": False, "error": "missing_scope", "needed": "identity.basic"}),
    ("bungie", {"ErrorCode": 99, "ErrorStatus": "WebAuthRequired", "Message": "Please sign in"}),
    ("baidu", {"error_code": 110, "error_msg": "Access token invalid"}),
    ("kook", {"code": 401, "message": "invalid", "data": {}}),
    ("zendesk", {"user": {"id": None, "name": "Anonymous user", "email": "invalid@example.com"}}),
    ("monzo", {"authenticated": False}),
    ("gumroad", {"success": False, "message": "not authorized"}),
    ("phabricator", {"result": None, "error_code": "ERR-INVALID-AUTH", "error_info": "token"}),
    ("arcgis", {"error": {"code": 498, "message": "Invalid token.", "details": []}}),
    ("tiktok", {"data": {}, "error": {"code": "access_token_invalid", "message": "no"}}),
    ("naver", {"resultcode": "024", "message": "Authentication failed"}),
    ("kick", {"data": [], "message": "OK"}),
    ("linear", {"errors": [{"message": "Authentication required"}]}),
    ("monday", {"data": {"me": None}}),
    ("todoist", {"error": "Forbidden", "error_code": 403}),
    ("stack_exchange", {"items": [], "has_more": False}),
    ("stack_exchange", {"error_id": 403, "error_name": "access_denied"}),
    ("discord", {"message": "401: Unauthorized", "code": 0}),
    ("discord", {"id": {"nested": 1}}),
    ("discord", {"id": ""}),
    ("discord", {"id": True}),
    ("discord", {"id": ["1"]}),
    ("discord", "Attention Required! | Cloudflare"),
]  # fmt: skip


@pytest.mark.security("D1")
@pytest.mark.parametrize(("name", "body"), IDENTITY_REFUSALS)
def test_an_answer_that_names_nobody_signs_nobody_in_whatever_the_words(
    name: str, body: t.Any, hosts: AnyHost, caplog: pytest.LogCaptureFixture
) -> None:
    status, page = sign_in(name, hosts, userinfo=Reply(body))
    assert (status, page) == (502, 401)
    assert "userinfo_url" in caplog.text or "who signed in" in caplog.text
    assert "at-1" not in caplog.text


@pytest.mark.parametrize("name", ["qq", "sentry", "workos", "snowflake"])
def test_a_token_that_does_not_name_the_person_signs_nobody_in(name: str, hosts: AnyHost) -> None:
    token = Reply({"access_token": "at-1", "token_type": "bearer"})
    assert sign_in(name, hosts, token=token) == (502, 401)
