"""The fixtures that pytest finds where this package is installed.

Nothing else is imported before a test asks for one of them.
"""

from __future__ import annotations

import typing as t

import pytest

if t.TYPE_CHECKING:
    from .dev_provider import DevProvider
    from .tester import LoginTester


@pytest.fixture
def oauth2_login(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[LoginTester]:
    """Sign people in without a provider, and answer in place of its API: `LoginTester`.

    .. code-block:: python

        def test_repos(client, oauth2_login):
            oauth2_login.sign_in(client, "github", id="42", name="Ada")
            calls = oauth2_login.api("/user/repos", json=[{"name": "flask"}])
            assert client.get("/repos").json == ["flask"]
            assert len(calls) == 1

    While a test uses it, no handler sends anything over the network. A call that the test has not
    foreseen fails the test.
    """
    from .canned import CannedProvider
    from .tester import LoginTester

    provider = CannedProvider()
    provider.install(monkeypatch)
    yield LoginTester(provider)
    provider.check()


@pytest.fixture
def oauth2_login_provider() -> t.Iterator[DevProvider]:
    """Run a real provider on this machine: `DevProvider`. It needs the extra ``[example]``.

    .. code-block:: python

        def test_sign_in(oauth2_login_provider):
            app = create_app(sso=oauth2_login_provider.handler())
            response = oauth2_login_provider.sign_in(app.test_client())
            assert response.location == "/"
    """
    from .dev_provider import run

    with run() as provider:
        yield provider
