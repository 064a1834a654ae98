"""What the log says of the redirect URI: most first sign-ins fail because of it."""

from __future__ import annotations

import logging

from flask import Request, current_app

from ..protocol.errors import OAuth2Error, see
from ..protocol.json_input import to_one_line
from ..session.context import this_request
from ..session.extension import current_extension
from ..session.registration import Registration
from ..web.redirect_uris import depends_on_host, redirect_uri
from .unknown_attempt import UnknownAttemptError

log = logging.getLogger("flask_oauth2_login")

#: The most characters that the log has of a text that came by a request.
MAX_TEXT = 300


def tell_once(registration: Registration, uri: str) -> None:
    """Log the redirect URI of a login at its first sign-in, which only the provider sees otherwise.

    The level is INFO. In debug mode it is WARNING, which Python shows without a configuration.
    """
    if current_extension().once(f"redirect URI: {registration.name}"):
        log.log(
            logging.WARNING if current_app.debug else logging.INFO,
            "%s: the redirect URI that is sent is %s. Exactly this one must be registered with the"
            " provider. %s",
            registration.log_name,
            to_one_line(uri)[:MAX_TEXT],
            see("redirect-uri"),
        )


def explain_refusal(registration: Registration, error: OAuth2Error) -> str:
    """Return what a developer needs to know of a failed sign-in beyond the error's text, or ``""``.

    That is the redirect URI, if the provider has refused it, and the provider's own error code, if
    the answer was not accepted.
    """
    request = this_request()
    said = to_one_line(request.values.get("error", ""))[:MAX_TEXT]
    hint = f" The answer says error={said!r}." if said and said not in error.message else ""
    # The text of such an error is ours, and says nothing that the provider has refused.
    is_unknown = isinstance(error, UnknownAttemptError)
    if "redirect" not in (said if is_unknown else f"{error.message} {said}").lower():
        return hint
    uri = to_one_line(redirect_uri(registration))[:MAX_TEXT]
    if is_unknown and depends_on_host(registration, current_app):
        # Another host name may have been sent than this request's.
        hint += (
            " The redirect URI has the host name at which the app was opened; a sign-in"
            f" begun here sends {uri}. If that is what you registered, open the app at this host"
            " name only. Otherwise register it, or set the handler's redirect_uri=…."
        )
    else:
        hint += name_redirect_uri(uri)
    return hint


def name_redirect_uri(uri: str, *, is_refused: bool = True) -> str:
    """Return which redirect URI is sent, for the log, and what to do if it is refused."""
    sentence = f" The redirect URI that is sent is {to_one_line(uri)[:MAX_TEXT]}."
    if not is_refused:
        return sentence
    return (
        f"{sentence} Register exactly this one with the provider, or give the handler the"
        " registered one: redirect_uri=…. If scheme or host are wrong because the app is behind a"
        " proxy, use werkzeug's ProxyFix."
    )


def tell_of_response_without_view(request: Request) -> None:
    """Log once that a provider sends people to a URL of this app that has no view.

    The registered redirect URI has another path than the login's then, and Flask answers with 404
    before any code of a login runs.
    """
    values, extension = request.args, current_extension()
    if "state" not in values or not values.keys() & {"code", "error"}:
        return
    if extension.once("response without view"):
        rules = current_app.url_map.iter_rules
        paths = [rule.rule for name in extension.logins for rule in rules(f"{name}.callback")]
        log.warning(
            "The answer of a provider came to %s, where this app has no view. The registered"
            " redirect URI must end in %s: register it, or give the handler the one that is"
            " registered: redirect_uri=…. %s",
            to_one_line(request.path)[:MAX_TEXT],
            " or ".join(paths),
            see("callback-elsewhere"),
        )
