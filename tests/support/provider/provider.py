"""The provider of the tests: over real HTTP, well-behaved until a test says otherwise."""

from __future__ import annotations

import dataclasses
import tempfile
import threading
import typing as t
from pathlib import Path
from urllib.parse import urlsplit

from . import pushed, resources, tokens
from .authorization import AuthorizationAnswer, answer_authorization, authorize, query_of
from .device import authorize_device
from .grants import Claims
from .messages import Answer, Request
from .misbehaviour import Misbehaviour
from .registration import register
from .server import Connection, Server
from .settings import Settings
from .tls import write_files

Endpoint = t.Callable[[Settings, Request], Answer]

#: What :meth:`Provider.on` takes. A function may return None: then the provider behaves well.
Reaction = Answer | Misbehaviour
OneOf = Reaction | t.Callable[[Request], Reaction | None]

_ENDPOINTS: t.Mapping[str, Endpoint] = {
    "/authorize": authorize,
    "/par": pushed.push,
    "/token": tokens.token,
    "/revoke": tokens.revoke,
    "/device": authorize_device,
    "/register": register,
    "/userinfo": resources.userinfo,
    "/userinfo/emails": resources.emails,
    "/jwks": resources.jwks,
    "/logout": resources.sign_out,
}


@dataclasses.dataclass
class _Rule:
    path: str
    reaction: OneOf
    #: How often it counts; None for always.
    times: int | None


class Provider(Settings):
    """An authorization server, an OpenID Provider and an API in one, on 127.0.0.1.

    .. code-block:: python

        with Provider(expires_in=60) as provider:
            provider.on("/token", HANG, times=1)

    :param tls: speak https; a client needs ``verify=provider.ca_file``.
    :param host: the name in its URLs: ``"127.0.0.1"`` or ``"localhost"``.
    :param settings: those of :class:`Settings`.
    """

    def __init__(self, *, tls: bool = False, host: str = "127.0.0.1", **settings: t.Any) -> None:
        super().__init__(**settings)
        #: What came in, in order.
        self.requests: list[Request] = []
        self._arrived = threading.Condition()
        self._rules: list[_Rule] = []
        self._rules_lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory() if tls else None
        files = write_files(Path(self._folder.name)) if self._folder else None
        #: Paths for ``verify=`` and ``cert=``; empty without TLS.
        self.ca_file = files.ca if files else ""
        self.client_cert_file = files.client if files else ""
        self._server = Server(self._handle, files.server_context() if files else None)
        self.url = f"{'https' if tls else 'http'}://{host}:{self._server.port}"

    def __enter__(self) -> Provider:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        """End all connections and threads, and give the port back."""
        self._server.stop()
        if self._folder is not None:
            self._folder.cleanup()

    def down(self) -> None:
        """Cut all connections, and refuse new ones."""
        self._server.pause()

    def up(self) -> None:
        """Be there again, on the same port."""
        self._server.start()

    # -- what came in

    def calls(self, path: str, **params: str) -> list[Request]:
        """The requests for a path, in order.

        :param path: with ``*`` at its end, all paths that begin so.
        :param params: what the form or the query must have: ``grant_type="refresh_token"``.
        """
        return [
            request
            for request in list(self.requests)
            if _fits(path, request.path)
            and params.items() <= {**request.query, **request.form}.items()
        ]

    def wait_for(self, path: str, count: int = 1, seconds: float = 30) -> list[Request]:
        """Wait until a path was requested so many times; answered they need not be.

        :raises TimeoutError: they did not come.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.calls(path)) >= count, seconds):
                raise TimeoutError(f"{len(self.calls(path))} requests for {path}, not {count}.")
        return self.calls(path)

    # -- how it behaves

    def on(self, path: str, reaction: OneOf, times: int | None = None) -> None:
        """React otherwise at a path; what was said first counts first.

        :param path: with ``*`` at its end, all paths that begin so.
        :param reaction: an answer, a misbehaviour, or a function of the request that returns one
            of these, or None to behave well.
        :param times: how often; None for always.
        """
        with self._rules_lock:
            self._rules.append(_Rule(path, reaction, times))

    def off(self, path: str | None = None) -> None:
        """Behave well again: at one path as given to :meth:`on`, or everywhere."""
        with self._rules_lock:
            self._rules = [rule for rule in self._rules if path not in {None, rule.path}]

    def _take_rule(self, path: str) -> OneOf | None:
        with self._rules_lock:
            for rule in self._rules:
                if _fits(rule.path, path) and rule.times != 0:
                    if rule.times is not None:
                        rule.times -= 1
                    return rule.reaction
        return None

    def _handle(self, connection: Connection, request: Request) -> Answer | None:
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()
        reaction = self._take_rule(request.path) if self._rules else None
        if callable(reaction):
            reaction = reaction(request)
        if isinstance(reaction, Misbehaviour):
            return reaction.play(connection, request, lambda: self.behave(request))
        if reaction is None and request.path == "/api/slow":
            connection.sleep(float(request.query.get("seconds", 1)))
        return reaction or self.behave(request)

    def behave(self, request: Request) -> Answer:
        """Answer as a good provider does."""
        path = request.path
        if path.startswith("/api/"):
            return resources.api(self, request)
        if path in self._metadata_paths():
            return resources.metadata(self, request)
        endpoint = _ENDPOINTS.get(path)
        return endpoint(self, request) if endpoint else Answer(404, {"error": "not_found"})

    def _metadata_paths(self) -> set[str]:
        """OpenID Connect Discovery, section 4.1, and RFC 8414, section 3.1."""
        path = self.issuer_path.rstrip("/")
        return {
            f"{path}/.well-known/openid-configuration",
            f"/.well-known/oauth-authorization-server{path}",
        }

    # -- shortcuts without HTTP

    def answer(
        self, authorize_url: str, *, person: Claims | None = None, **overrides: t.Any
    ) -> AuthorizationAnswer:
        """Consent, and say what the browser takes back: see :meth:`consent`."""
        parts = urlsplit(authorize_url)
        if f"{parts.scheme}://{parts.netloc}{parts.path}" != f"{self.url}/authorize":
            raise ValueError(f"{authorize_url!r} is not this provider's.")
        query = query_of(authorize_url)
        return answer_authorization(self, query, person=person, overrides=overrides)

    def consent(
        self, authorize_url: str, *, person: Claims | None = None, **overrides: t.Any
    ) -> str:
        """Consent, and return the URL that the browser would be sent back to.

        :param authorize_url: where the client sent the browser.
        :param person: claims of who consents, laid over the provider's person.
        :param overrides: parameters of the answer that are added or replaced; ``...`` takes one
            away (``state=...``).
        :raises BadAuthorizationRequest: the provider would show an error instead.
        """
        return self.answer(authorize_url, person=person, **overrides).url


def _fits(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern
