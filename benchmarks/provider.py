"""What apps know of the provider, and the process that it runs in."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

import requests

from .certificates import write_certificates

#: The client ID and the secret of the apps at the provider.
CLIENT_ID = "benchmarks"
CLIENT_SECRET = "the secret of a client that measures"

OAUTH = "OAuth"
OPENID = "OpenID Connect"


@dataclasses.dataclass(frozen=True)
class Provider:
    """A provider as an app sees it: its address, and the protocol that the app speaks with it."""

    url: str
    protocol: str = OAUTH
    client_id: str = CLIENT_ID
    client_secret: str = CLIENT_SECRET
    #: The number of scopes that the app asks for.
    scopes: int = 1

    @property
    def is_openid(self) -> bool:
        """True if the app asks for an ID token."""
        return self.protocol == OPENID

    @property
    def scope(self) -> str:
        """The scopes that the app asks for."""
        if self.is_openid:
            return "openid profile email"
        return " ".join(["read", *(f"resource-{i}:write" for i in range(1, self.scopes))])

    @property
    def api_url(self) -> str:
        """The base URL of the provider's API, with a slash at its end."""
        return f"{self.url}/api/"

    def endpoint(self, name: str) -> str:
        """Return the URL of ``authorize``, ``token``, ``userinfo`` or ``jwks``."""
        return f"{self.url}/{name}"


class RunningProvider:
    """The provider's process.

    :param http: the origin of its http server.
    :param https: the origin of its https server.
    """

    def __init__(self, http: str, https: str) -> None:
        self._origins = {"http": http, "https": https}
        self._asking = requests.Session()

    def at(self, scheme: str = "http", plan: str = "typical", protocol: str = OAUTH) -> Provider:
        """Return the provider as an app sees it.

        :param plan: the tokens that it issues, see :func:`.provider_process.find_plan`.
        """
        return Provider(f"{self._origins[scheme]}/{plan}", protocol)

    def count(self, what: str) -> int:
        """Return how often something happened: ``refreshes``, ``http connections``."""
        answer = self._asking.get(f"{self._origins['http']}/counts", timeout=10)
        return int(answer.json().get(what, 0))

    def close(self) -> None:
        """Close the connection that :meth:`count` uses."""
        self._asking.close()


@contextlib.contextmanager
def run_provider() -> t.Iterator[RunningProvider]:
    """Run the provider. While it runs, requests trusts its certificate.

    The bundle of authorities is named by the environment, because not every contestant has an
    option for it.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        bundle, certificate = write_certificates(Path(folder))
        command = [sys.executable, "-m", "benchmarks.provider_process", str(certificate)]
        process = stack.enter_context(
            subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
        assert process.stdin is not None
        assert process.stdout is not None
        stack.callback(process.stdin.close)
        running = RunningProvider(*json.loads(process.stdout.readline()))
        stack.callback(running.close)
        stack.enter_context(environment(REQUESTS_CA_BUNDLE=str(bundle)))
        yield running


@contextlib.contextmanager
def environment(**variables: str) -> t.Iterator[None]:
    """Set variables of the environment, and put them back."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
