"""`CannedProvider`: what stands in a test in place of every provider."""

from __future__ import annotations

import dataclasses
import io
import json
import threading
import time
import typing as t
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter

from ..client.oauth2 import OAuth2
from ..client.session import OAuth2Session
from ..protocol import urls
from ..protocol.connections import PooledAdapter
from ..protocol.errors import ProviderUnavailableError, TokenError
from ..protocol.token import Token

#: What becomes of a refresh, by the refresh token.
REFRESHES = {
    "granted": "test-refresh-token",
    "refused": "test-refresh-token-to-refuse",
    "unavailable": "test-refresh-token-without-answer",
}
#: How long (s) a token is valid.
LIFETIME = 3600

_DISCOVERY = "/.well-known/openid-configuration"


@dataclasses.dataclass
class CannedAnswer:
    """One answer of an API, and the requests that it was the answer to."""

    url: str
    method: str | None
    status: int
    headers: dict[str, str]
    body: bytes
    error: Exception | None
    calls: list[requests.PreparedRequest] = dataclasses.field(default_factory=list)

    def is_for(self, request: requests.PreparedRequest, base_url: str | None) -> bool:
        """Return True if it answers a request. A URL without a query answers any query."""
        if self.method not in {None, request.method}:
            return False
        if not urls.is_absolute(self.url) and base_url is None:
            return False
        wanted = urlsplit(urls.join(base_url or "", self.url))
        came = urlsplit(str(request.url))
        if (wanted[:2], wanted.path or "/") != (came[:2], came.path or "/"):
            return False
        return not wanted.query or sorted(parse_qsl(wanted.query)) == sorted(parse_qsl(came.query))

    def respond(self, request: requests.PreparedRequest) -> requests.Response:
        # A copy, because the session may send the same object again, with another token.
        self.calls.append(request.copy())
        if self.error is not None:
            raise self.error
        return _respond(request, self.status, self.headers, self.body)


class CannedProvider:
    """Answers every request of every handler while a test runs."""

    def __init__(self) -> None:
        self._answers: list[CannedAnswer] = []
        self._unforeseen: list[str] = []
        self._thread = threading.get_ident()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the network, until the test ends."""
        renew, revoke_token = OAuth2.renew, OAuth2.revoke_token

        def get_adapter(session: OAuth2Session, url: str) -> BaseAdapter:  # noqa: ARG001
            return _CannedAPI(self, session._api.base_url)

        def send(
            _adapter: PooledAdapter, request: requests.PreparedRequest, **_options: t.Any
        ) -> requests.Response:
            return self.respond(request, None)

        def renew_here(handler: OAuth2, token: Token, id_claims: t.Any = None) -> Token | None:
            if token.refresh_token not in REFRESHES.values():
                return renew(handler, token, id_claims)
            if token.refresh_token == REFRESHES["refused"]:
                raise TokenError("invalid_grant", "The test wants this refresh to be refused.")
            if token.refresh_token == REFRESHES["unavailable"]:
                raise ProviderUnavailableError("The test wants the provider to be unavailable.")
            return token | make_token("test-access-token-refreshed")

        def revoke_here(handler: OAuth2, token: Token | str, **params: t.Any) -> None:
            if not (isinstance(token, Token) and is_of_test(token)):
                revoke_token(handler, token, **params)

        def client_token(_handler: OAuth2, *_scope: t.Any, **_params: t.Any) -> Token:
            return make_token("test-client-token")

        monkeypatch.setattr(OAuth2Session, "get_adapter", get_adapter)
        monkeypatch.setattr(PooledAdapter, "send", send)
        monkeypatch.setattr(OAuth2, "renew", renew_here)
        monkeypatch.setattr(OAuth2, "revoke_token", revoke_here)
        monkeypatch.setattr(OAuth2, "client_token", client_token)

    def add(self, answer: CannedAnswer) -> None:
        self._answers.append(answer)

    def respond(self, request: requests.PreparedRequest, base_url: str | None) -> requests.Response:
        """Return the canned answer to a request. Of several, each is used once, in their order.

        The last one is used again and again.

        :param base_url: the URL of the API that is called; None for the provider's own endpoints.
        """
        answers = [answer for answer in self._answers if answer.is_for(request, base_url)]
        for answer in answers:
            if not answer.calls or answer is answers[-1]:
                return answer.respond(request)
        url = urlsplit(str(request.url))
        if base_url is None and url.path.endswith(_DISCOVERY):
            issuer = f"{url.scheme}://{url.netloc}{url.path.removesuffix(_DISCOVERY)}"
            body = json.dumps(_make_metadata(issuer)).encode()
            return _respond(request, 200, {"Content-Type": "application/json"}, body)
        raise self._note_unforeseen(request)

    def check(self) -> None:
        """Fail the test if a thread of the app has made a call that the test has not foreseen."""
        if self._unforeseen:
            pytest.fail("\n".join(self._unforeseen), pytrace=False)

    def _note_unforeseen(self, request: requests.PreparedRequest) -> Exception:
        place = str(request.url).partition("?")[0]
        problem = (
            f"The app has called {request.method} {place}, and the test has no answer to that."
            f" Give it one: oauth2_login.api({place!r}, json={{…}})."
        )
        if threading.get_ident() == self._thread:
            # No `except Exception` of the app can hide it.
            pytest.fail(problem, pytrace=False)
        self._unforeseen.append(problem)
        return requests.exceptions.ConnectionError(problem)


class _CannedAPI(BaseAdapter):
    """Sends the requests of a session to the canned answers."""

    def __init__(self, provider: CannedProvider, base_url: str) -> None:
        super().__init__()
        self._provider, self._base_url = provider, base_url

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, **_options: t.Any
    ) -> requests.Response:
        return self._provider.respond(request, self._base_url)

    def close(self) -> None:
        pass


def make_token(access_token: str, *, expired: bool = False) -> Token:
    """Return a token that is valid for an hour, or has expired."""
    life = -1 if expired else LIFETIME
    return Token(
        access_token=access_token,
        token_type="Bearer",
        expires_in=max(life, 0),
        expires_at=time.time() + life,
    )


def is_of_test(token: Token) -> bool:
    """Return True for a token that no provider has issued."""
    return str(token.get("access_token")).startswith("test-")


def _make_metadata(issuer: str) -> dict[str, t.Any]:
    """Return the least metadata of an OpenID Provider: Discovery 1.0, section 3."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


def _respond(
    request: requests.PreparedRequest, status: int, headers: dict[str, str], body: bytes
) -> requests.Response:
    raw = urllib3.HTTPResponse(
        body=io.BytesIO(body), headers=headers, status=status, preload_content=False
    )
    return HTTPAdapter().build_response(request, raw)
