"""What the client authenticates with: whether the provider knows the method, and has the keys."""

from __future__ import annotations

import typing as t

from flask import Flask

from ..protocol import http
from ..protocol.errors import ConfigurationError, OAuth2Error
from ..protocol.http_options import HTTPOptions
from ..session.registration import Registration
from ..web.redirect_uris import depends_on_host, planned_redirect_uri
from ..web.view_urls import KEYS_PATH
from .findings import Finding, Findings, listed

#: The methods that a client has to be registered for, because it sends no secret.
WITHOUT_SECRET = frozenset(
    {"private_key_jwt", "client_secret_jwt", "tls_client_auth", "self_signed_tls_client_auth"}
)


def check_method(registration: Registration) -> Findings:
    """Check that the provider's metadata name the method, and an algorithm of the client's keys."""
    handler, name = registration.handler, registration.name
    method = handler.client_auth_name
    if method not in WITHOUT_SECRET:
        return
    methods = handler.metadata.get("token_endpoint_auth_methods_supported")
    if isinstance(methods, list) and method not in methods:
        yield Finding(
            "warning",
            "client-auth",
            f"The client authenticates by {method}, and the provider's metadata name"
            f" {listed(methods)}.",
            "The provider may refuse the client when a code is exchanged for a token.",
            "Set client_auth to a method that the client is registered for.",
            name,
        )
    if method != "private_key_jwt":
        return
    try:
        key, algorithm = handler.find_assertion_signer()
    except ConfigurationError as error:
        yield Finding(
            "error",
            "private-key",
            error.message,
            "Each sign-in fails before the code is exchanged for a token.",
            "Do what the message says.",
            name,
            error.row,
        )
        return
    text = f"The client signs its assertions by {algorithm}, with the key {key.kid!r}."
    yield Finding("ok", "client-auth", text, login=name)


def tell_address(app: Flask, registration: Registration) -> Findings:
    """Say where the provider can fetch the client's public keys."""
    if registration.handler.public_keys():
        yield Finding(
            "note",
            "client-keys",
            f"The client's public keys are at {_address(app, registration)}.",
            "The provider needs them.",
            "Enter this address there as the client's JWKS URI. If it takes none, enter the keys.",
            registration.name,
        )


def check_address(app: Flask, registration: Registration) -> Findings:
    """Ask the app itself for the client's public keys, as the provider does."""
    own = registration.handler.public_keys()
    url = _address(app, registration)
    if not own or depends_on_host(registration, app) or "<" in url:
        return
    try:
        # With the environment's certificates, because it is not the provider that is asked.
        response = http.send(HTTPOptions(registration.handler.timeout), "GET", url)
        members = response.json_object() or {}
        problem = f"It answers with {response.outcome}." if response.status != 200 else ""
    except OAuth2Error as error:
        members, problem = {}, error.message
    served = members.get("keys")
    if served == own:
        yield Finding("ok", "client-keys", f"{url} has the client's keys.", login=registration.name)
        return
    yield Finding(
        "unknown" if problem else "error",
        "client-keys",
        f"{url} can't be read from here. {problem}" if problem else f"{url} has other keys.",
        "The provider can't verify what the client signs with keys that it can't fetch.",
        "Is the app running there, and can the provider reach it? Otherwise enter the keys there."
        if problem
        else "Restart the processes of the app, so that all of them have the same private_key.",
        registration.name,
    )


def _address(app: Flask, registration: Registration) -> str:
    uri = planned_redirect_uri(app, registration)
    rule: t.Any = next(app.url_map.iter_rules(f"{registration.name}.callback"))
    # A redirect URI of the handler's own may have another path.
    path = app.config["APPLICATION_ROOT"].rstrip("/") + rule.rule
    origin = uri.split("/", 3)
    return "/".join([*origin[:3], path.lstrip("/")]).removesuffix("callback") + KEYS_PATH
