"""`profile="fapi2"` on four worker processes, at npm's oidc-provider as a FAPI 2.0 server."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from joserfc.jwk import ECKey

from tests.support import ROOT
from tests.support.certified_provider import certified_provider, sign_in
from tests.support.servers import free_port, wait_until

KEY = ECKey.generate_key("P-256", {"kid": "the-key", "use": "sig", "alg": "ES256"})
CLIENT = {
    "dpop_bound_access_tokens": True,
    "id_token_signed_response_alg": "ES256",
    "jwks": {"keys": [KEY.as_dict(private=False)]},
    "require_pushed_authorization_requests": True,
    "token_endpoint_auth_method": "private_key_jwt",
    "token_endpoint_auth_signing_alg": "ES256",
}
CONFIGURATION = {
    "clientAuthMethods": ["private_key_jwt"],
    "features": {
        "fapi": {"enabled": True, "profile": "2.0"},
        "pushedAuthorizationRequests": {"requirePushedAuthorizationRequests": True},
    },
    "jwks": {
        "keys": [
            ECKey.generate_key("P-256", {"kid": "of-the-provider", "use": "sig"}).as_dict(
                private=True
            )
        ]
    },
    # As FAPI 2.0 says.
    "rotateRefreshToken": False,
}
#: Seconds for which the access token of a sign-in is valid.
LIFETIME = 3


class Site(t.NamedTuple):
    url: str
    issuer: str


@pytest.fixture
def url() -> str:
    return f"http://127.0.0.1:{free_port()}"


@contextlib.contextmanager
def serve(url: str, issuer: str, instance: Path, store: str | None) -> t.Iterator[None]:
    """Serve the app on four worker processes."""
    environment = {
        **os.environ,
        "INSTANCE": str(instance),
        "ISSUER": issuer,
        "PRIVATE_KEY": json.dumps(KEY.as_dict(private=True)),
        **({"STORE": store} if store else {}),
    }
    command = [
        sys.executable, "-m", "gunicorn", "--workers", "4", "--log-level", "critical",
        "--graceful-timeout", "1", "--bind", url.removeprefix("http://"),
        "tests.support.worker:make_fapi_worker()",
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        try:
            wait_until(lambda: requests.get(url, timeout=5).ok, process)
            yield
        finally:
            process.terminate()


@pytest.mark.security("C6", "F1")
@pytest.mark.parametrize(
    ("store", "require_nonce"), [(None, True), ("sqlite", None)], ids=["cookie", "sqlite"]
)
def test_32_requests_with_an_expired_token_renew_it_once_with_proofs_that_serve_once(
    url: str, tmp_path: Path, store: str | None, require_nonce: bool | None
) -> None:
    store = store and f"sqlite:///{tmp_path}/logins.db"
    with (
        certified_provider(
            url,
            client=CLIENT,
            configuration=CONFIGURATION,
            require_nonce=require_nonce,
            first_lifetime=LIFETIME,
        ) as provider,
        serve(url, provider.issuer, tmp_path, store),
    ):
        visitor, page = sign_in(Site(url, provider.issuer))
        assert page.json()["email"] == "ada@example.com", page.text
        expired_at = time.time() + LIFETIME
        wait_until(lambda: time.time() > expired_at)
        del provider.events[:]

        def call(_: int) -> int:
            answer = requests.get(f"{url}/call/me", cookies=visitor.cookies, timeout=60)
            assert answer.json().get("sub") == "ada", answer.text
            return answer.status_code

        with ThreadPoolExecutor(32) as pool:
            assert list(pool.map(call, range(32))) == [200] * 32
        granted = [event for event in provider.events if event.startswith("granted")]
        assert granted == ["granted refresh_token"]
        # Each worker may meet the first demand for a nonce. Nothing else is refused, so no proof
        # and no assertion was sent twice.
        demands = ("refused grant use_dpop_nonce", "refused userinfo use_dpop_nonce")
        assert [e for e in provider.events if e not in (*demands, *granted)] == []

        left = visitor.post(f"{url}/logout", headers={"Origin": url}, allow_redirects=False)
        assert left.status_code < 400
        assert visitor.get(f"{url}/me", allow_redirects=False).status_code != 200
