"""What the stand-ins of real providers, and the visitors who sign in there, are made of.

A stand-in is written from what the provider's own documentation and other code say of it, and knows
nothing of our preset's row. It demands what the provider demands, and refuses in its words.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import time
import typing as t
from html import unescape
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests
from flask import Flask, request
from werkzeug.test import TestResponse

from flask_oauth2_login import OAuth2Login, current_identity, current_oauth_session, login_required
from tests.support.any_host import AnyHost, Call, Reply
from tests.support.provider.signing import SigningKey, half_hash, make_key, sign

CLIENT, SECRET = "the-client", "the-secret-of-thirty-two-letters"

View = t.Callable[[t.Any, Call], Reply]


class Refusal(Exception):
    """What a stand-in answers in place of the rest of a view."""

    def __init__(self, body: t.Any, status: int = 200, content_type: str = "application/json"):
        self.reply = Reply(body, content_type, status)


def demand(condition: object, body: t.Any, status: int = 200) -> None:
    """Refuse with this body and status unless the condition holds."""
    if not condition:
        raise Refusal(body, status)


def at(url: str, method: str = "POST") -> t.Callable[[View], View]:
    """Decorate a method of a stand-in: it answers requests to this URL."""

    def mark(view: View) -> View:
        view.__dict__.setdefault("places", []).append((method, url))
        return view

    return mark


class OddProvider:
    """A stand-in. Its views are methods that are marked with :func:`at`."""

    preset = ""
    #: What the preset is told beside the credentials.
    variables: t.ClassVar[dict[str, t.Any]] = {}
    #: Of an ID token.
    issuer = ""
    algorithm = "RS256"
    lifetime = 3600
    #: Where the app is.
    site = "http://localhost"

    def __init__(self) -> None:
        self.views = {
            place: view
            for kind in type(self).__mro__
            for view in vars(kind).values()
            for place in getattr(view, "places", ())
        }
        self.calls: list[Call] = []
        #: What was refused, as it was answered.
        self.refused: list[t.Any] = []
        #: The authorization request by the code that it led to.
        self.codes: dict[str, dict[str, str]] = {}
        self.access_tokens: dict[str, float] = {}
        self.refresh_tokens: set[str] = set()
        #: What the person answers: None, or parameters in place of the code.
        self.says_no: dict[str, str] | None = None
        self._numbers = itertools.count(1)

    @property
    def redirect_uri(self) -> str:
        return f"{self.site}/callback"

    def answer(self, call: Call) -> Reply | None:
        """Answer a request, as :attr:`AnyHost.answer` does."""
        self.calls.append(call)
        view = self.views.get((call.method, call.url))
        try:
            return view(self, call) if view else None
        except Refusal as refusal:
            self.refused.append(refusal.reply.body)
            return refusal.reply

    def calls_to(self, url: str) -> list[Call]:
        return [call for call in self.calls if call.url == url]

    # -- what most of them do alike

    def ask_person(self, asked: dict[str, str], **more: str) -> dict[str, str]:
        """Return the parameters of the authorization response."""
        if self.says_no is not None:
            return {**self.says_no, "state": asked["state"]}
        code = f"code-{next(self._numbers)}"
        self.codes[code] = asked
        return {"code": code, "state": asked["state"], **more}

    def send_back(self, asked: dict[str, str], **more: str) -> Reply:
        """Redirect the browser to the app with an authorization response."""
        answer = urlencode(self.ask_person(asked, **more))
        return Reply("", status=302, headers={"Location": f"{asked['redirect_uri']}?{answer}"})

    def redeem(self, sent: dict[str, str], refused: t.Any, status: int) -> dict[str, str]:
        """Return the authorization request that a code is for, which counts once.

        :param refused: the body for a code that is not known, or not for this request.
        """
        asked = self.codes.pop(sent.get("code", ""), None)
        demand(asked is not None, refused, status)
        assert asked is not None
        demand(sent.get("redirect_uri") == asked["redirect_uri"], refused, status)
        if "code_challenge" in asked:
            digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
            verifier = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            demand(asked.get("code_challenge_method") == "S256", refused, status)
            demand(verifier == asked["code_challenge"], refused, status)
        return asked

    def spend(self, sent: dict[str, str], refused: t.Any, status: int) -> None:
        """Accept a refresh token, once."""
        demand(sent.get("refresh_token") in self.refresh_tokens, refused, status)
        self.refresh_tokens.discard(sent["refresh_token"])

    def issue(self, *, refresh: bool = True) -> dict[str, t.Any]:
        """Return the tokens of an answer, which are valid from now on."""
        number = next(self._numbers)
        access_token, refresh_token = f"at-{number}", f"rt-{number}"
        self.access_tokens[access_token] = time.time() + self.lifetime
        issued: dict[str, t.Any] = {"access_token": access_token, "expires_in": self.lifetime}
        if refresh:
            self.refresh_tokens.add(refresh_token)
            issued["refresh_token"] = refresh_token
        return issued

    def is_valid(self, access_token: str | None) -> bool:
        return self.access_tokens.get(access_token or "", 0) > time.time()

    def has_bearer(self, call: Call) -> bool:
        scheme, _, token = call.headers.get("Authorization", "").partition(" ")
        return scheme == "Bearer" and self.is_valid(token)

    @property
    def key(self) -> SigningKey:
        return make_key(self.algorithm)

    def id_token(self, claims: dict[str, t.Any], access_token: str | None = None) -> str:
        now = int(time.time())
        common = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 3600}
        if access_token:
            common["at_hash"] = half_hash(access_token, self.algorithm)
        key = SECRET.encode() if self.algorithm == "HS256" else self.key
        claims = {name: value for name, value in claims.items() if value is not None}
        return sign({**common, **claims}, key, self.algorithm)


class Visitor:
    """A browser of somebody, the app, and the provider that it goes to."""

    def __init__(
        self,
        provider: OddProvider,
        hosts: AnyHost,
        folder: Path,
        *,
        preset: dict[str, t.Any] | None = None,
        config: dict[str, t.Any] | None = None,
        **login: t.Any,
    ) -> None:
        """Make the app.

        :param preset: fields that differ from the row.
        :param config: keys of ``app.config``.
        :param login: further arguments of ``OAuth2Login``.
        """
        self.provider, self.hosts = provider, hosts
        hosts.answer = provider.answer
        name = provider.preset
        self.app = Flask("odd")
        self.app.config |= {
            "SECRET_KEY": "x" * 32,
            "TESTING": True,
            "OAUTH2_LOGIN_STORE": f"sqlite:///{folder}/logins.db",
            f"{name.upper()}_CLIENT_ID": CLIENT,
            f"{name.upper()}_CLIENT_SECRET": SECRET,
            **(config or {}),
        }
        words = {
            "proxies": {"https": hosts.proxy},
            "verify": hosts.ca_file,
            **provider.variables,
            **(preset or {}),
        }
        self.login = OAuth2Login(name, preset=words, **login)
        self.app.register_blueprint(self.login)

        @self.app.get("/me")
        @login_required
        def me() -> dict[str, t.Any]:
            return current_identity.to_dict()

        @self.app.get("/call/<path:path>")
        @login_required
        def call(path: str) -> tuple[t.Any, int]:
            response = current_oauth_session.get(path, params=request.args.to_dict())
            return response.json(), response.status_code

        self.client = self.app.test_client()

    def get(self, path: str, **more: t.Any) -> TestResponse:
        return self.client.get(path, base_url=self.provider.site, **more)

    def go_to(self, url: str) -> requests.Response:
        """Visit the provider."""
        return requests.get(
            url,
            proxies={"https": self.hosts.proxy},
            verify=self.hosts.ca_file,
            allow_redirects=False,
            timeout=10,
        )

    def begin(self, query: str = "") -> str:
        """Return the authorization request."""
        location = self.get(f"/login{query}").location
        assert location is not None
        return location

    def come_back(self, answer: requests.Response) -> TestResponse:
        """Return what the app says to the provider's answer."""
        if answer.status_code == 302:
            parts = urlsplit(answer.headers["Location"])
            assert f"{parts.scheme}://{parts.netloc}" == self.provider.site
            return self.get(f"{parts.path}?{parts.query}")
        fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', answer.text))
        form = {name: unescape(value) for name, value in fields.items()}
        posted = self.client.post("/callback", data=form, base_url=self.provider.site)
        goes_on = re.search(r'url=(/callback[^"]*)', posted.text)
        assert goes_on is not None, posted.text
        return self.get(unescape(goes_on[1]))

    def sign_in(self, query: str = "") -> TestResponse:
        return self.come_back(self.go_to(self.begin(query)))

    def me(self) -> dict[str, t.Any]:
        """Who is signed in; an empty dictionary if nobody is."""
        response = self.get("/me", headers={"Accept": "application/json"})
        return response.json or {} if response.status_code == 200 else {}

    def call(self, path: str) -> TestResponse:
        """Call the provider's API as the person who is signed in."""
        return self.get(f"/call/{path}", headers={"Accept": "application/json"})

    def ask(self, path: str) -> t.Any:
        """Return what the provider's API answers, which is a success."""
        response = self.call(path)
        assert response.status_code == 200, response.text
        return response.json

    def sign_out(self) -> TestResponse:
        headers = {"Sec-Fetch-Site": "same-origin", "Origin": self.provider.site}
        return self.client.post("/logout", base_url=self.provider.site, headers=headers)


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def is_about(visitor: Visitor, person: dict[str, t.Any]) -> bool:
    """Return True if this person is signed in."""
    me = visitor.me()
    return {name: me.get(name) for name in person} == person
