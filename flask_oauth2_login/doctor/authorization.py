"""Whether the provider takes authorization requests, and answers them, as the handler is set."""

from __future__ import annotations

import typing as t

from ..client.oauth2 import OAuth2
from ..client.profile import SIGNED_MODES
from ..protocol.errors import ConfigurationError
from ..session.registration import Registration
from .findings import Finding, Findings, listed

_NOBODY = "Nobody can sign in, because the provider refuses each request."


def check_requests(registration: Registration) -> Findings:
    """Compare the options ``par``, ``jar`` and ``response_mode`` with the provider's metadata."""
    handler, name = registration.handler, registration.name
    document = handler.metadata
    yield from _check_pushed(handler, name, document)
    yield from _check_signed(handler, name, document)
    if handler.has_signed_responses:
        yield from _check_responses(handler, name, document)


def _check_pushed(handler: OAuth2, name: str, document: t.Mapping[str, t.Any]) -> Findings:
    if document.get("require_pushed_authorization_requests") is True and handler.par is False:
        yield Finding(
            "error",
            "pushed-request",
            "The provider requires that authorization requests are pushed, and par=False.",
            _NOBODY,
            "Remove par=False: requests are then pushed.",
            name,
        )
    elif handler.pushes_requests() and not handler.has_endpoint("par_url"):
        yield Finding(
            "error",
            "pushed-request",
            "par=True pushes authorization requests, and the metadata name no endpoint for them.",
            "Nobody can sign in, because it is not known where to push a request to.",
            "Name it in par_url=…, or remove par=True.",
            name,
        )


def _check_signed(handler: OAuth2, name: str, document: t.Mapping[str, t.Any]) -> Findings:
    if not handler.jar:
        if document.get("require_signed_request_object") is True:
            yield Finding(
                "error",
                "signed-request",
                "The provider requires that authorization requests are signed, and jar=False.",
                _NOBODY,
                "Give the handler jar=True and its private_key=….",
                name,
            )
        return
    try:
        handler.find_request_signer()
    except ConfigurationError as error:
        yield Finding(
            "error",
            "signed-request",
            error.message,
            "Nobody can sign in, because no request can be signed.",
            "Give the handler a private_key for an algorithm that the metadata name in"
            " request_object_signing_alg_values_supported.",
            name,
        )
    if document.get("request_parameter_supported") is False and not handler.pushes_requests():
        yield Finding(
            "error",
            "signed-request",
            "The provider reads no signed requests in the URL (request_parameter_supported).",
            _NOBODY,
            "Push them: par=True.",
            name,
        )


def _check_responses(handler: OAuth2, name: str, document: t.Mapping[str, t.Any]) -> Findings:
    modes = document.get("response_modes_supported")
    if isinstance(modes, list) and handler.response_mode not in modes:
        signed = [mode for mode in SIGNED_MODES if mode in modes]
        yield Finding(
            "error",
            "signed-response",
            f"The metadata don't name response_mode={handler.response_mode!r}.",
            "Nobody can sign in if the provider answers without a signature.",
            f"Use one that they name: {', '.join(signed)}."
            if signed
            else "They name none that is signed: leave it out. Of the profiles, only 'fapi2' does"
            " without it.",
            name,
        )
    theirs = document.get("authorization_signing_alg_values_supported")
    used = handler.response_verifier().algorithms
    if isinstance(theirs, list) and set(used).isdisjoint(map(str, theirs)):
        yield Finding(
            "error",
            "signed-response",
            f"The provider signs answers by {listed(theirs)}, and {', '.join(used)} is accepted.",
            "Nobody can sign in, because each answer is refused.",
            "Compare the option algorithms with the client's authorization_signed_response_alg at"
            " the provider.",
            name,
        )
