"""Links that sign in, and the button that signs out.

A link that the app did not make may set ``next`` and the parameters in :data:`UNSIGNED_PARAMS`,
nothing else. The parameters from :func:`login_url` and the guard are signed. ``next`` is not, so
that a page can append its own. A link that adds an account is valid only in the session it was
made for.
"""

from __future__ import annotations

import hmac
import json
import typing as t
from urllib.parse import parse_qsl, unquote, urlsplit

from flask import Response, has_request_context, render_template
from markupsafe import Markup

from ..look.marks import make_mark
from ..protocol.errors import ConfigurationError, see
from ..protocol.urls import json_param
from ..session.context import this_app, this_request
from ..session.current_login import find_identity, find_login, find_registration
from ..session.extension import current_extension
from ..session.registration import Login, Registration, server_store
from ..session.request_scope import read_entries, request_scope
from ..session.tenants import find_here, registration_there
from .demands import RESERVED_PARAMS, check_params, read_demands, scopes_of
from .next_url import safe_next
from .pages import render_page, translate
from .view_urls import login_url_of, url_of

#: Parameters for the provider that a link may have without a signature.
UNSIGNED_PARAMS = frozenset({"login_hint", "prompt", "ui_locales"})


class Link(t.NamedTuple):
    """A link that starts a sign-in, with the login's name and label."""

    name: str
    label: str
    url: str
    #: The words and the image on its button.
    text: str
    mark: Markup


def login_url(
    name: str | None = None,
    *,
    next: str | None = None,
    link: bool = False,
    **params: t.Any,
) -> str:
    """Return the URL that starts a sign-in.

    .. code-block:: jinja

        <a href="{{ login_url('github', next=request.full_path) }}">Sign in</a>

    :param name: the login's name. An app with one login needs none.
    :param next: the path of this app to come back to.
    :param link: True to add the account to the person who is signed in.
    :param params: variables of the URL rule; ``scope``, for scopes beyond the login's own; and
        further parameters of the authorization request (``prompt="consent"``). They are signed
        with the app's key.
    :raises ConfigurationError: there is no such login, or there are several and no name is given;
        a parameter is one that only the sign-in itself sets; or ``link=True`` is given, and the
        login has no server-side store.
    """
    _require_request()
    registrations = _registrations(name, params)
    if not registrations and request_scope().names_tenant:
        # The tenant does not exist or can't be used, and the link leads to a page that says so.
        return _bare_url(_only_login(name), safe_next(next), params)
    if len(registrations) != 1:
        raise _ambiguous(name)
    (registration,) = registrations
    if link:
        server_store(registration)
    return _url(registration, next, link=link, **params)


def login_links(name: str | None, next: str | None = None, /, **params: t.Any) -> list[Link]:
    """Return a link for the named login, or for all logins of the app."""
    registrations = _registrations(name, params)
    if name is None and read_demands(params):
        # Only logins with ID tokens can prove that the demands are fulfilled.
        registrations = [
            registration for registration in registrations if registration.handler.openid
        ] or registrations
    return [make_link(each, _url(each, next, **params)) for each in registrations]


def make_link(registration: Registration, url: str, text: str | None = None) -> Link:
    """Return a link with what its button shows.

    :param text: other words than "Sign in with …".
    """
    label = registration.label
    if registration.given_label is None and len(current_extension().logins) == 1:
        # The name of the only login is the developer's affair.
        return Link(registration.name, label, url, text or translate("Sign in"), Markup())
    text = text or translate("Sign in with %(provider)s", provider=label)
    return Link(registration.name, label, url, text, make_mark(label, registration.options.logo))


def _registrations(name: str | None, params: t.Mapping[str, t.Any]) -> list[Registration]:
    """Return the registration of a name, or all of this request.

    :param params: may name another tenant than this request's, by the variable of the URL rule.
    :raises ConfigurationError: no login has this name.
    """
    extension = current_extension()
    logins = list(extension.logins.values()) if name is None else [extension.get(name)]
    found = (registration_there(login, params) for login in logins)
    return [registration for registration in found if registration is not None]


def _only_login(name: str | None) -> Login:
    """Return the login of a name, or the only one of the app.

    :raises ConfigurationError: there is no such login, or there are several.
    """
    logins = current_extension().logins
    if name is None and len(logins) > 1:
        raise _ambiguous(name)
    return current_extension().get(name or next(iter(logins)))


def _bare_url(login: Login, target: str | None, params: t.Mapping[str, t.Any]) -> str:
    """Return a link with the variables of the URL alone, because the rest needs a provider."""
    expects = this_app().url_map.is_endpoint_expecting
    names = [name for name in params if expects(f"{login.name}.login", name)]
    return login_url_of(login, target, **{name: params[name] for name in names})


def _ambiguous(name: str | None) -> ConfigurationError:
    """Return the error for a link that leads to no login, or to one of several."""
    logins = current_extension().logins
    if name is None and len(logins) > 1:
        return ConfigurationError(
            f"This app has several logins: login_url(name), of {', '.join(logins)}.",
            row="several-logins",
        )
    return ConfigurationError(
        f"This request has no tenant that the login {name or next(iter(logins))!r} knows. Name one"
        " in the link, by the variable of the login's URL: login_url('sso', org='acme').",
        row="which-tenant",
    )


def logout_button(text: str | None = None, name: str | None = None) -> Markup:
    """Return a form with a button that signs out; empty if nobody is signed in.

    :param text: the button's text; by default "Sign out", in the visitor's language.
    :param name: the name of the login to end; None to end all of them.
    """
    return logout_form(text, name)


def logout_form(text: str | None, name: str | None, button_class: str | None = None) -> Markup:
    """Return the form of :func:`logout_button`.

    :param button_class: the class of the button.
    """
    _require_request()
    registration = find_registration() if name is None else find_here(name)
    if registration is None or find_login(registration) is None:
        return Markup("")
    url = url_of(registration, "logout")
    form = render_template(
        "oauth2_login/logout_button.html",
        text=translate("Sign out") if text is None else text,
        button_class=button_class,
        url=url,
        every=name is None,
        token=logout_token(),
    )
    return Markup(form)  # noqa: S704  (rendered by a template that escapes)


def logout_token() -> str:
    """Return a token for our forms, for browsers that don't say where a POST comes from."""
    return current_extension().sealer.keyed_hash("logout", read_entries().id)


def _url(
    registration: Registration, target: str | None, /, *, link: bool = False, **params: t.Any
) -> str:
    check_params("login_url", params, RESERVED_PARAMS | {registration.handler.client_id_param})
    query = {name: json_param(value) for name, value in params.items()}
    query["scope"] = " ".join(scopes_of(params)) or None
    query["link"] = "1" if link else None
    url = login_url_of(registration, safe_next(target), **query)
    parts = urlsplit(url)
    given = _parse(parts.query)
    if {name for name, _ in given} <= _unsigned(registration):
        return url
    signature = _sign(registration, unquote(parts.path), given)[0]
    return login_url_of(registration, safe_next(target), **query, signature=signature)


def _require_request() -> None:
    if not has_request_context():
        raise RuntimeError(
            "Working outside of request context: login_url() and logout_button() are for a"
            " visitor's request, and there is none. Render the template in a view. A mail links to"
            " a guarded page, which asks to sign in: url_for('page', _external=True)."
            f" {see('outside-request')}"
        )


class LinkRequest(t.NamedTuple):
    """The permitted parameters of a link to ``/login``."""

    params: dict[str, t.Any]
    #: True if the account is to be added to the person who is signed in.
    link: bool
    #: True if this app made the link, and made it for this session if it adds an account.
    is_signed: bool


def read_link(registration: Registration) -> LinkRequest:
    """Return the parameters that this request's link to ``/login`` may set."""
    request = this_request()
    if request.args.keys() <= {"next"}:
        return LinkRequest({}, link=False, is_signed=False)
    given = _parse(request.query_string.decode("utf-8", "replace"))
    signature = request.args.get("signature", "").encode()
    signatures = _sign(registration, request.script_root + request.path, given) if signature else []
    is_signed = any(hmac.compare_digest(signature, known.encode()) for known in signatures)
    names = {name for name, _ in given}
    allowed = names - RESERVED_PARAMS if is_signed else names & _unsigned(registration)
    values = {name: [value for key, value in given if key == name] for name in allowed - {"link"}}
    params = {name: value[0] if len(value) == 1 else value for name, value in values.items()}
    return LinkRequest(params, "link" in names, is_signed)


def ask_to_link(registration: Registration, next: str | None) -> Response:
    """Return a page that asks before it adds an account, for a link without a valid signature.

    Otherwise an attacker could sign this browser in to the attacker's account at the provider, and
    then add that account with a link.
    """
    identity = find_identity(find_registration())
    name = identity.name or identity.email if identity is not None else None
    url = _url(registration, next, link=True)
    return render_page("link.html", 200, name=name, label=registration.label, url=url)


def _parse(query: str) -> list[tuple[str, str]]:
    """Return the parameters that a link's signature covers: all except ``next``."""
    pairs = parse_qsl(query, keep_blank_values=True)
    return sorted((name, value) for name, value in pairs if name not in {"next", "signature"})


def _unsigned(registration: Registration) -> frozenset[str]:
    """Return the parameters that an unsigned link may set: not those that the developer sets."""
    return UNSIGNED_PARAMS - {
        *registration.handler.authorize_params,
        *registration.options.authorize_params,
    }


def _sign(registration: Registration, path: str, params: t.Sequence[tuple[str, str]]) -> list[str]:
    """Return the signature of a link by each of the app's secrets, the newest first."""
    # The id of a session's entries changes with each sign-in and sign-out. Signing it proves that a
    # link that adds an account was made for this session and the person now signed in.
    session_id = read_entries().id if ("link", "1") in params else ""
    hashes = registration.sealer.keyed_hashes(
        "link", registration.key, path, session_id, json.dumps(params)
    )
    return [signature[:22] for signature in hashes]
