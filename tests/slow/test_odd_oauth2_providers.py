"""People sign in at stand-ins that answer as the oddest OAuth 2.0 providers do.

Each stand-in demands what its provider demands, and refuses in its words.
"""

from __future__ import annotations

import base64
import re
import time
import typing as t
from pathlib import Path
from urllib.parse import urlencode

import pytest

from flask_oauth2_login import login_required
from tests.support.any_host import AnyHost, Call, Reply
from tests.support.clock import Clock
from tests.support.odd_provider import (
    CLIENT,
    SECRET,
    OddProvider,
    Visitor,
    at,
    demand,
    is_about,
    query_of,
)


class GitHub(OddProvider):
    """An OAuth App at github.com: forms unless JSON is asked for, and errors with status 200."""

    preset = "github"
    web, api = "https://github.com", "https://api.github.com"
    #: Tokens of a GitHub App expire.
    is_github_app = False
    lifetime = 28800

    @at("https://github.com/login/oauth/authorize", "GET")
    def authorize(self, call: Call) -> Reply:
        asked = call.query
        demand(asked.get("client_id") == CLIENT, "Not Found", 404)
        demand("," not in asked["scope"], "The scope is not separated by spaces.", 400)
        return self.send_back(asked)

    @at("https://github.com/login/oauth/access_token")
    def token(self, call: Call) -> Reply:
        sent, docs = call.form, "https://docs.github.com/apps/oauth"

        def refusal(error: str, text: str) -> dict[str, str]:
            return {"error": error, "error_description": text, "error_uri": docs}

        wrong = "The client_id and/or client_secret passed are incorrect."
        given = (sent.get("client_id"), sent.get("client_secret"))
        demand(given == (CLIENT, SECRET), refusal("incorrect_client_credentials", wrong))
        if sent.get("grant_type") == "refresh_token":
            expired = "The refresh token passed is incorrect or expired."
            self.spend(sent, refusal("bad_refresh_token", expired), 200)
        else:
            used = "The code passed is incorrect or expired."
            self.redeem(sent, refusal("bad_verification_code", used), 200)
        issued = self.issue(refresh=self.is_github_app)
        if self.is_github_app:
            issued |= {"refresh_token_expires_in": 15897600, "scope": ""}
        else:
            del issued["expires_in"]
            issued["scope"] = "read:user,user:email"
        issued["token_type"] = "bearer"
        if call.headers.get("Accept") == "application/json":
            return Reply(issued)
        return Reply(urlencode(issued), "application/x-www-form-urlencoded; charset=utf-8")

    def check_call(self, call: Call) -> None:
        text = "Request forbidden by administrative rules. Please make sure your request has a"
        agent = call.headers.get("User-Agent", "")
        demand(agent and "python" not in agent, f"{text} User-Agent header", 403)
        demand(self.has_bearer(call), {"message": "Bad credentials", "status": "401"}, 401)

    @at("https://api.github.com/user", "GET")
    def user(self, call: Call) -> Reply:
        self.check_call(call)
        picture = "https://avatars.githubusercontent.com/u/583231?v=4"
        return Reply({
            "login": "octocat", "id": 583231, "node_id": "MDQ6VXNlcjU4MzIzMQ==",
            "avatar_url": picture, "name": None, "email": None, "type": "User",
        })  # fmt: skip

    @at("https://api.github.com/user/emails", "GET")
    def emails(self, call: Call) -> Reply:
        self.check_call(call)
        return Reply([
            {"email": "old@example.com", "verified": False, "primary": False, "visibility": None},
            {"email": "cat@example.com", "verified": True, "primary": True, "visibility": "public"},
        ])  # fmt: skip


CAT = {
    "id": "583231",
    "name": "octocat",
    "email": "cat@example.com",
    "email_verified": True,
    "picture": "https://avatars.githubusercontent.com/u/583231?v=4",
}


class TestGitHub:
    def test_signs_in_with_a_verified_address(self, hosts: AnyHost, tmp_path: Path) -> None:
        visitor = Visitor(GitHub(), hosts, tmp_path)
        assert visitor.sign_in().status_code == 302
        assert is_about(visitor, CAT)
        assert visitor.ask("user")["login"] == "octocat"
        assert visitor.provider.refused == []

    def test_refuses_a_code_with_status_200(
        self, hosts: AnyHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        visitor = Visitor(GitHub(), hosts, tmp_path)
        answer = visitor.go_to(visitor.begin())
        visitor.provider.codes.clear()
        assert visitor.come_back(answer).status_code == 400
        assert "bad_verification_code" in caplog.text
        assert visitor.me() == {}

    def test_says_that_the_secret_is_wrong(
        self, hosts: AnyHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        visitor = Visitor(GitHub(), hosts, tmp_path, config={"GITHUB_CLIENT_SECRET": "another"})
        assert visitor.sign_in().status_code == 502
        assert "incorrect_client_credentials" in caplog.text
        assert CLIENT in caplog.text

    def test_sends_somebody_back_who_says_no(self, hosts: AnyHost, tmp_path: Path) -> None:
        visitor = Visitor(GitHub(), hosts, tmp_path)
        visitor.provider.says_no = {
            "error": "access_denied",
            "error_description": "The user has denied your application access.",
            "error_uri": "https://docs.github.com/apps/troubleshooting",
        }
        assert visitor.sign_in().status_code == 400
        assert visitor.me() == {}

    def test_refreshes_the_tokens_of_a_github_app(
        self, hosts: AnyHost, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        provider = GitHub()
        provider.is_github_app = True
        visitor = Visitor(provider, hosts, tmp_path)
        assert visitor.sign_in().status_code == 302
        clock.ahead += 28801
        assert visitor.call("user").status_code == 200
        assert len(provider.calls_to("https://github.com/login/oauth/access_token")) == 2
        clock.ahead += 28801
        provider.refresh_tokens.clear()
        assert visitor.call("user").status_code == 401
        assert "bad_refresh_token" in caplog.text
        assert visitor.me() == {}


class GitHubEnterprise(GitHub):
    """A server of a company, old: it answers with forms whatever is asked for, and ignores PKCE."""

    preset = "github_enterprise"
    variables: t.ClassVar[dict[str, t.Any]] = {
        "domain": "github.acme.example",
        "app": "Acme Portal",
    }

    @at("https://github.acme.example/login/oauth/authorize", "GET")
    def authorize(self, call: Call) -> Reply:
        without = {name: value for name, value in call.query.items() if "challenge" not in name}
        return super().authorize(Call(call.method, call.url, without, call.headers, call.body))

    @at("https://github.acme.example/login/oauth/access_token")
    def token(self, call: Call) -> Reply:
        answer = super().token(call)
        form = urlencode(answer.body) if isinstance(answer.body, dict) else answer.body
        return Reply(form, "application/x-www-form-urlencoded; charset=utf-8")

    @at("https://github.acme.example/api/v3/user", "GET")
    def user(self, call: Call) -> Reply:
        demand(call.headers.get("User-Agent") == "Acme Portal", "no User-Agent", 403)
        return super().user(call)

    @at("https://github.acme.example/api/v3/user/emails", "GET")
    def emails(self, call: Call) -> Reply:
        return super().emails(call)


class TestGitHubEnterprise:
    def test_signs_in_at_the_companys_server_alone(self, hosts: AnyHost, tmp_path: Path) -> None:
        visitor = Visitor(GitHubEnterprise(), hosts, tmp_path)
        assert visitor.sign_in().status_code == 302
        assert is_about(visitor, CAT)
        assert visitor.ask("user")["id"] == 583231
        assert all("//github.acme.example/" in call.url for call in visitor.provider.calls)


class SlackAPI(OddProvider):
    """Slack's OAuth v2 for a person's token: all answers have status 200 and ``ok``."""

    preset = "slack_api"
    site = "https://app.example"
    lifetime = 43200
    #: With token rotation, tokens expire.
    rotates = False

    @at("https://slack.com/oauth/v2/authorize", "GET")
    def authorize(self, call: Call) -> Reply:
        asked = call.query
        demand(asked["redirect_uri"].startswith("https://"), "bad_redirect_uri")
        demand("scope" not in asked and " " not in asked["user_scope"], "invalid_scope")
        return self.send_back(asked)

    @at("https://slack.com/api/oauth.v2.access")
    def token(self, call: Call) -> Reply:
        sent = call.form
        demand("code_verifier" not in sent, {"ok": False, "error": "invalid_arguments"})
        given = (sent.get("client_id"), sent.get("client_secret"))
        demand(given == (CLIENT, SECRET), {"ok": False, "error": "bad_client_secret"})
        if sent.get("grant_type") == "refresh_token":
            self.spend(sent, {"ok": False, "error": "invalid_refresh_token"}, 200)
            more = {"ok": True, "app_id": "A123", "token_type": "user", "team": {"id": "T123"}}
            return Reply({**self.issue(), **more})
        asked = self.redeem(sent, {"ok": False, "error": "invalid_code"}, 200)
        issued = self.issue(refresh=self.rotates)
        if not self.rotates:
            del issued["expires_in"]
        return Reply({
            "ok": True, "app_id": "A123", "team": {"id": "T123"}, "enterprise": None,
            "is_enterprise_install": False,
            "authed_user": {
                "id": "U1234", "scope": asked["user_scope"], "token_type": "user", **issued,
            },
        })  # fmt: skip

    @at("https://slack.com/api/users.identity", "GET")
    def identity(self, call: Call) -> Reply:
        demand(self.has_bearer(call), {"ok": False, "error": "invalid_auth"})
        user = {
            "name": "Sonny",
            "id": "U1234",
            "email": "s@example.com",
            "image_192": "https://i/1",
        }
        return Reply({"ok": True, "user": user, "team": {"id": "T123"}})

    @at("https://slack.com/api/auth.revoke")
    def revoke(self, call: Call) -> Reply:
        known = self.access_tokens.pop(call.form.get("token", ""), None)
        demand(known, {"ok": False, "error": "invalid_auth"})
        return Reply({"ok": True, "revoked": True})


class TestSlackAPI:
    def test_signs_in_with_the_token_of_the_person(self, hosts: AnyHost, tmp_path: Path) -> None:
        visitor = Visitor(SlackAPI(), hosts, tmp_path)
        assert visitor.sign_in().status_code == 302
        sonny = {"id": "U1234", "name": "Sonny", "email": "s@example.com", "email_verified": False}
        assert is_about(visitor, sonny)
        assert visitor.ask("users.identity")["ok"] is True

    def test_refreshes_with_token_rotation(
        self, hosts: AnyHost, tmp_path: Path, clock: Clock
    ) -> None:
        provider = SlackAPI()
        provider.rotates = True
        visitor = Visitor(provider, hosts, tmp_path)
        assert visitor.sign_in().status_code == 302
        for _ in range(2):
            clock.ahead += 43201
            assert visitor.ask("users.identity")["ok"] is True
        clock.ahead += 43201
        provider.refresh_tokens.clear()
        assert visitor.call("users.identity").status_code == 401
        assert visitor.me() == {}

    def test_ends_the_token_at_a_sign_out(self, hosts: AnyHost, tmp_path: Path) -> None:
        visitor = Visitor(SlackAPI(), hosts, tmp_path)
        visitor.sign_in()
        visitor.sign_out()
        assert visitor.me() == {}
        assert visitor.provider.access_tokens == {}

    def test_refuses_a_code_with_status_200(
        self, hosts: AnyHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        visitor = Visitor(SlackAPI(), hosts, tmp_path)
        answer = visitor.go_to(visitor.begin())
        visitor.provider.codes.clear()
        assert visitor.come_back(answer).status_code == 400
        assert "invalid_code" in caplog.text
        assert visitor.me() == {}


class TikTok(OddProvider):
    """``client_key`` in place of ``client_id``, and an ``error`` in every answer of the API."""

    preset = "tiktok"
    site = "https://app.example"
    lifetime = 86400

    @at("https://www.tiktok.com/v2/auth/authorize/", "GET")
    def authorize(self, call: Call) -> Reply:
        asked = call.query
        demand(asked.get("client_key") == CLIENT and "client_id" not in asked, "client_key", 400)
        demand(asked["scope"] == "user.info.basic,user.info.profile", "scope", 400)
        demand(asked["redirect_uri"] == "https://app.example/callback", "redirect_uri", 400)
        return self.send_back(asked, scopes=asked["scope"])

    @at("https://open.tiktokapis.com/v2/oauth/token/")
    def token(self, call: Call) -> Reply:
        sent = call.form

        def refusal(error: str, text: str) -> dict[str, str]:
            return {"error": error, "error_description": text, "log_id": "20261127"}

        given = (sent.get("client_key"), sent.get("client_secret"))
        demand(given == (CLIENT, SECRET), refusal("invalid_client", "Client key or secret"))
        if sent["grant_type"] == "refresh_token":
            self.spend(sent, refusal("invalid_grant", "Refresh token is invalid or expired."), 200)
        else:
            self.redeem(sent, refusal("invalid_grant", "Authorization code is expired."), 200)
        scope = "user.info.basic,user.info.profile"
        more = {"open_id": "723f24d7", "scope": scope, "refresh_expires_in": 31536000}
        return Reply({**self.issue(), **more, "token_type": "Bearer"})

    @at("https://open.tiktokapis.com/v2/user/info/", "GET")
    def user(self, call: Call) -> Reply:
        def error(code: str) -> dict[str, t.Any]:
            return {"error": {"code": code, "message": "", "log_id": "20261127"}}

        demand(self.has_bearer(call), error("access_token_invalid"), 401)
        fields = call.query.get("fields", "").split(",")
        demand(fields != [""], error("invalid_params"), 400)
        known = {"open_id": "723f24d7", "union_id": "c9c60f44", "display_name": "Ada", "bio": ""}
        known |= {"avatar_url": "https://p16.tiktokcdn.com/a.jpeg"}
        return Reply({"data": {"user": {name: known[name] for name in fields}}, **error("ok")})

    @at("https://open.tiktokapis.com/v2/oauth/revoke/")
    def revoke(self, call: Call) -> Reply:
        sent = call.form
        demand(sent.get("client_key") == CLIENT, {"error": "invalid_client"})
        self.access_tokens.pop(sent["token"], None)
        return Reply({})


class TestTikTok:
    def test_signs_in_and_refreshes(self, hosts: AnyHost, tmp_path: Path, clock: Clock) -> None:
        visitor = Visitor(TikTok(), hosts, tmp_path, scope=["user.info.basic", "user.info.profile"])
        assert visitor.sign_in().status_code == 302
        ada = {"id": "723f24d7", "name": "Ada", "picture": "https://p16.tiktokcdn.com/a.jpeg"}
        assert is_about(visitor, {**ada, "email": None})
        clock.ahead += 86401
        assert visitor.ask("user/info/?fields=open_id")["data"]["user"] == {"open_id": "723f24d7"}
        assert len(visitor.provider.calls_to("https://open.tiktokapis.com/v2/oauth/token/")) == 2

    def test_refuses_with_status_200(
        self, hosts: AnyHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        visitor = Visitor(TikTok(), hosts, tmp_path, scope=["user.info.basic", "user.info.profile"])
        answer = visitor.go_to(visitor.begin())
        visitor.provider.codes.clear()
        assert visitor.come_back(answer).status_code == 400
        assert "Authorization code is expired." in caplog.text
        assert visitor.me() == {}


class VK(OddProvider):
    """VK ID: PKCE is mandatory, and the device of the answer is needed for every token."""

    preset = "vk"
    device = "Lw1v7_aX-device"

    @at("https://id.vk.ru/authorize", "GET")
    def authorize(self, call: Call) -> Reply:
        asked = call.query
        demand(asked.get("code_challenge_method") == "S256", "code_challenge", 400)
        demand(re.fullmatch(r"[A-Za-z0-9_-]{32,}", asked.get("state", "")), "state", 400)
        more = {"device_id": self.device, "type": "code_v2", "expires_in": "600"}
        return self.send_back(asked, **more)

    @at("https://id.vk.ru/oauth2/auth")
    def token(self, call: Call) -> Reply:
        sent = call.form
        wrong = {"error": "invalid_grant", "error_description": "Code is invalid or expired"}
        slipped = {"error": "invalid_request", "error_description": "device_id is invalid"}
        demand(sent.get("device_id") == self.device, slipped)
        demand(sent.get("client_id") == CLIENT and sent.get("state"), slipped)
        if sent["grant_type"] == "refresh_token":
            self.spend(sent, {**wrong, "error_description": "Token is expired"}, 200)
        else:
            demand("scope" not in sent, slipped)
            asked = self.redeem(sent, wrong, 200)
            demand(sent["state"] == asked["state"], slipped)
        more = {"token_type": "Bearer", "user_id": 1234567890, "state": sent["state"]}
        return Reply({**self.issue(), **more, "scope": "email", "id_token": "eyJ.not.checked"})

    @at("https://id.vk.ru/oauth2/user_info")
    def user_info(self, call: Call) -> Reply:
        sent = call.form
        wrong = {"error": "invalid_token", "error_description": "access_token is invalid"}
        demand(self.is_valid(sent.get("access_token")), wrong)
        demand(sent.get("client_id") == CLIENT, {"error": "invalid_client"})
        user = {"user_id": "1234567890", "first_name": "Ada", "last_name": "Lovelace", "sex": 1}
        more = {"email": "ada@example.com", "avatar": "https://pp.userapi.com/a.jpg"}
        return Reply({"user": {**user, **more, "verified": False, "birthday": "10.12.1815"}})

    @at("https://api.vk.ru/method/users.get", "GET")
    def users(self, call: Call) -> Reply:
        wrong = {"error": {"error_code": 5, "error_msg": "User authorization failed"}}
        demand(self.has_bearer(call), wrong)
        return Reply({"response": [{"id": 1234567890}]})

    @at("https://id.vk.ru/oauth2/revoke")
    def revoke(self, call: Call) -> Reply:
        text = "access_token is missing or invalid"
        demand("access_token" in call.form, {"error": "invalid_request", "error_description": text})
        return Reply({"response": 1})


class TestVK:
    def test_signs_in_and_refreshes_from_the_same_device(
        self, hosts: AnyHost, tmp_path: Path, clock: Clock
    ) -> None:
        visitor = Visitor(VK(), hosts, tmp_path)
        assert visitor.sign_in().status_code == 302
        ada = {"id": "1234567890", "name": "Ada Lovelace", "email": "ada@example.com"}
        assert is_about(visitor, {**ada, "email_verified": False})
        clock.ahead += 3601
        assert visitor.ask("users.get") == {"response": [{"id": 1234567890}]}
        assert len(visitor.provider.calls_to("https://id.vk.ru/oauth2/auth")) == 2
        assert visitor.provider.refused == []

    def test_is_not_asked_to_revoke_in_words_that_it_does_not_know(
        self, hosts: AnyHost, tmp_path: Path
    ) -> None:
        visitor = Visitor(VK(), hosts, tmp_path)
        visitor.sign_in()
        visitor.sign_out()
        assert visitor.me() == {}
        assert visitor.provider.refused == []

    def test_refuses_with_status_200(
        self, hosts: AnyHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        visitor = Visitor(VK(), hosts, tmp_path)
        answer = visitor.go_to(visitor.begin())
        visitor.provider.codes.clear()
        assert visitor.come_back(answer).status_code == 400
        assert "Code is invalid or expired" in caplog.text

    def test_an_answer_without_its_device_sends_no_code(
        self, hosts: AnyHost, tmp_path: Path
    ) -> None:
        visitor = Visitor(VK(), hosts, tmp_path)
        asked = query_of(visitor.begin())
        response = visitor.get(f"/callback?code=c&state={asked['state']}")
        assert response.status_code == 400
        assert visitor.provider.calls == []


HEALTH = "user.info user.metrics"


class Withings(OddProvider):
    """An action in each token request, a status within the body, the token below ``body``."""

    preset = "withings"
    lifetime = 10800

    @at("https://account.withings.com/oauth2_user/authorize2", "GET")
    def authorize(self, call: Call) -> Reply:
        asked = call.query
        demand(asked.get("response_type") == "code" and asked.get("state"), "state", 400)
        demand(asked["scope"] == "user.info,user.metrics", "scope", 400)
        return self.send_back(asked)

    @at("https://wbsapi.withings.net/v2/oauth2")
    def token(self, call: Call) -> Reply:
        sent = call.form

        def refusal(text: str, status: int = 503) -> dict[str, t.Any]:
            return {"status": status, "body": {}, "error": text}

        demand(sent.get("action") == "requesttoken", refusal("Not implemented", 2554))
        given = (sent.get("client_id"), sent.get("client_secret"))
        demand(given == (CLIENT, SECRET), refusal("Invalid Params: invalid client_secret"))
        if sent.get("grant_type") == "refresh_token":
            self.spend(sent, refusal("Invalid Params: invalid refresh_token"), 200)
        else:
            self.redeem(sent, refusal("Invalid Params: invalid code"), 200)
        more = {"userid": 363, "scope": "user.info,user.metrics", "token_type": "Bearer"}
        return Reply({"status": 0, "body": {**self.issue(), **more, "csrf_token": "f3a4"}})

    @at("https://wbsapi.withings.net/v2/user", "GET")
    def user(self, call: Call) -> Reply:
        wrong = {"status": 401, "body": {}, "error": "XRequestID: invalid_token"}
        demand(self.has_bearer(call), wrong)
        return Reply({"status": 0, "body": {"devices": []}})


class TestWithings:
    def test_signs_in_and_refreshes(self, hosts: AnyHost, tmp_path: Path, clock: Clock) -> None:
        visitor = Visitor(Withings(), hosts, tmp_path, scope=HEALTH)
        assert visitor.sign_in().status_code == 302
        assert is_about(visitor, {"id": "363", "name": None, "email": None})
        clock.ahead += 10801
        assert visitor.ask("v2/user") == {"status": 0, "body": {"devices": []}}
        assert visitor.provider.refused == []

    def test_refuses_with_status_200_and_a_number(
        self, hosts: AnyHost, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        visitor = Visitor(Withings(), hosts, tmp_path, scope=HEALTH)
        answer = visitor.go_to(visitor.begin())
        visitor.provider.codes.clear()
        assert visitor.come_back(answer).status_code == 400
        assert "Invalid Params: invalid code" in caplog.text
        assert visitor.sign_in().status_code == 302
        clock.ahead += 10801
        visitor.provider.refresh_tokens.clear()
        assert visitor.call("v2/user").status_code == 401
        assert "Invalid Params: invalid refresh_token" in caplog.text
        assert visitor.me() == {}


class Dropbox(OddProvider):
    """Who it is comes by a POST without a body; a form there is refused."""

    preset = "dropbox"
    lifetime = 14400

    @at("https://www.dropbox.com/oauth2/authorize", "GET")
    def authorize(self, call: Call) -> Reply:
        return self.send_back(call.query)

    @at("https://api.dropboxapi.com/oauth2/token")
    def token(self, call: Call) -> Reply:
        sent, offline = call.form, False
        given = (sent.get("client_id"), sent.get("client_secret"))
        wrong = {"error": "invalid_client", "error_description": "Invalid client_id or secret"}
        demand(given == (CLIENT, SECRET), wrong, 400)
        if sent["grant_type"] == "refresh_token":
            demand(sent["refresh_token"] in self.refresh_tokens, {"error": "invalid_grant"}, 400)
        else:
            gone = "code doesn't exist or has expired"
            refused = {"error": "invalid_grant", "error_description": gone}
            asked = self.redeem(sent, refused, 400)
            offline = asked.get("token_access_type") == "offline"
        more = {"token_type": "bearer", "scope": "account_info.read", "uid": "12345"}
        return Reply({**self.issue(refresh=offline), **more, "account_id": "dbid:AAH4f99"})

    @at("https://api.dropboxapi.com/2/users/get_current_account", "POST")
    def account(self, call: Call) -> Reply:
        kind = call.headers.get("Content-Type", "")
        text = f'Bad HTTP "Content-Type" header: "{kind}". Expecting one of "application/json".'
        demand(kind in {"", "application/json"}, text, 400)
        demand(call.body in {b"", b"null"}, "request body: could not decode input as JSON", 400)
        expired = {"error_summary": "expired_access_token/", "error": {".tag": "expired"}}
        demand(self.has_bearer(call), expired, 401)
        name = {"given_name": "Franz", "display_name": "Franz Ferdinand (Personal)"}
        return Reply({
            "account_id": "dbid:AAH4f99", "name": name, "email": "franz@example.com",
            "email_verified": True, "disabled": False, "profile_photo_url": "https://dl/p.jpg",
        })  # fmt: skip

    @at("https://api.dropboxapi.com/2/check/user", "GET")
    def check(self, call: Call) -> Reply:
        demand(self.has_bearer(call), {"error_summary": "expired_access_token/"}, 401)
        return Reply({"result": "ok"})


class TestDropbox:
    @pytest.mark.parametrize("offline", [True, False])
    def test_signs_in_and_refreshes_if_asked(
        self, hosts: AnyHost, tmp_path: Path, clock: Clock, offline: bool
    ) -> None:
        visitor = Visitor(Dropbox(), hosts, tmp_path, offline=offline)
        assert visitor.sign_in().status_code == 302
        franz = {"id": "dbid:AAH4f99", "name": "Franz Ferdinand (Personal)"}
        franz |= {"email": "franz@example.com", "picture": "https://dl/p.jpg"}
        assert is_about(visitor, {**franz, "email_verified": True})
        clock.ahead += 14401
        assert visitor.call("check/user").status_code == (200 if offline else 401)

    def test_refuses_a_code(
        self, hosts: AnyHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        visitor = Visitor(Dropbox(), hosts, tmp_path)
        answer = visitor.go_to(visitor.begin())
        visitor.provider.codes.clear()
        assert visitor.come_back(answer).status_code == 400
        assert "code doesn't exist or has expired" in caplog.text


class Reddit(OddProvider):
    """Basic authentication, and 429 for whoever does not say who calls."""

    preset = "reddit"
    variables: t.ClassVar[dict[str, t.Any]] = {"app": "org.acme.portal", "contact": "ada"}
    lifetime = 86400

    def check_agent(self, call: Call) -> None:
        agent = call.headers.get("User-Agent", "")
        is_own = re.fullmatch(r"\w+:[\w.-]+:v[\w.]+ \(by /u/\w+\)", agent)
        demand(is_own, {"message": "Too Many Requests", "error": 429}, 429)

    @at("https://www.reddit.com/api/v1/authorize", "GET")
    def authorize(self, call: Call) -> Reply:
        demand(call.query.get("state") and call.query.get("scope"), "invalid_request", 400)
        return self.send_back(call.query)

    def check_client(self, call: Call) -> None:
        self.check_agent(call)
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        is_right = call.headers.get("Authorization") == f"Basic {basic}"
        demand(is_right, {"message": "Unauthorized", "error": 401}, 401)

    @at("https://www.reddit.com/api/v1/access_token")
    def token(self, call: Call) -> Reply:
        self.check_client(call)
        sent, permanent = call.form, False
        if sent["grant_type"] == "refresh_token":
            demand(sent["refresh_token"] in self.refresh_tokens, {"error": "invalid_grant"})
        else:
            asked = self.redeem(sent, {"error": "invalid_grant"}, 200)
            permanent = asked.get("duration") == "permanent"
        more = {"token_type": "bearer", "scope": "identity"}
        return Reply({**self.issue(refresh=permanent), **more})

    @at("https://oauth.reddit.com/api/v1/me", "GET")
    def person(self, call: Call) -> Reply:
        self.check_agent(call)
        demand(self.has_bearer(call), {"message": "Unauthorized", "error": 401}, 401)
        return Reply(
            {"id": "t2x", "name": "ada", "icon_img": "https://i.redd.it/a.png?s=1&amp;w=2"}
        )

    @at("https://www.reddit.com/api/v1/revoke_token")
    def revoke(self, call: Call) -> Reply:
        self.check_client(call)
        self.access_tokens.pop(call.form["token"], None)
        self.refresh_tokens.discard(call.form["token"])
        return Reply("", status=204)


class TestReddit:
    def test_signs_in_refreshes_and_revokes(
        self, hosts: AnyHost, tmp_path: Path, clock: Clock
    ) -> None:
        visitor = Visitor(Reddit(), hosts, tmp_path, offline=True)
        assert visitor.sign_in().status_code == 302
        assert is_about(visitor, {"id": "t2x", "name": "ada", "email": None})
        clock.ahead += 86401
        assert visitor.ask("api/v1/me")["id"] == "t2x"
        login = visitor.login
        with visitor.app.app_context():
            (account,) = login.accounts("reddit::t2x")
            assert login.unlink("reddit::t2x", str(account.id))
        assert visitor.provider.refresh_tokens == set()
        assert visitor.provider.refused == []

    def test_refuses_with_a_number_for_an_error(
        self, hosts: AnyHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        visitor = Visitor(Reddit(), hosts, tmp_path, config={"REDDIT_CLIENT_SECRET": "another"})
        assert visitor.sign_in().status_code == 502
        assert "Unauthorized" in caplog.text
        assert "client_secret_basic" in caplog.text


class Strava(OddProvider):
    """Scopes with commas, errors as lists of fields, refresh tokens that count once."""

    preset = "strava"
    lifetime = 21600
    #: What the person leaves ticked.
    ticked = "read,activity:read"

    @at("https://www.strava.com/oauth/authorize", "GET")
    def authorize(self, call: Call) -> Reply:
        asked = call.query

        def wrong(field: str) -> dict[str, t.Any]:
            return bad("Authorize", field)

        demand(" " not in asked["scope"], wrong("scope"), 400)
        demand(asked.get("approval_prompt") in {"auto", "force"}, wrong("approval_prompt"), 400)
        return self.send_back(asked, scope=self.ticked)

    @at("https://www.strava.com/oauth/token")
    def token(self, call: Call) -> Reply:
        sent = call.form
        given = (sent.get("client_id"), sent.get("client_secret"))
        demand(given == (CLIENT, SECRET), bad("Application", "client_id"), 401)
        athlete = {"id": 134815, "username": "marianne_t", "firstname": "Marianne", "city": "SF"}
        more: dict[str, t.Any] = {"token_type": "Bearer"}
        if sent["grant_type"] == "refresh_token":
            self.spend(sent, bad("RefreshToken", "refresh_token"), 400)
        else:
            self.redeem(sent, bad("AuthorizationCode", "code"), 400)
            more["athlete"] = athlete
        return Reply({**self.issue(), **more, "expires_at": int(time.time()) + self.lifetime})

    @at("https://www.strava.com/api/v3/athlete", "GET")
    def athlete(self, call: Call) -> Reply:
        wrong = {**bad("Athlete", "access_token"), "message": "Authorization Error"}
        demand(self.has_bearer(call), wrong, 401)
        name = {"firstname": "Marianne", "lastname": "Teutenberg", "username": "marianne_t"}
        return Reply(
            {"id": 134815, **name, "profile": "https://dgalywyr863hv.cloudfront.net/l.jpg"}
        )


def bad(resource: str, field: str) -> dict[str, t.Any]:
    """A refusal in Strava's words."""
    errors = [{"resource": resource, "field": field, "code": "invalid"}]
    return {"message": "Bad Request", "errors": errors}


class TestStrava:
    def test_signs_in_and_refreshes(self, hosts: AnyHost, tmp_path: Path, clock: Clock) -> None:
        visitor = Visitor(Strava(), hosts, tmp_path, scope="read activity:read")
        assert visitor.sign_in().status_code == 302
        marianne = {"id": "134815", "name": "Marianne Teutenberg", "email": None}
        assert is_about(visitor, marianne)
        for _ in range(2):
            clock.ahead += 21601
            assert visitor.ask("athlete")["id"] == 134815
        assert visitor.provider.refused == []

    def test_a_scope_that_the_person_unticks_is_not_granted(
        self, hosts: AnyHost, tmp_path: Path
    ) -> None:
        provider = Strava()
        visitor = Visitor(provider, hosts, tmp_path, scope="read activity:read")

        @visitor.app.get("/rides")
        @login_required(scope="activity:read")
        def rides() -> str:
            return "All rides."

        provider.ticked = "read"
        assert visitor.sign_in().status_code == 302
        assert visitor.get("/rides").status_code == 403
        provider.ticked = "read,activity:read"
        assert visitor.sign_in().status_code == 302
        assert visitor.get("/rides").text == "All rides."

    def test_refuses_with_a_list_of_fields(
        self, hosts: AnyHost, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        visitor = Visitor(Strava(), hosts, tmp_path)
        answer = visitor.go_to(visitor.begin())
        visitor.provider.codes.clear()
        assert visitor.come_back(answer).status_code == 400
        assert "AuthorizationCode" in caplog.text
        assert visitor.sign_in().status_code == 302
        clock.ahead += 21601
        visitor.provider.refresh_tokens.clear()
        assert visitor.call("athlete").status_code == 401
        assert "RefreshToken" in caplog.text
        assert visitor.me() == {}


def test_a_stand_in_refuses_what_its_provider_refuses(hosts: AnyHost, tmp_path: Path) -> None:
    """Else a stand-in that demands nothing would prove nothing."""
    own = {"headers": {"User-Agent": "python-requests/2"}}
    visitor = Visitor(GitHub(), hosts, tmp_path, preset=own)
    assert visitor.sign_in().status_code == 502
    assert "User-Agent header" in visitor.provider.refused[0]
    visitor = Visitor(Dropbox(), hosts, tmp_path, preset={"userinfo_method": "GET"})
    assert visitor.sign_in().status_code == 502
    visitor = Visitor(VK(), hosts, tmp_path, preset={"token_params": {"state": "x"}})
    assert visitor.sign_in().status_code == 400
    visitor = Visitor(Withings(), hosts, tmp_path, preset={"token_params": None}, scope=HEALTH)
    assert visitor.sign_in().status_code == 400
    visitor = Visitor(Strava(), hosts, tmp_path, preset={"scope_separator": " "}, scope="a b")
    assert visitor.go_to(visitor.begin()).status_code == 400
