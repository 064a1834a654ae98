"""The provider and its API in a process of their own, so that their cost is not the app's.

    python -m benchmarks.provider_process FOLDER

The process prints the ports of its http and its https server as JSON, and ends when its standard
input ends. The first part of a path says what kind of tokens the provider issues, see `PLANS`.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import dataclasses
import hashlib
import json
import secrets
import ssl
import sys
import threading
import time
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey


@dataclasses.dataclass(frozen=True)
class Plan:
    """What tokens a provider issues."""

    #: Characters of an access token.
    length: int = 1200
    #: Seconds that the token of a login lives. A refreshed one lives an hour.
    expires_in: int = 3600
    #: True if a refresh token can be used once, and the API asks for a token that was refreshed.
    rotates: bool = False
    #: Seconds that a refresh takes, so that requests that begin together meet.
    refresh_takes: float = 0.0
    token_type: str = "Bearer"


#: Kinds of tokens, by the first part of a path.
PLANS = {
    "typical": Plan(),
    "large": Plan(length=3 * 1024),
    "bound": Plan(token_type="DPoP"),
    "expiring": Plan(expires_in=1, rotates=True, refresh_takes=0.3),
}

#: The first part of a path begins with this where the rest says how long access tokens are.
TOKENS_OF = "tokens-of-"

#: Who signs in.
PERSON = {"name": "Ada Lovelace", "email": "ada@example.com", "email_verified": True}

JSON = dict[str, t.Any]


class Provider:
    """The answers of the provider and its API, and what it has counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key = RSAKey.generate_key(2048, {"kid": "benchmarks", "use": "sig", "alg": "RS256"})
        self._refresh_tokens: set[str] = set()
        self._refreshed: set[str] = set()
        self._counts: collections.Counter[str] = collections.Counter()

    def count(self, what: str) -> None:
        """Count something that happened."""
        with self._lock:
            self._counts[what] += 1

    def answer(self, origin: str, path: str, form: dict[str, str], token: str) -> tuple[int, JSON]:
        """Return status and body for a request.

        :param origin: the URL of the server, without a path.
        :param token: the access token that came along.
        """
        name, _, action = path.strip("/").partition("/")
        issuer = f"{origin}/{name}"
        if name == "counts":
            return 200, dict(self._counts)
        plan = find_plan(name)
        if action == "token":
            return self._issue(issuer, plan, form)
        if action in {"userinfo", "api/me"}:
            if plan.rotates and action == "api/me" and token not in self._refreshed:
                return 401, {"error": "invalid_token"}
            return 200, {"sub": "248289761001", **PERSON}
        if action == "jwks":
            return 200, {"keys": [self._key.as_dict(private=False)]}
        if action == ".well-known/openid-configuration":
            return 200, metadata(issuer)
        return 404, {}

    def _issue(self, issuer: str, plan: Plan, form: dict[str, str]) -> tuple[int, JSON]:
        refresh_token = secrets.token_urlsafe(32)
        token: JSON = {
            "access_token": make_access_token(issuer, plan.length),
            "token_type": plan.token_type,
            "expires_in": plan.expires_in,
            "refresh_token": refresh_token,
        }
        if form["grant_type"] == "refresh_token":
            self.count("refreshes")
            with self._lock:
                if form["refresh_token"] not in self._refresh_tokens:
                    return 400, {"error": "invalid_grant"}
                self._refresh_tokens.remove(form["refresh_token"])
                self._refresh_tokens.add(refresh_token)
                self._refreshed.add(token["access_token"])
            time.sleep(plan.refresh_takes)
            return 200, token | {"expires_in": 3600}
        code = read_code(form["code"])
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if code["code_challenge"] != base64.urlsafe_b64encode(digest).rstrip(b"=").decode():
            return 400, {"error": "invalid_grant"}
        if plan.rotates:
            with self._lock:
                self._refresh_tokens.add(refresh_token)
        if code.get("nonce"):
            token["id_token"] = self._sign(issuer, code["client_id"], code["nonce"])
        return 200, token

    def _sign(self, issuer: str, client_id: str, nonce: str) -> str:
        now = int(time.time())
        claims: JSON = {"iss": issuer, "aud": client_id, "sub": "248289761001", "nonce": nonce}
        claims |= {"iat": now, "auth_time": now, "exp": now + 3600} | PERSON
        return jwt.encode({"alg": "RS256", "kid": "benchmarks"}, claims, self._key)


def find_plan(name: str) -> Plan:
    """Return the plan that the first part of a path names."""
    if name.startswith(TOKENS_OF):
        return Plan(length=int(name.removeprefix(TOKENS_OF)))
    return PLANS[name]


def metadata(issuer: str) -> JSON:
    """The provider's document: OpenID Connect Discovery, section 3."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }


def make_code(params: t.Mapping[str, str]) -> str:
    """Return a code that holds what the authorization request bound it to.

    So no request to the authorization endpoint is needed to get a code.
    """
    bound = {
        name: params[name] for name in ("client_id", "code_challenge", "nonce") if name in params
    }
    return base64.urlsafe_b64encode(json.dumps(bound).encode()).decode()


def read_code(code: str) -> dict[str, str]:
    """Return what a code is bound to."""
    return t.cast(dict[str, str], json.loads(base64.urlsafe_b64decode(code)))


def make_access_token(issuer: str, length: int) -> str:
    """Return a token that looks like a JWT: claims, some of them random, and a signature."""
    claims = {"iss": issuer, "sub": "248289761001", "aud": "api", "jti": secrets.token_hex(16)}
    claims |= {"scope": "read", "iat": str(int(time.time()))}
    start = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "RS256", "typ": "at+jwt", "kid": "benchmarks"}, claims)
    )
    return f"{start}.{secrets.token_urlsafe(length)}"[:length]


class Handler(BaseHTTPRequestHandler):
    """Reads requests and sends answers over connections that are kept open."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer({name: values[0] for name, values in parse_qs(body).items()})

    def _answer(self, form: dict[str, str]) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        path = urlsplit(self.path).path
        status, answer = self.server.provider.answer(self.server.origin, path, form, token)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


class Server(ThreadingHTTPServer):
    """Serves the provider on a free port, over TLS if there is a context for it."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, provider: Provider, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.provider = provider
        self._tls = tls
        self.scheme = "http" if tls is None else "https"
        self.origin = f"{self.scheme}://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request: t.Any, client_address: t.Any) -> None:
        """Serve one connection, in a thread of its own."""
        self.provider.count(f"{self.scheme} connections")
        if self._tls is not None:
            request = self._tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, _request: t.Any, _client_address: t.Any) -> None:
        """Log nothing about connections that a client has cut."""
        if not isinstance(sys.exception(), OSError):
            raise


def main(certificate: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    provider = Provider()
    servers = Server(provider), Server(provider, tls)
    print(json.dumps([server.origin for server in servers]), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
