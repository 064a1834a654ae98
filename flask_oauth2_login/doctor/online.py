"""What can be seen of a provider from this machine: its metadata, keys and clock."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

from ..client.openid import OpenIDConnect
from ..protocol import http
from ..protocol.algorithms import HMACS
from ..protocol.errors import OAuth2Error, ProviderError, ProviderUnreachableError
from ..protocol.leeway import LEEWAY
from ..session.registration import Registration
from .findings import Finding, Findings, listed

#: How far (s) a clock may be off before it is worth a word.
SMALL_SKEW = 10


def check_reachable(registration: Registration) -> Findings:
    """Check that the metadata can be fetched, and that the provider answers."""
    name, handler = registration.name, registration.handler
    try:
        url = handler.inner_url(handler.endpoint("authorization_url"))
        if handler.issuer is not None:
            yield Finding(
                "ok", "discovery", f"The metadata of {handler.issuer} can be used.", login=name
            )
        before = time.time()
        response = http.send(handler.http_options, "GET", url, headers=handler.headers)
        after = time.time()
    except ProviderUnreachableError as error:
        is_tls = "certificate" in error.message
        yield Finding(
            "error",
            "tls" if is_tls else "unreachable",
            error.message,
            "Nobody can sign in as long as this machine does not reach the provider.",
            "Is the certificate from an authority of your own? Give the handler verify='ca.pem'."
            if is_tls
            else "Is the host right? Must a firewall, or HTTPS_PROXY, let this machine out?",
            name,
            error.row,
        )
    except OAuth2Error as error:
        yield Finding(
            "error",
            "discovery",
            error.message,
            "Nobody can sign in, because the provider's endpoints are not known.",
            "Do what the message says, or ask the provider.",
            name,
            error.row,
        )
    else:
        if url.startswith("https:"):
            yield Finding("ok", "tls", "The provider's certificate is accepted.", login=name)
        yield from _check_clock(registration, response.headers.get("Date"), (before + after) / 2)


def _check_clock(registration: Registration, date: str | None, now: float) -> Findings:
    try:
        theirs = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return
    handler, name = registration.handler, registration.name
    leeway = handler.leeway if isinstance(handler, OpenIDConnect) else LEEWAY
    skew = round(now - theirs)
    which = f"This machine's clock is {abs(skew)} seconds {'ahead of' if skew > 0 else 'behind'}"
    if abs(skew) <= SMALL_SKEW:
        yield Finding("ok", "clock", "The clocks agree.", login=name)
        return
    yield Finding(
        "error" if abs(skew) > leeway else "warning",
        "clock",
        f"{which} the provider's.",
        f"ID tokens are rejected as expired, or as not valid yet, from {leeway:g} seconds on.",
        "Set the clock by NTP.",
        name,
    )


def check_keys(registration: Registration) -> Findings:
    """Check that the provider's key set has a key for its ID tokens."""
    handler, name = registration.handler, registration.name
    if not isinstance(handler, OpenIDConnect) and not handler.has_signed_responses:
        return
    from ..protocol.jwks import KeySet, fetch_keys

    try:
        if isinstance(handler, OpenIDConnect):
            algorithms = handler.make_verifier().algorithms
        else:
            algorithms = handler.response_verifier().algorithms
        url = handler.secure_endpoint("jwks_url")
        keys = KeySet(fetch_keys(handler.http_options, url, handler.headers))
    except (OAuth2Error, ProviderError) as error:
        problem = error.message
    else:
        found = {alg for alg in algorithms if alg in HMACS or any(keys.find(alg, None))}
        if found:
            text = f"The keys for {', '.join(sorted(found))} can be used."
            yield Finding("ok", "keys", text, login=name)
            return
        problem = f"{url} has no key that can be used for {', '.join(algorithms)}."
    yield Finding(
        "error",
        "keys",
        problem,
        "No ID token can be checked, so nobody can sign in.",
        "Compare the options jwks_url and algorithms with the provider's documentation.",
        name,
    )


def check_encryption(registration: Registration) -> Findings:
    """Check that the provider can encrypt ID tokens for the keys of ``decryption_key``."""
    handler, name = registration.handler, registration.name
    if not (isinstance(handler, OpenIDConnect) and handler.decryption_keys):
        return
    ours = {alg for key in handler.decryption_keys for alg in key.algorithms}
    theirs = handler.metadata.get("id_token_encryption_alg_values_supported")
    if not isinstance(theirs, list):
        yield Finding(
            "note",
            "encryption",
            "The provider does not say whether it encrypts ID tokens.",
            "They may come signed and not encrypted, which is accepted.",
            "Ask the provider, or remove decryption_key.",
            name,
        )
    elif both := [alg for alg in theirs if alg in ours]:
        text = f"The provider can encrypt ID tokens for decryption_key, by {', '.join(both)}."
        yield Finding("ok", "encryption", text, login=name)
    else:
        yield Finding(
            "error",
            "encryption",
            f"The provider encrypts ID tokens by {listed(theirs)},"
            f" and decryption_key decrypts {', '.join(sorted(ours))}.",
            "Nobody can sign in if the client is registered for encryption.",
            "Give decryption_key a key of another type, or register the client without encryption.",
            name,
        )


def check_proofs(registration: Registration) -> Findings:
    """Check that the provider accepts the algorithm by which proofs are signed: RFC 9449."""
    handler, name = registration.handler, registration.name
    if not handler.dpop:
        return
    own = handler.own_dpop_key
    ours = "ES256" if own is None else own.algorithm
    theirs = handler.metadata.get("dpop_signing_alg_values_supported")
    if not isinstance(theirs, list):
        yield Finding(
            "note",
            "dpop",
            "The provider does not say whether it binds tokens to a key.",
            "If it does not, it sends Bearer tokens.",
            "Ask the provider, or remove dpop.",
            name,
        )
    elif ours in theirs:
        yield Finding("ok", "dpop", f"The provider accepts proofs by {ours}.", login=name)
    else:
        yield Finding(
            "error",
            "dpop",
            f"The provider accepts proofs by {listed(theirs)}, and they are signed by {ours}.",
            "Nobody can sign in.",
            "Give the handler a key of another type: dpop='/path/of/a/private/key.pem'.",
            name,
        )
