"""The session for an API is a `requests.Session`, also for those who patch requests."""

from __future__ import annotations

import io
import os
import re
import typing as t

import pytest
import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.cookies import RequestsCookieJar
from requests.sessions import Session

from flask_oauth2_login import ConfigurationError, OAuth2Session, ProviderError
from flask_oauth2_login.client.resource_server import ResourceServer
from tests.conftest import MakeProvider
from tests.support.forks import in_child
from tests.support.handlers import CALLBACK, make_handler, make_session
from tests.support.provider import Answer, Provider, Request


def make_jar(**cookies: str) -> RequestsCookieJar:
    jar = RequestsCookieJar()
    for name, value in cookies.items():
        jar.set(name, value)
    return jar


def what_was_sent(call: Request) -> t.Any:
    """All that a request says, the token and the random boundary of a form excepted."""
    headers = {name.lower(): value for name, value in call.headers.items()}
    assert headers.pop("authorization")
    boundary = re.search("boundary=([0-9a-f]+)", headers.get("content-type", ""))
    said = repr((call.method, call.target, headers, call.body))
    return said.replace(boundary[1], "boundary") if boundary else said


@pytest.mark.parametrize(
    ("method", "path", "request_kwargs"),
    [
        ("get", "x", {}),
        ("GET", "x?a=1", {"params": {"b": ["2", "3"], "none": None, "é": "ü &"}}),
        ("GET", "x", {"params": [("a", "1"), ("a", "2")]}),
        ("GET", "x?a=1#f", {"params": "b=%20&c"}),
        ("GET", "x", {"params": b"b=%20&c"}),
        ("GET", "ä b/%7e%2F?q=ü |", {}),
        ("GET", "", {}),
        ("HEAD", "x", {}),
        ("DELETE", "x", {}),
        ("POST", "x", {}),
        ("POST", "x", {"data": {"a": "1", "b": ["2", "ü"], "none": None}}),
        ("POST", "x", {"data": [("a", "1"), ("a", "2")]}),
        ("PUT", "x", {"data": "text ü"}),
        ("PUT", "x", {"data": b"bytes", "headers": {"Content-Type": "x/y"}}),
        ("PATCH", "x", {"json": {"a": ["ü", None]}}),
        ("POST", "x", {"json": {}}),
        ("POST", "x", {"json": {"a": 1}, "data": {"b": 2}}),
        ("GET", "x", {"headers": None, "params": None, "cookies": None, "data": None}),
        ("POST", "x", {"files": {"f": ("name.txt", b"content", "text/plain")}}),
        ("POST", "x", {"files": {"f": b"content"}, "data": {"a": "1"}}),
        ("GET", "x", {"headers": {"x-own": "ü", "accept": "a/b", "USER-AGENT": "me"}}),
        ("GET", "x", {"headers": {"Accept": None, "accept-encoding": None}}),
        ("GET", "x", {"cookies": {"a": "1", "b": "2"}}),
        ("GET", "x", {"cookies": make_jar(a="1")}),
        ("GET", "x", {"cookies": {"kept": "other"}}),
        ("GET", "x", {"cookies": make_jar(kept="other")}),
        ("GET", "x", {"headers": {"Cookie": "a=1"}}),
        ("GET", "x", {"headers": {"Cookie": "a=1"}, "cookies": {"b": "2"}}),
    ],
)
@pytest.mark.parametrize("is_set_up", [False, True])
def test_it_sends_what_requests_sends(
    provider: Provider, method: str, path: str, request_kwargs: dict[str, t.Any], is_set_up: bool
) -> None:
    api = make_session(provider)
    token = str(api.get("token").json()["token"])
    plain = requests.Session()
    plain.trust_env = False
    for session in (api, plain) if is_set_up else ():
        session.headers.update({"X-App": "app", "Accept": "c/d", "X-None": t.cast(str, None)})
        session.params = {"page": "1", "none": None}
        session.cookies.set("kept", "yes")

    def add_token(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = token
        return request

    url = f"{provider.api_url}/{path}" if path else provider.api_url
    with plain:
        plain.request(method, url, **request_kwargs, auth=add_token)
        api.request(method, path, **request_kwargs)
    expected, sent = provider.requests[-2:]
    assert what_was_sent(sent) == what_was_sent(expected)


@pytest.mark.parametrize("make_body", [lambda: io.BytesIO(b"ab"), lambda: iter([b"a", b"b"])])
def test_a_body_may_be_read_while_it_is_sent(
    provider: Provider, make_body: t.Callable[[], t.Any]
) -> None:
    assert make_session(provider).put("x", data=make_body()).json()["body"].count("a") == 1


def test_a_response_may_be_read_while_it_comes(provider: Provider) -> None:
    api = make_session(provider)
    provider.on("/api/x", Answer(200, b"a\nb\n"))
    with api.get("x", stream=True) as response:
        assert not response.raw.closed
        assert list(response.iter_lines()) == [b"a", b"b"]
    api.stream = True
    with api.get("x") as response:
        assert next(response.iter_content(1)) == b"a"


@pytest.mark.security("C5")
def test_cookies_are_kept_by_one_session_and_no_other(provider: Provider) -> None:
    api, other = make_session(provider), make_session(provider)
    provider.on("/api/x", Answer(body={}, headers={"Set-Cookie": "a=1; Path=/"}), times=1)
    assert api.get("x").cookies.get_dict() == {"a": "1"}
    assert api.cookies.get_dict() == {"a": "1"}
    api.get("y", cookies={"b": "2"})
    other.get("y")
    kept, none = provider.calls("/api/y")
    assert kept.headers["Cookie"] == "a=1; b=2"
    assert "Cookie" not in none.headers
    assert api.cookies.get_dict() == {"a": "1"}
    api.cookies.clear()
    api.get("y")
    assert "Cookie" not in provider.calls("/api/y")[-1].headers


@pytest.mark.security("C5")
def test_a_cookie_of_a_redirect_goes_to_where_it_leads(provider: Provider) -> None:
    api = make_session(provider)
    headers = {"Location": f"{provider.api_url}/x", "Set-Cookie": "a=1; Path=/"}
    provider.on("/api/moved", Answer(302, headers=headers))
    response = api.get("moved")
    assert provider.calls("/api/x")[0].headers["Cookie"] == "a=1"
    assert [former.status_code for former in response.history] == [302]
    assert make_session(provider).get("moved", allow_redirects=False).status_code == 302


@pytest.mark.security("C5")
def test_nothing_that_is_set_on_a_session_is_set_on_another(provider: Provider) -> None:
    handler = make_handler(provider, redirect_uri=CALLBACK)
    one, other = handler.session({"access_token": "1"}), handler.session({"access_token": "2"})
    assert vars(one).keys() == vars(other).keys()
    for name, value in vars(one).items():
        is_shared = value is getattr(other, name)
        # What is shared can't be changed, or is the handler's.
        assert not is_shared or isinstance(value, (bool, int, type(None), ResourceServer)), name


def test_hooks_see_the_response_and_may_replace_it(provider: Provider) -> None:
    api, seen = make_session(provider), []

    def note(response: requests.Response, **kwargs: t.Any) -> None:
        seen.append((response.json()["path"], sorted(kwargs)))

    def replace(response: requests.Response, **_: t.Any) -> requests.Response:
        response.status_code = 299
        return response

    api.hooks["response"].append(note)
    assert api.get("x").status_code == 200
    assert api.get("y", hooks={"response": replace}).status_code == 299
    assert seen == [("/api/x", ["cert", "proxies", "stream", "timeout", "verify"])]


def test_an_adapter_that_the_app_mounts_is_used(provider: Provider) -> None:
    class Adapter(HTTPAdapter):
        sent: t.ClassVar[list[str | None]] = []

        def send(self, request: requests.PreparedRequest, *args: t.Any, **kwargs: t.Any) -> t.Any:
            self.sent.append(request.url)
            return super().send(request, *args, **kwargs)

    api = make_session(provider)
    api.mount(f"{provider.api_url}/mounted", Adapter())
    api.get("mounted/x")
    api.get("x")
    assert Adapter.sent == [f"{provider.api_url}/mounted/x"]


@pytest.mark.security("C3")
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_connection_that_was_not_verified_is_used_by_no_request_that_asks_for_it(
    make_provider: MakeProvider,
) -> None:
    provider = make_provider(tls=True)
    handler = make_handler(provider, redirect_uri=CALLBACK, verify=provider.ca_file)
    code = provider.answer(handler.authorize_url("read", state="s")).params["code"]
    api = make_handler(provider, redirect_uri=CALLBACK).session(handler.get_token(code) or {})
    outcomes = []
    for verify in (None, False, True, provider.ca_file, True, False, provider.ca_file, None, True):
        try:
            outcomes.append(api.get("x", verify=verify).status_code)
        except ProviderError:
            outcomes.append(0)
    assert outcomes == [0, 200, 0, 200, 0, 200, 200, 0, 0]
    # One for each way to verify, kept open.
    assert len({call.connection for call in provider.calls("/api/x")}) == 2


def test_it_works_as_a_context_manager(provider: Provider) -> None:
    with make_session(provider) as api:
        assert api.get("x").status_code == 200
    # Its connections are the handler's.
    assert api.get("x").status_code == 200


@pytest.mark.parametrize("how", ["request", "send"])
def test_tracing_that_patches_requests_sees_each_request(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    # OpenTelemetry and others replace this method, and add a header.
    send, seen = Session.send, []

    def traced(self: Session, request: requests.PreparedRequest, **kwargs: t.Any) -> t.Any:
        request.headers["traceparent"] = "00-1-2-01"
        response = send(self, request, **kwargs)
        seen.append((request.method, request.url, response.status_code))
        return response

    monkeypatch.setattr(Session, "send", traced)
    api = make_session(provider)
    url = f"{provider.api_url}/x"
    if how == "send":
        api.send(api.prepare_request(requests.Request("GET", url)))
    else:
        api.get("x")
    assert seen == [("GET", url, 200)]
    assert provider.calls("/api/x")[0].headers["traceparent"] == "00-1-2-01"


def make_response(request: requests.PreparedRequest) -> requests.Response:
    response = requests.Response()
    response.status_code, response.url, response.request = 201, str(request.url), request
    response.raw, response.encoding = io.BytesIO(b'{"from": "a test"}'), "utf-8"
    return response


def assert_is_answered_by_a_test(api: OAuth2Session, provider: Provider) -> None:
    before = len(provider.requests)
    response = api.get("x", params={"a": 1})
    assert (response.status_code, response.json()) == (201, {"from": "a test"})
    assert str(response.request.headers["Authorization"]).startswith("Bearer ")
    assert response.request.url == f"{provider.api_url}/x?a=1"
    assert len(provider.requests) == before


def test_an_apps_own_tests_can_answer_in_place_of_the_adapter(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the package responses does.
    api = make_session(provider)
    answer: t.Any = lambda _, request, **__: make_response(request)  # noqa: E731
    monkeypatch.setattr(HTTPAdapter, "send", answer)
    assert_is_answered_by_a_test(api, provider)


def test_an_apps_own_tests_can_answer_by_another_adapter(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the package requests-mock does.
    class Adapter(BaseAdapter):
        def send(self, request: requests.PreparedRequest, *_: t.Any, **__: t.Any) -> t.Any:
            return make_response(request)

    api = make_session(provider)
    monkeypatch.setattr(Session, "get_adapter", lambda _, url: Adapter())  # noqa: ARG005
    assert_is_answered_by_a_test(api, provider)


@pytest.mark.security("C3")
def test_what_is_changed_on_a_handler_holds_for_its_next_session(
    provider: Provider, make_provider: MakeProvider
) -> None:
    other = make_provider()
    handler = make_handler(provider, redirect_uri=CALLBACK, headers={"X-Key": "1"})
    code = provider.answer(handler.authorize_url("read", state="s")).params["code"]
    token = handler.get_token(code)
    assert token is not None
    first = handler.session(token)
    first.get("x")
    handler.headers["X-Key"] = "2"
    handler.session(token).get("x")
    handler.bearer_method = "query"
    handler.session(token).get("x")
    assert [call.headers["X-Key"] for call in provider.calls("/api/x")] == ["1", "2", "2"]
    assert [bool(call.query) for call in provider.calls("/api/x")] == [False, False, True]
    handler.api_url = other.api_url
    handler.session(token).get("x")
    assert len(other.calls("/api/x")) == 1
    with pytest.raises(ConfigurationError, match="api_origins"):
        handler.session(token).get(f"{provider.api_url}/x")
    handler.api_origins = frozenset({provider.url})
    handler.session(token).get(f"{provider.api_url}/x")
    assert len(provider.calls("/api/x")) == 4


@pytest.mark.security("C5")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="There is no fork here.")
def test_a_forked_child_calls_with_its_parents_session_over_connections_of_its_own(
    provider: Provider,
) -> None:
    api = make_session(provider)
    api.get("parent")
    child = in_child(lambda: api.get("child"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    api.get("parent")
    (of_child,) = provider.calls("/api/child")
    first, second = provider.calls("/api/parent")
    assert first.connection == second.connection != of_child.connection
