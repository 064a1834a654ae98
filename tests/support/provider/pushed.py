"""Authorization requests that stand for others: pushed ones (RFC 9126), and signed ones."""

from __future__ import annotations

import secrets
import time
import typing as t

from .dpop import check_proof, with_nonce
from .grants import Refusal
from .messages import Answer, Request
from .request_objects import open_request
from .settings import Settings
from .tokens import answer, read_client

#: Seconds that a pushed request may wait for its browser.
REQUEST_LIFETIME = 60
PREFIX = "urn:ietf:params:oauth:request_uri:"

Query = t.Mapping[str, list[str]]


class BadAuthorizationRequest(Exception):
    """A request for authorization that must not be answered by a redirect."""


def push(settings: Settings, request: Request) -> Answer:
    """RFC 9126, section 2."""

    def handle() -> dict[str, t.Any]:
        params = read_client(settings, request)
        if params.get(settings.client_id_param) != settings.client_id:
            raise Refusal("invalid_request", "client_id is missing")
        if "request_uri" in params:
            raise Refusal("invalid_request", "request_uri can't be pushed")
        query = dict(request.form_lists)
        for name in ("client_secret", "client_assertion", "client_assertion_type"):
            query.pop(name, None)
        if "request" in query:
            query = open_request(settings, query)
        elif settings.require_jar:
            raise Refusal("invalid_request", "the request is not signed")
        if settings.dpop and "DPoP" in request.headers:
            # RFC 9449, section 10.1.
            jkt = check_proof(settings, request)
            if query.setdefault("dpop_jkt", [jkt]) != [jkt]:
                raise Refusal("invalid_dpop_proof", "another key than dpop_jkt")
        problem = settings.find_problem({name: values[0] for name, values in query.items()})
        if problem:
            raise Refusal("invalid_request", problem)
        request_uri = PREFIX + secrets.token_urlsafe(16)
        settings.pushed[request_uri] = (time.time() + REQUEST_LIFETIME, query)
        return {"request_uri": request_uri, "expires_in": REQUEST_LIFETIME}

    return with_nonce(settings, answer(request, handle, 201))


def read_request(settings: Settings, query: Query) -> Query:
    """Return the parameters of the request that a browser brings, or that it names.

    :raises BadAuthorizationRequest: it can't be had.
    """
    if "request_uri" in query:
        if set(query) != {settings.client_id_param, "request_uri"}:
            raise BadAuthorizationRequest(f"more than client_id and request_uri: {sorted(query)}")
        end, pushed = settings.pushed.pop(query["request_uri"][0], (0, {}))
        if time.time() > end:
            raise BadAuthorizationRequest("request_uri is unknown, used or too old")
        if pushed[settings.client_id_param] != query[settings.client_id_param]:
            raise BadAuthorizationRequest("another client's request_uri")
        return pushed
    if settings.require_par:
        raise BadAuthorizationRequest("the request was not pushed")
    if "request" in query:
        try:
            return open_request(settings, query)
        except Refusal as refusal:
            raise BadAuthorizationRequest(refusal.description) from None
    if settings.require_jar:
        raise BadAuthorizationRequest("the request is not signed")
    return query
