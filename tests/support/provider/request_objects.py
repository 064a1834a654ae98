"""Signed authorization requests, as strict as a server with FAPI 2.0: RFC 9101."""

from __future__ import annotations

import json
import time
import typing as t

from .assertions import check_signature
from .grants import Refusal
from .settings import Settings
from .signing import decode

#: The claims that are no parameters.
REGISTERED = {"iss", "aud", "iat", "nbf", "exp", "jti"}
#: What may stand beside a signed request.
BESIDE = {
    "client_id", "request", "response_type", "scope", "client_secret", "client_assertion",
    "client_assertion_type",
}  # fmt: skip


def open_request(settings: Settings, query: t.Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The parameters in a signed request, and no other.

    :raises Refusal: it is not one.
    """
    if others := set(query) - BESIDE:
        raise _invalid(f"more beside it: {sorted(others)}")
    (jwt,) = query["request"]
    header, claims = (json.loads(decode(part)) for part in jwt.split(".")[:2])
    if header.get("typ") != "oauth-authz-req+jwt":
        raise _invalid("typ")
    try:
        check_signature(settings, jwt, header)
    except Refusal as refusal:
        raise _invalid(refusal.description) from None
    now = time.time()
    checks = {
        "iss": claims.get("iss") == settings.client_id,
        "client_id": claims.get("client_id") == settings.client_id == query["client_id"][0],
        "aud": claims.get("aud") == settings.issuer,
        "nbf": now - 3600 < claims["nbf"] <= now,
        "exp": now < claims["exp"] <= claims["nbf"] + 3600,
        "jti": bool(claims.get("jti")) and claims["jti"] not in settings.seen_jtis,
        "others": not {"request", "request_uri", "sub", "client_secret"} & set(claims),
    }
    if wrong := [name for name, holds in checks.items() if not holds]:
        raise _invalid(", ".join(wrong))
    for name in ("scope", "response_type"):
        if name in query and query[name] != [claims.get(name)]:
            raise _invalid(f"another {name} beside it")
    settings.seen_jtis.add(claims["jti"])
    return {n: _values(v) for n, v in claims.items() if n not in REGISTERED}


def _values(claim: t.Any) -> list[str]:
    is_list = isinstance(claim, list) and not any(isinstance(each, dict) for each in claim)
    values = claim if is_list else [claim]
    return [each if isinstance(each, str) else json.dumps(each) for each in values]


def _invalid(what: str) -> Refusal:
    return Refusal("invalid_request_object", f"request object: {what}")
