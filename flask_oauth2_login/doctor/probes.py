"""Requests that tell whether a provider accepts the client, and its redirect URI.

Each is one that a sign-in sends, with a made-up code or without a person. Its answer is one of
three: accepted, refused, or it can't be told.
"""

from __future__ import annotations

import re
import secrets
import typing as t
from html import escape, unescape
from urllib.parse import parse_qs, urlsplit

from flask import Flask

from ..protocol import http
from ..protocol.errors import OAuth2Error, TokenError, UnnamedRefusalError
from ..protocol.json_input import to_one_line
from ..protocol.pkce import code_challenge
from ..protocol.refusal import Concern, find_concern
from ..session.registration import Registration
from ..web.redirect_uris import depends_on_host, planned_redirect_uri
from .findings import Finding, Findings, Level

#: The words with which providers refuse a code, which they look at once the client is accepted.
_OF_CODE = re.compile(r"invalid_grant|\bcode\b|verification_code|invalid_code|code_", re.IGNORECASE)
#: The errors of an authorization response to a request without a person: OpenID Connect Core,
#: section 3.1.2.6. The request itself was accepted.
NOBODY_THERE = frozenset({
    "login_required", "interaction_required", "consent_required", "account_selection_required",
    "access_denied",
})  # fmt: skip
_LEVELS: t.Mapping[str, Level] = {"accepted": "ok", "refused": "error", "can't be told": "unknown"}
_TAGS = re.compile(r"<(style|script|title)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)


def probe_client(app: Flask, registration: Registration) -> Findings:
    """Ask whether the client is accepted, by a token request with a made-up code.

    RFC 6749, section 5.2: ``invalid_client`` refuses the client, ``invalid_grant`` the code only.
    """
    secret = _credential(registration)
    answer, words = _ask_by_push(app, registration)
    if answer == "can't be told":
        answer, words = _ask_with_code(app, registration)
    yield Finding(
        _LEVELS[answer],
        "client",
        f"Client id and {secret}: {answer}.{f' {words}' if words else ''}",
        {
            "refused": "Each sign-in fails.",
            "can't be told": "The provider's answer to a made-up code says nothing of the client.",
        }.get(answer, ""),
        {
            "refused": f"Compare id and {secret} with the registration once more, and look which"
            " way of authenticating the client (client_auth) is set there.",
            "can't be told": "Sign in once, to see it.",
        }.get(answer, ""),
        registration.name,
    )


def _credential(registration: Registration) -> str:
    """Return the word for what the client authenticates with."""
    method = registration.handler.client_auth_name
    return {
        "private_key_jwt": "key",
        "tls_client_auth": "certificate",
        "self_signed_tls_client_auth": "certificate",
    }.get(method, "secret")


def _ask_by_push(app: Flask, registration: Registration) -> tuple[str, str]:
    """Return the answer of a pushed request, which the client authenticates: RFC 9126."""
    try:
        if not registration.handler.pushes_requests():
            return "can't be told", ""
        _request_url(registration, _some_redirect_uri(app, registration))
    except TokenError as refusal:
        is_of_client = find_concern(refusal) is Concern.CLIENT
        return ("refused", refusal.message) if is_of_client else ("can't be told", "")
    except OAuth2Error:
        return "can't be told", ""
    return "accepted", ""


def _ask_with_code(app: Flask, registration: Registration) -> tuple[str, str]:
    """Return the answer, and the provider's words if they say more."""
    handler = registration.handler
    params: dict[str, t.Any] = {"redirect_uri": _some_redirect_uri(app, registration)}
    if handler.pkce:
        params["code_verifier"] = secrets.token_urlsafe(32)
    try:
        token = handler.get_token(f"made-up-{secrets.token_urlsafe(16)}", **params)
    except (TokenError, UnnamedRefusalError) as refusal:
        if find_concern(refusal) is Concern.CLIENT:
            return "refused", refusal.message
        words = refusal.error if isinstance(refusal, TokenError) else refusal.reason
        is_of_code = find_concern(refusal) is Concern.TOKEN and _OF_CODE.search(words)
        return ("accepted", "") if is_of_code else ("can't be told", refusal.message)
    except OAuth2Error as error:
        return "can't be told", error.message
    return "can't be told", "" if token is None else "The provider accepts any code."


def probe_redirect_uri(app: Flask, registration: Registration) -> Findings:
    """Ask whether the redirect URI is accepted, by an authorization request without a person."""
    handler, name = registration.handler, registration.name
    uri = planned_redirect_uri(app, registration)
    if depends_on_host(registration, app) or "<" in uri:
        yield _of_redirect_uri("can't be told", name, "It is made of each request.", uri)
        return
    try:
        is_pushed = handler.pushes_requests()
        # No page for a person, but an answer at once: OpenID Connect Core, section 3.1.2.1.
        prompt = "none" if handler.openid and not is_pushed else None
        url = _request_url(registration, uri, prompt=prompt)
        if is_pushed:
            yield _of_redirect_uri("accepted", name, "", uri)
            return
        response = http.send(
            handler.http_options, "GET", handler.inner_url(url), headers={"Accept": "text/html"}
        )
    except TokenError as refusal:
        # RFC 9126, section 2.3: a pushed request is checked as it would be at its endpoint.
        is_refused = "redirect" in refusal.message.lower()
        answer = "refused" if is_refused else "can't be told"
        yield _of_redirect_uri(answer, name, refusal.message, uri)
        return
    except OAuth2Error as problem:
        yield _of_redirect_uri("can't be told", name, problem.message, uri)
        return
    answer, words = _read_page(response, uri)
    yield _of_redirect_uri(answer, name, words, uri)
    error = _error_in(response.headers.get("Location", "")) if answer == "accepted" else ""
    if error and error not in NOBODY_THERE:
        yield Finding(
            "warning",
            "authorization",
            f"The provider accepts the redirect URI, and answers {error!r}.",
            "A sign-in may fail with the same error.",
            "Compare the scopes and authorize_params with what the client may ask for.",
            name,
        )


def _request_url(registration: Registration, uri: str, prompt: str | None = None) -> str:
    """Return the URL of an authorization request, which may be pushed before.

    :raises OAuth2Error: it can't be made, or is refused.
    """
    handler = registration.handler
    params = {"code_challenge": code_challenge("x" * 43), "code_challenge_method": "S256"}
    return handler.authorize_url(
        registration.scopes,
        state=secrets.token_urlsafe(16),
        redirect_uri=uri,
        **(params if handler.pkce else {}),
        **({"nonce": secrets.token_urlsafe(16)} if handler.uses_nonce else {}),
        **({"prompt": prompt} if prompt else {}),
    )


def _of_redirect_uri(answer: str, name: str, words: str, uri: str) -> Finding:
    return Finding(
        _LEVELS[answer],
        "redirect-uri-accepted",
        f"The redirect URI {uri}: {answer}.{f' {words}' if words else ''}",
        {
            "refused": "The provider shows an error page in place of a sign-in.",
            "can't be told": "The provider's answer does not say whether it is registered.",
        }.get(answer, ""),
        {
            "refused": "Register exactly this URI with the provider. If it is, compare the client's"
            " id and the scopes.",
            "can't be told": "Sign in once, to see it. If the URI is made of each request, set"
            " SERVER_NAME, or give the handler its redirect_uri.",
        }.get(answer, ""),
        name,
    )


def _read_page(response: http.Response, uri: str) -> tuple[str, str]:
    """Return the answer of the authorization endpoint, and what its page says."""
    target = response.headers.get("Location", "")
    text = response.body.decode("utf-8", "replace")
    if 300 <= response.status < 400:
        if _is_at(target, uri):
            return "accepted", ""
        where = urlsplit(target)
        if "error" in where.path.split("/") or _error_in(target):
            return "refused", f"The provider redirects to its error page, {where.path[:100]}."
        return "can't be told", "The provider redirects to a page of its own."
    if response.status == 200 and f'action="{escape(uri)}"' in text:
        # OAuth 2.0 Form Post Response Mode, section 2.
        return "accepted", ""
    words = to_one_line(" ".join(unescape(_TAGS.sub(" ", text)).split()))[:200]
    quoted = f"Its page says: {words!r}" if words else ""
    if response.status in {400, 401, 403, 404, 422}:
        return "refused", f"The provider answers with status {response.status}. {quoted}".strip()
    if response.status == 200 and re.search(r"redirect.?ur[il]", words, re.IGNORECASE):
        return "refused", quoted
    return "can't be told", f"The provider answers with status {response.status}."


def _is_at(target: str, uri: str) -> bool:
    """Return True if a redirect leads to a redirect URI, whatever the parameters."""
    found, expected = urlsplit(target), urlsplit(uri)
    return (found.scheme, found.netloc, found.path) == (
        expected.scheme, expected.netloc, expected.path,
    )  # fmt: skip


def _error_in(target: str) -> str:
    """Return the ``error`` in the query of a redirect; ``""`` if there is none."""
    return to_one_line(parse_qs(urlsplit(target).query).get("error", [""])[0])[:100]


def _some_redirect_uri(app: Flask, registration: Registration) -> str:
    """Return the redirect URI, or one that is as good for a code that nobody has."""
    return planned_redirect_uri(app, registration).replace("<host>", "127.0.0.1:5000")
