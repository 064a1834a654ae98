"""People sign in at stand-ins that answer as the oddest OpenID Providers do.

Each stand-in demands what its provider demands, and refuses in its words.
"""

from __future__ import annotations

import json
import time
import typing as t
from html import escape
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from flask_oauth2_login import Identity, Token
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


class Apple(OddProvider):
    """Sign in with Apple: a signed secret, answers by POST, and the name only the first time."""

    preset = "apple"
    site = "https://app.example"
    issuer = "https://appleid.apple.com"
    signer = ECKey.generate_key("P-256")
    variables: t.ClassVar[dict[str, t.Any]] = {
        "team_id": "DEF123GHIJ",
        "key_id": "ABC123DEFG",
        "private_key": signer.as_pem(private=True).decode(),
    }
    #: Whether this person has agreed before.
    is_known = False

    @at("https://appleid.apple.com/.well-known/openid-configuration", "GET")
    def metadata(self, call: Call) -> Reply:
        return Reply({
            "issuer": "https://appleid.apple.com",
            "authorization_endpoint": "https://appleid.apple.com/auth/authorize",
            "token_endpoint": "https://appleid.apple.com/auth/token",
            "revocation_endpoint": "https://appleid.apple.com/auth/revoke",
            "jwks_uri": "https://appleid.apple.com/auth/keys",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "email", "name"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        })  # fmt: skip

    @at("https://appleid.apple.com/auth/keys", "GET")
    def keys(self, call: Call) -> Reply:
        return Reply({"keys": [self.key.public()]})

    @at("https://appleid.apple.com/auth/authorize", "GET")
    def authorize(self, call: Call) -> Reply:
        asked = call.query
        demand(asked["redirect_uri"].startswith("https://"), "Invalid web redirect url", 400)
        is_posted = asked.get("response_mode") == "form_post"
        demand(is_posted, "response_mode must be form_post when name or email is requested", 400)
        answer = self.ask_person(asked)
        if not self.is_known and "code" in answer and "name" in asked["scope"].split():
            name = {"firstName": "Ada", "lastName": "Lovelace"}
            answer["user"] = json.dumps({"name": name, "email": "x9@privaterelay.appleid.com"})
        self.is_known = True
        fields = [f'<input name="{name}" value="{escape(answer[name])}">' for name in answer]
        return Reply(f"<form method=post>{''.join(fields)}</form>", "text/html")

    def check_secret(self, sent: dict[str, str]) -> None:
        wrong = {"error": "invalid_client"}
        demand(sent.get("client_id") == CLIENT, wrong, 400)
        demand(sent.get("client_secret", "").count(".") == 2, wrong, 400)
        secret = jwt.decode(sent["client_secret"], self.signer)
        claims = secret.claims
        demand(secret.header["kid"] == "ABC123DEFG" and secret.header["alg"] == "ES256", wrong, 400)
        demand((claims["iss"], claims["sub"]) == ("DEF123GHIJ", CLIENT), wrong, 400)
        demand(claims["aud"] == "https://appleid.apple.com", wrong, 400)
        demand(claims["iat"] <= time.time() < claims["exp"], wrong, 400)
        demand(claims["exp"] - claims["iat"] <= 15777000, wrong, 400)

    @at("https://appleid.apple.com/auth/token")
    def token(self, call: Call) -> Reply:
        sent = call.form
        self.check_secret(sent)
        wrong = {
            "error": "invalid_grant",
            "error_description": "The code has expired.",
        }
        nonce = None
        if sent["grant_type"] == "refresh_token":
            demand(sent["refresh_token"] in self.refresh_tokens, {"error": "invalid_grant"}, 400)
            issued = self.issue(refresh=False)
        else:
            nonce = self.redeem(sent, wrong, 400).get("nonce")
            issued = self.issue()
        claims = {
            "sub": "001234.ab", "email": "x9@privaterelay.appleid.com", "email_verified": "true",
            "is_private_email": "true", "nonce": nonce, "nonce_supported": True,
            "auth_time": int(time.time()),
        }  # fmt: skip
        more = {"token_type": "Bearer", "id_token": self.id_token(claims, issued["access_token"])}
        return Reply({**issued, **more})


class TestApple:
    def test_the_name_comes_the_first_time_alone(self, hosts: AnyHost, tmp_path: Path) -> None:
        visitor = Visitor(Apple(), hosts, tmp_path)
        seen: list[dict[str, str]] = []

        @visitor.login.on_login
        def note(identity: Identity, token: Token) -> None:
            seen.append(dict(identity.answer))

        for _ in range(2):
            assert visitor.sign_in().status_code == 302
            person = {"id": "001234.ab", "email": "x9@privaterelay.appleid.com"}
            assert is_about(visitor, {**person, "email_verified": True, "name": None})
        assert json.loads(seen[0]["user"])["name"]["firstName"] == "Ada"
        assert "user" not in seen[1]
        assert visitor.provider.refused == []

    def test_asks_whether_the_person_still_agrees(
        self, hosts: AnyHost, tmp_path: Path, clock: Clock
    ) -> None:
        visitor = Visitor(Apple(), hosts, tmp_path, revalidate=86400)
        visitor.sign_in()
        clock.ahead += 86401
        assert visitor.me()["id"] == "001234.ab"
        assert len(visitor.provider.calls_to("https://appleid.apple.com/auth/token")) == 2
        visitor.provider.refresh_tokens.clear()
        clock.ahead += 86401
        assert visitor.me() == {}

    def test_a_sign_out_does_not_end_the_persons_consent(
        self, hosts: AnyHost, tmp_path: Path
    ) -> None:
        visitor = Visitor(Apple(), hosts, tmp_path)
        visitor.sign_in()
        visitor.sign_out()
        assert visitor.me() == {}
        assert visitor.provider.calls_to("https://appleid.apple.com/auth/revoke") == []

    def test_says_no_in_its_own_word(
        self, hosts: AnyHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        visitor = Visitor(Apple(), hosts, tmp_path)
        visitor.provider.says_no = {"error": "user_cancelled_authorize"}
        assert visitor.sign_in().status_code == 400
        assert "user_cancelled_authorize" in caplog.text
        assert visitor.me() == {}

    def test_refuses_a_key_of_another_team(
        self, hosts: AnyHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        visitor = Visitor(Apple(), hosts, tmp_path, preset={"team_id": "ANOTHER123"})
        assert visitor.sign_in().status_code == 502
        assert "invalid_client" in caplog.text


HOME, ELSEWHERE = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490", "9188040d-6c67-4c5b-b112-36a304b66dad"
ENTRA = "https://login.microsoftonline.com"


class Entra(OddProvider):
    """Microsoft Entra with ``common``: an issuer for each directory, and one document for all."""

    preset = "microsoft"
    tenant = "common"
    #: The person's directory.
    directory = HOME
    more_claims: t.ClassVar[dict[str, t.Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        for path in ("oauth2/v2.0/authorize", "oauth2/v2.0/token", "discovery/v2.0/keys"):
            method = "POST" if path.endswith("token") else "GET"
            view = getattr(type(self), path.rpartition("/")[2])
            self.views[method, f"{ENTRA}/{self.tenant}/{path}"] = view
        where = f"{ENTRA}/{self.tenant}/v2.0/.well-known/openid-configuration"
        self.views["GET", where] = type(self).metadata

    def metadata(self, call: Call) -> Reply:
        base = f"{ENTRA}/{self.tenant}"
        issuer = ENTRA + "/{tenantid}/v2.0" if self.tenant == "common" else f"{base}/v2.0"
        return Reply({
            "issuer": issuer,
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "request_uri_parameter_supported": False,
            "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
            "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
            "http_logout_supported": True, "frontchannel_logout_supported": True,
            "tenant_region_scope": None, "cloud_instance_name": "microsoftonline.com",
        })  # fmt: skip

    def keys(self, call: Call) -> Reply:
        public = self.key.public()
        del public["alg"]
        return Reply({"keys": [{**public, "issuer": ENTRA + "/{tenantid}/v2.0", "x5c": ["MIIC"]}]})

    def authorize(self, call: Call) -> Reply:
        return self.send_back(call.query, session_state="7b29111d-c220-4263")

    def token(self, call: Call) -> Reply:
        sent = call.form

        def refusal(error: str, number: int, text: str) -> dict[str, t.Any]:
            text = f"AADSTS{number}: {text}\r\nTrace ID: 1b3f\r\nCorrelation ID: 2c4e"
            return {"error": error, "error_description": text, "error_codes": [number]}

        given = (sent.get("client_id"), sent.get("client_secret"))
        wrong = refusal("invalid_client", 7000215, "Invalid client secret provided.")
        demand(given == (CLIENT, SECRET), wrong, 401)
        expired = refusal("invalid_grant", 70008, "The provided authorization code has expired.")
        if sent["grant_type"] == "refresh_token":
            demand(sent["refresh_token"] in self.refresh_tokens, expired, 400)
            asked = {"scope": "openid profile email offline_access"}
        else:
            asked = self.redeem(sent, expired, 400)
        # It does not name offline_access.
        scopes = [scope for scope in asked["scope"].split() if scope != "offline_access"]
        issued = self.issue(refresh="offline_access" in asked["scope"])
        claims = {
            "iss": f"{ENTRA}/{self.directory}/v2.0", "tid": self.directory, "ver": "2.0",
            "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "name": "Ada Lovelace",
            "oid": "00000000-0000-0000-66f3-3332eca7ea81", "email": "ada@contoso.example",
            "preferred_username": "ada@contoso.example", "nonce": asked.get("nonce"), "uti": "x",
            **self.more_claims,
        }  # fmt: skip
        more = {"token_type": "Bearer", "scope": " ".join(scopes), "ext_expires_in": 3600}
        return Reply({**issued, **more, "id_token": self.id_token(claims)})

    @at("https://graph.microsoft.com/oidc/userinfo", "GET")
    def userinfo(self, call: Call) -> Reply:
        expired = {"error": {"code": "InvalidAuthenticationToken", "message": "Lifetime"}}
        demand(self.has_bearer(call), expired, 401)
        picture = "https://graph.microsoft.com/v1.0/me/photo/$value"
        sub = "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ"
        return Reply({"sub": sub, "name": "Ada Lovelace", "picture": picture})

    @at("https://graph.microsoft.com/v1.0/me", "GET")
    def graph(self, call: Call) -> Reply:
        expired = {"error": {"code": "InvalidAuthenticationToken", "message": "Lifetime"}}
        demand(self.has_bearer(call), expired, 401)
        return Reply({"displayName": "Ada Lovelace"})


class OneDirectory(Entra):
    tenant = HOME
    variables: t.ClassVar[dict[str, t.Any]] = {"tenant": HOME}
    more_claims: t.ClassVar[dict[str, t.Any]] = {"roles": ["Reports.Read"]}


ADA = {
    "id": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
    "name": "Ada Lovelace",
    "email": "ada@contoso.example",
    "email_verified": False,
}


class TestEntra:
    @pytest.mark.parametrize("directory", [HOME, ELSEWHERE], ids=["work", "personal"])
    def test_common_is_for_everybody(self, hosts: AnyHost, tmp_path: Path, directory: str) -> None:
        provider = Entra()
        provider.directory = directory
        visitor = Visitor(provider, hosts, tmp_path, claims=["tid"])
        assert visitor.sign_in().status_code == 302
        assert is_about(visitor, {**ADA, "claims": {"tid": directory}})
        assert provider.refused == []

    def test_an_issuer_that_is_not_the_directorys_signs_nobody_in(
        self, hosts: AnyHost, tmp_path: Path
    ) -> None:
        provider = Entra()
        provider.more_claims = {"tid": ELSEWHERE}  # type: ignore[misc]
        visitor = Visitor(provider, hosts, tmp_path)
        assert visitor.sign_in().status_code in {400, 502}
        assert visitor.me() == {}

    def test_one_directory_is_for_its_people(self, hosts: AnyHost, tmp_path: Path) -> None:
        visitor = Visitor(OneDirectory(), hosts, tmp_path)
        assert visitor.sign_in().status_code == 302
        assert is_about(visitor, {**ADA, "roles": ["Reports.Read"]})
        provider = OneDirectory()
        provider.directory = ELSEWHERE
        (tmp_path / "stranger").mkdir()
        stranger = Visitor(provider, hosts, tmp_path / "stranger")
        assert stranger.sign_in().status_code in {400, 502}
        assert stranger.me() == {}

    def test_refreshes_where_it_was_asked_for(
        self, hosts: AnyHost, tmp_path: Path, clock: Clock
    ) -> None:
        visitor = Visitor(OneDirectory(), hosts, tmp_path, offline=True)
        visitor.sign_in()
        clock.ahead += 3601
        assert visitor.ask("me") == {"displayName": "Ada Lovelace"}
        clock.ahead += 3601
        visitor.provider.refresh_tokens.clear()
        assert visitor.call("me").status_code == 401

    def test_says_no_in_several_lines(
        self, hosts: AnyHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        visitor = Visitor(Entra(), hosts, tmp_path)
        text = "AADSTS65004: User declined to consent to access the app.\r\nTrace ID: 1b3f\r\n"
        visitor.provider.says_no = {
            "error": "access_denied", "error_description": text, "error_subcode": "cancel",
        }  # fmt: skip
        assert visitor.sign_in().status_code == 400
        assert "AADSTS65004: User declined" in caplog.text
        assert "invalid_request" not in caplog.text

    def test_says_that_the_secret_is_wrong(
        self, hosts: AnyHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        wrong = {"MICROSOFT_CLIENT_SECRET": "the-id-of-the-secret"}
        visitor = Visitor(Entra(), hosts, tmp_path, config=wrong)
        assert visitor.sign_in().status_code == 502
        assert "AADSTS7000215" in caplog.text


B2C = "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_signupsignin"


class AzureB2C(OddProvider):
    """A user flow of Azure AD B2C: its document is not below its issuer; ID tokens alone."""

    preset = "azure_ad_b2c"
    issuer = f"https://contoso.b2clogin.com/{HOME}/v2.0/"
    variables: t.ClassVar[dict[str, t.Any]] = {
        "tenant": "contoso", "tenant_id": HOME, "policy": "B2C_1_signupsignin",
    }  # fmt: skip

    @at(f"{B2C}/v2.0/.well-known/openid-configuration", "GET")
    def metadata(self, call: Call) -> Reply:
        # It writes the user flow's name in lower case.
        base = B2C.lower()
        return Reply({
            "issuer": self.issuer,
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "response_modes_supported": ["query", "fragment", "form_post"],
            "response_types_supported": ["code", "code id_token", "id_token"],
            "scopes_supported": ["openid"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "claims_supported": ["name", "emails", "idp", "tfp", "sub", "iss", "aud", "nonce"],
        })  # fmt: skip

    @at(f"{B2C.lower()}/discovery/v2.0/keys", "GET")
    def keys(self, call: Call) -> Reply:
        public = self.key.public()
        del public["alg"]
        return Reply({"keys": [{**public, "nbf": 1493763266}]})

    @at(f"{B2C.lower()}/oauth2/v2.0/authorize", "GET")
    def authorize(self, call: Call) -> Reply:
        return self.send_back(call.query)

    @at(f"{B2C.lower()}/oauth2/v2.0/token")
    def token(self, call: Call) -> Reply:
        sent = call.form
        text = "AADB2C90080: The provided grant has expired.\r\nCorrelation ID: 2c\r\n"
        expired = {"error": "invalid_grant", "error_description": text}
        if sent["grant_type"] == "refresh_token":
            self.spend(sent, expired, 400)
            asked = {"scope": "openid offline_access"}
        else:
            asked = self.redeem(sent, expired, 400)
        issued: dict[str, t.Any] = {}
        if "offline_access" in asked["scope"]:
            issued = {"refresh_token": self.issue()["refresh_token"]}
            issued["refresh_token_expires_in"] = 1209600
        claims = {
            "sub": "1d1f8a5a", "name": "Ada Lovelace", "emails": ["ada@example.com"],
            "tfp": "B2C_1_signupsignin", "ver": "1.0", "nonce": asked.get("nonce"),
        }  # fmt: skip
        more = {"token_type": "Bearer", "not_before": int(time.time()), "id_token_expires_in": 3600}
        return Reply({**issued, **more, "id_token": self.id_token(claims), "scope": ""})


class TestAzureB2C:
    def test_an_id_token_alone_signs_in(self, hosts: AnyHost, tmp_path: Path) -> None:
        visitor = Visitor(AzureB2C(), hosts, tmp_path)
        assert visitor.sign_in().status_code == 302
        ada = {"id": "1d1f8a5a", "name": "Ada Lovelace", "email": "ada@example.com"}
        assert is_about(visitor, {**ada, "email_verified": False})
        assert visitor.provider.refused == []

    def test_a_refresh_brings_an_id_token_alone_too(
        self, hosts: AnyHost, tmp_path: Path, clock: Clock
    ) -> None:
        visitor = Visitor(AzureB2C(), hosts, tmp_path, offline=True, revalidate=900)
        assert visitor.sign_in().status_code == 302
        for _ in range(2):
            clock.ahead += 901
            assert visitor.me()["id"] == "1d1f8a5a"
        calls = visitor.provider.calls_to(f"{B2C.lower()}/oauth2/v2.0/token")
        assert [call.form["grant_type"] for call in calls[1:]] == ["refresh_token"] * 2
        clock.ahead += 901
        visitor.provider.refresh_tokens.clear()
        assert visitor.me() == {}

    def test_a_forgotten_password_is_told_in_its_words(
        self, hosts: AnyHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        visitor = Visitor(AzureB2C(), hosts, tmp_path)
        text = "AADB2C90118: The user has forgotten their password.\r\nCorrelation ID: 1b\r\n"
        visitor.provider.says_no = {"error": "access_denied", "error_description": text}
        assert visitor.sign_in().status_code == 400
        assert "AADB2C90118" in caplog.text

    def test_the_token_of_another_user_flows_directory_signs_nobody_in(
        self, hosts: AnyHost, tmp_path: Path
    ) -> None:
        provider = AzureB2C()
        provider.issuer = f"https://contoso.b2clogin.com/{ELSEWHERE}/v2.0/"
        visitor = Visitor(provider, hosts, tmp_path)
        assert visitor.get("/login").status_code in {502, 503}


class Slack(OddProvider):
    """Sign in with Slack: OpenID Connect, in answers with ``ok`` and status 200."""

    preset = "slack"
    site = "https://app.example"
    issuer = "https://slack.com"
    #: Whether the ID token has the person's name and address.
    has_profile = True
    person: t.ClassVar[dict[str, t.Any]] = {
        "email": "krane@example.com", "email_verified": True, "name": "krane",
        "picture": "https://secure.gravatar.com/a.png", "locale": "en-US",
        "https://slack.com/team_id": "T0R7GR", "https://slack.com/user_id": "U0R7JM",
    }  # fmt: skip

    @at("https://slack.com/.well-known/openid-configuration", "GET")
    def metadata(self, call: Call) -> Reply:
        return Reply({
            "issuer": "https://slack.com",
            "authorization_endpoint": "https://slack.com/openid/connect/authorize",
            "token_endpoint": "https://slack.com/api/openid.connect.token",
            "userinfo_endpoint": "https://slack.com/api/openid.connect.userInfo",
            "jwks_uri": "https://slack.com/openid/connect/keys",
            "scopes_supported": ["openid", "profile", "email"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["form_post"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "claims_supported": ["sub", "auth_time", "iss"],
            "claims_parameter_supported": False,
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        })  # fmt: skip

    @at("https://slack.com/openid/connect/keys", "GET")
    def keys(self, call: Call) -> Reply:
        return Reply({"keys": [self.key.public()]})

    @at("https://slack.com/openid/connect/authorize", "GET")
    def authorize(self, call: Call) -> Reply:
        demand(call.query["redirect_uri"].startswith("https://"), "bad_redirect_uri", 400)
        return self.send_back(call.query)

    @at("https://slack.com/api/openid.connect.token")
    def token(self, call: Call) -> Reply:
        sent = call.form
        given = (sent.get("client_id"), sent.get("client_secret"))
        demand(given == (CLIENT, SECRET), {"ok": False, "error": "bad_client_secret"})
        asked = self.redeem(sent, {"ok": False, "error": "invalid_code"}, 200)
        issued = self.issue(refresh=False)
        claims = {
            "sub": "U0R7JM", "auth_time": int(time.time()), "nonce": asked.get("nonce"),
            **(self.person if self.has_profile else {}),
        }  # fmt: skip
        id_token = self.id_token(claims, issued["access_token"])
        token = {"access_token": issued["access_token"], "token_type": "Bearer"}
        return Reply({"ok": True, **token, "id_token": id_token})

    @at("https://slack.com/api/openid.connect.userInfo", "GET")
    def userinfo(self, call: Call) -> Reply:
        demand(self.has_bearer(call), {"ok": False, "error": "invalid_auth"})
        return Reply({"ok": True, "sub": "U0R7JM", **self.person})


class TestSlack:
    @pytest.mark.parametrize("has_profile", [True, False], ids=["in the token", "by UserInfo"])
    def test_signs_in_with_the_workspace(
        self, hosts: AnyHost, tmp_path: Path, has_profile: bool
    ) -> None:
        provider = Slack()
        provider.has_profile = has_profile
        visitor = Visitor(provider, hosts, tmp_path, claims=["https://slack.com/team_id"])
        assert visitor.sign_in().status_code == 302
        krane = {"id": "U0R7JM", "name": "krane", "email": "krane@example.com"}
        krane |= {"picture": "https://secure.gravatar.com/a.png"}
        team = {"https://slack.com/team_id": "T0R7GR"}
        assert is_about(visitor, {**krane, "email_verified": True, "claims": team})

    @pytest.mark.parametrize(("secret", "word", "status"), [
        (SECRET, "invalid_code", 400), ("another", "bad_client_secret", 502),
    ], ids=["code", "secret"])  # fmt: skip
    def test_refuses_with_status_200(
        self, hosts: AnyHost, tmp_path: Path, caplog: pytest.LogCaptureFixture,
        secret: str, word: str, status: int,
    ) -> None:  # fmt: skip
        visitor = Visitor(Slack(), hosts, tmp_path, config={"SLACK_CLIENT_SECRET": secret})
        answer = visitor.go_to(visitor.begin())
        visitor.provider.codes.clear()
        assert visitor.come_back(answer).status_code == status
        assert word in caplog.text
        assert visitor.me() == {}


class LinkedIn(OddProvider):
    """No nonce in the ID token, no PKCE, and scopes that come back with commas."""

    preset = "linkedin"
    issuer = "https://www.linkedin.com/oauth"

    @at("https://www.linkedin.com/oauth/.well-known/openid-configuration", "GET")
    def metadata(self, call: Call) -> Reply:
        return Reply({
            "issuer": "https://www.linkedin.com/oauth",
            "authorization_endpoint": "https://www.linkedin.com/oauth/v2/authorization",
            "token_endpoint": "https://www.linkedin.com/oauth/v2/accessToken",
            "userinfo_endpoint": "https://api.linkedin.com/v2/userinfo",
            "jwks_uri": "https://www.linkedin.com/oauth/openid/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email"],
            "claims_supported": ["iss", "aud", "iat", "exp", "sub", "name", "email", "locale"],
        })  # fmt: skip

    @at("https://www.linkedin.com/oauth/openid/jwks", "GET")
    def keys(self, call: Call) -> Reply:
        return Reply({"keys": [self.key.public()]})

    @at("https://www.linkedin.com/oauth/v2/authorization", "GET")
    def authorize(self, call: Call) -> Reply:
        demand("code_challenge" not in call.query, "This app may not use PKCE.", 400)
        return self.send_back(call.query)

    @at("https://www.linkedin.com/oauth/v2/accessToken")
    def token(self, call: Call) -> Reply:
        sent = call.form
        text = 'A required parameter "client_id" is missing'
        demand("client_id" in sent, {"error": "invalid_request", "error_description": text}, 400)
        given = (sent["client_id"], sent.get("client_secret"))
        wrong = {"error": "invalid_client", "error_description": "Client authentication failed"}
        demand(given == (CLIENT, SECRET) and "code_verifier" not in sent, wrong, 401)
        text = "Unable to retrieve access token: appid/redirect uri/code verifier does not match"
        gone = {"error": "invalid_redirect_uri", "error_description": text}
        self.redeem(sent, gone, 400)
        issued = self.issue(refresh=False)
        claims = {
            "sub": "782bbtaQ", "name": "Ada Lovelace", "email": "ada@example.com",
            "email_verified": "true", "picture": "https://media.licdn.com/a", "locale": "en_US",
        }  # fmt: skip
        scopes = {"scope": "email,openid,profile", "token_type": "Bearer"}
        return Reply({**issued, **scopes, "id_token": self.id_token(claims)})


class TestLinkedIn:
    def test_signs_in_without_nonce_and_pkce(self, hosts: AnyHost, tmp_path: Path) -> None:
        visitor = Visitor(LinkedIn(), hosts, tmp_path)
        assert visitor.sign_in().status_code == 302
        ada = {"id": "782bbtaQ", "name": "Ada Lovelace", "email": "ada@example.com"}
        ada |= {"picture": "https://media.licdn.com/a"}
        assert is_about(visitor, {**ada, "email_verified": True})
        assert visitor.provider.calls_to("https://api.linkedin.com/v2/userinfo") == []
        assert "nonce" not in query_of(visitor.begin())

    @pytest.mark.parametrize("word", ["user_cancelled_login", "user_cancelled_authorize"])
    def test_says_no_in_its_own_words(
        self, hosts: AnyHost, tmp_path: Path, word: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        visitor = Visitor(LinkedIn(), hosts, tmp_path)
        text = "The user cancelled LinkedIn login"
        visitor.provider.says_no = {"error": word, "error_description": text}
        assert visitor.sign_in().status_code == 400
        assert word in caplog.text

    def test_refuses_a_code(
        self, hosts: AnyHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        visitor = Visitor(LinkedIn(), hosts, tmp_path)
        answer = visitor.go_to(visitor.begin())
        visitor.provider.codes.clear()
        assert visitor.come_back(answer).status_code == 400
        assert "Unable to retrieve access token" in caplog.text


class Line(OddProvider):
    """LINE Login for a web channel: ID tokens that are signed with the channel's secret."""

    preset = "line"
    issuer = "https://access.line.me"
    algorithm = "HS256"
    lifetime = 2592000

    @at("https://access.line.me/.well-known/openid-configuration", "GET")
    def metadata(self, call: Call) -> Reply:
        return Reply({
            "issuer": "https://access.line.me",
            "authorization_endpoint": "https://access.line.me/oauth2/v2.1/authorize",
            "token_endpoint": "https://api.line.me/oauth2/v2.1/token",
            "revocation_endpoint": "https://api.line.me/oauth2/v2.1/revoke",
            "userinfo_endpoint": "https://api.line.me/oauth2/v2.1/userinfo",
            "scopes_supported": ["openid", "profile", "email"],
            "jwks_uri": "https://api.line.me/oauth2/v2.1/certs",
            "response_types_supported": ["code"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "code_challenge_methods_supported": ["S256"],
        })  # fmt: skip

    @at("https://access.line.me/oauth2/v2.1/authorize", "GET")
    def authorize(self, call: Call) -> Reply:
        demand(call.query.get("state"), "state is required", 400)
        return self.send_back(call.query, friendship_status_changed="false")

    @at("https://api.line.me/oauth2/v2.1/token")
    def token(self, call: Call) -> Reply:
        sent = call.form
        given = (sent.get("client_id"), sent.get("client_secret"))
        wrong = {"error": "invalid_client", "error_description": "invalid client credentials"}
        demand(given == (CLIENT, SECRET), wrong, 400)
        more: dict[str, t.Any] = {"token_type": "Bearer", "scope": "profile openid email"}
        if sent["grant_type"] == "refresh_token":
            demand(sent["refresh_token"] in self.refresh_tokens, {"error": "invalid_grant"}, 400)
        else:
            text = "invalid authorization code"
            refused = {"error": "invalid_grant", "error_description": text}
            asked = self.redeem(sent, refused, 400)
            claims = {
                "sub": "U1234567890abcdef", "name": "Taro Line", "email": "taro@example.com",
                "picture": "https://profile.line-scdn.net/a", "amr": ["linesso"],
                "nonce": asked.get("nonce"),
            }  # fmt: skip
            more["id_token"] = self.id_token(claims)
        return Reply({**self.issue(), **more})

    @at("https://api.line.me/v2/profile", "GET")
    def profile(self, call: Call) -> Reply:
        demand(self.has_bearer(call), {"message": "The access token expired"}, 401)
        return Reply({"userId": "U1234567890abcdef", "displayName": "Taro Line"})


class TestLine:
    def test_signs_in_and_refreshes(self, hosts: AnyHost, tmp_path: Path, clock: Clock) -> None:
        config = {"PERMANENT_SESSION_LIFETIME": 90 * 86400}
        visitor = Visitor(Line(), hosts, tmp_path, config=config)
        assert visitor.sign_in().status_code == 302
        taro = {"id": "U1234567890abcdef", "name": "Taro Line", "email": "taro@example.com"}
        taro |= {"picture": "https://profile.line-scdn.net/a"}
        assert is_about(visitor, {**taro, "email_verified": False})
        clock.ahead += 2592001
        assert visitor.ask("v2/profile")["userId"] == "U1234567890abcdef"
        assert visitor.provider.refused == []

    def test_an_id_token_that_another_secret_signed_signs_nobody_in(
        self, hosts: AnyHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        visitor = Visitor(Line(), hosts, tmp_path)
        answer = visitor.go_to(visitor.begin())
        monkeypatch.setattr("tests.support.odd_provider.SECRET", "another-secret-of-thirty-letters")
        assert visitor.come_back(answer).status_code in {400, 502}
        assert visitor.me() == {}


class Twitch(OddProvider):
    """Claims only by the parameter ``claims``, scopes as a list, a client id with each call."""

    preset = "twitch"
    issuer = "https://id.twitch.tv/oauth2"
    lifetime = 14124

    @at("https://id.twitch.tv/oauth2/.well-known/openid-configuration", "GET")
    def metadata(self, call: Call) -> Reply:
        return Reply({
            "authorization_endpoint": "https://id.twitch.tv/oauth2/authorize",
            "claims_parameter_supported": True,
            "claims_supported": ["iss", "azp", "preferred_username", "updated_at", "aud", "email"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "issuer": "https://id.twitch.tv/oauth2",
            "jwks_uri": "https://id.twitch.tv/oauth2/keys",
            "response_types_supported": ["id_token", "code", "token", "code id_token"],
            "scopes_supported": ["openid"],
            "subject_types_supported": ["public"],
            "token_endpoint": "https://id.twitch.tv/oauth2/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "userinfo_endpoint": "https://id.twitch.tv/oauth2/userinfo",
        })  # fmt: skip

    @at("https://id.twitch.tv/oauth2/keys", "GET")
    def keys(self, call: Call) -> Reply:
        return Reply({"keys": [self.key.public()]})

    @at("https://id.twitch.tv/oauth2/authorize", "GET")
    def authorize(self, call: Call) -> Reply:
        return self.send_back(call.query, scope=call.query["scope"])

    @at("https://id.twitch.tv/oauth2/token")
    def token(self, call: Call) -> Reply:
        sent = call.form

        def refusal(status: int, text: str) -> dict[str, t.Any]:
            return {"status": status, "message": text}

        demand(sent.get("client_id") == CLIENT, refusal(400, "invalid client"), 400)
        wrong = refusal(403, "invalid client secret")
        demand(sent.get("client_secret") == SECRET, wrong, 403)
        more: dict[str, t.Any] = {"token_type": "bearer", "scope": ["openid", "user:read:email"]}
        if sent["grant_type"] == "refresh_token":
            gone = {**refusal(400, "Invalid refresh token"), "error": "Bad Request"}
            demand(sent["refresh_token"] in self.refresh_tokens, gone, 400)
        else:
            asked = self.redeem(sent, refusal(400, "Invalid authorization code"), 400)
            known = {"email": "ada@example.com", "email_verified": True, "picture": "https://jtv/a"}
            known |= {"preferred_username": "ada"}
            wanted = json.loads(asked.get("claims", "{}")).get("id_token", {})
            claims = {name: known[name] for name in wanted}
            claims |= {"sub": "713936733", "azp": CLIENT, "nonce": asked.get("nonce")}
            more |= {"id_token": self.id_token(claims), "nonce": asked.get("nonce")}
        return Reply({**self.issue(), **more})

    @at("https://api.twitch.tv/helix/users", "GET")
    def users(self, call: Call) -> Reply:
        missing = {"error": "Unauthorized", "status": 401, "message": "Client ID is missing"}
        demand(call.headers.get("Client-Id") == CLIENT, missing, 401)
        expired = {"error": "Unauthorized", "status": 401, "message": "Invalid OAuth token"}
        demand(self.has_bearer(call), expired, 401)
        return Reply({"data": [{"id": "713936733", "login": "ada"}]})


class TestTwitch:
    def test_signs_in_and_refreshes(self, hosts: AnyHost, tmp_path: Path, clock: Clock) -> None:
        visitor = Visitor(Twitch(), hosts, tmp_path)
        assert visitor.sign_in().status_code == 302
        ada = {"id": "713936733", "name": "ada", "email": "ada@example.com"}
        assert is_about(visitor, {**ada, "email_verified": True, "picture": "https://jtv/a"})
        clock.ahead += 14125
        assert visitor.ask("users")["data"][0]["login"] == "ada"
        assert visitor.provider.refused == []
        clock.ahead += 14125
        visitor.provider.refresh_tokens.clear()
        assert visitor.call("users").status_code == 401
        assert visitor.me() == {}

    @pytest.mark.parametrize(("secret", "words", "status"), [
        (SECRET, "Invalid authorization code", 400), ("another", "invalid client secret", 502),
    ], ids=["code", "secret"])  # fmt: skip
    def test_refuses_without_an_error_code(
        self, hosts: AnyHost, tmp_path: Path, caplog: pytest.LogCaptureFixture,
        secret: str, words: str, status: int,
    ) -> None:  # fmt: skip
        visitor = Visitor(Twitch(), hosts, tmp_path, config={"TWITCH_CLIENT_SECRET": secret})
        answer = visitor.go_to(visitor.begin())
        visitor.provider.codes.clear()
        assert visitor.come_back(answer).status_code == status
        assert words in caplog.text
        assert visitor.me() == {}


@pytest.mark.parametrize(("provider", "own"), [
    (Apple(), {"response_mode": None}),
    (LinkedIn(), {"pkce": True}),
    (LinkedIn(), {"nonce": True}),
    (LinkedIn(), {"client_auth": "client_secret_basic"}),
    (Line(), {"algorithms": ["ES256"]}),
    (Slack(), {"client_auth": "none"}),
], ids=["form_post", "pkce", "nonce", "post", "HS256", "secret"])  # fmt: skip
def test_what_a_row_says_is_needed(
    hosts: AnyHost, tmp_path: Path, provider: OddProvider, own: dict[str, t.Any]
) -> None:
    """Else a stand-in that demands nothing would prove nothing."""
    visitor = Visitor(provider, hosts, tmp_path, preset=own)
    begun = visitor.get("/login")
    if begun.status_code == 302:
        answer = visitor.go_to(begun.location)
        if answer.status_code < 400:
            assert visitor.come_back(answer).status_code in {400, 502}
    assert visitor.me() == {}
