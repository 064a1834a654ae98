"""What the doctor looks at, as lists."""

from __future__ import annotations

import typing as t

from flask import Flask

from ..session.extension import current_extension
from ..session.registration import Login, Registration
from ..session.tenants import registration_for
from . import (
    authorization,
    client_keys,
    cookies,
    keys,
    logins,
    online,
    places,
    probes,
    redirects,
)
from .findings import Finding, Findings

#: About the whole app, without a request to anybody.
OF_APP: t.Sequence[t.Callable[[Flask], Findings]] = (
    keys.check_secrets,
    cookies.check_attributes,
    places.check_local_file,
    logins.check_guards,
)
#: About each login, whatever its provider, without a request to anybody.
OF_LOGIN: t.Sequence[t.Callable[[Flask, Login], Findings]] = (
    logins.check_login,
    places.check_store,
)
#: About each login with its provider, without a request to anybody.
OF_REGISTRATION: t.Sequence[t.Callable[[Flask, Registration], Findings]] = (
    logins.check_provider,
    redirects.check_redirect_uri,
    cookies.check_cookie_reaches,
    logins.check_preset,
    logins.check_tls,
    client_keys.tell_address,
)
#: About each login whose provider can be reached.
PROBES: t.Sequence[t.Callable[[Flask, Registration], Findings]] = (
    client_keys.check_address,
    probes.probe_client,
    probes.probe_redirect_uri,
)


def examine(
    app: Flask,
    *,
    import_path: str | None = None,
    is_online: bool = False,
    tenant: str | None = None,
) -> Findings:
    """Examine an app, within its context.

    :param import_path: what ``flask --app`` was given; ``""`` if Flask found the app by itself;
        None if it can't be loaded a second time.
    :param is_online: True to send requests to the providers, too.
    :param tenant: the tenant to examine, at logins with tenants.
    :raises ConfigurationError: the app has no login.
    """
    app_logins = list(current_extension().logins.values())
    for check in OF_APP:
        yield from check(app)
    if import_path is not None:
        yield from keys.check_same_in_each_process(app, import_path)
    for login in app_logins:
        for check_login in OF_LOGIN:
            yield from check_login(app, login)
        if tenant is None and not isinstance(login, Registration):
            yield Finding(
                "note",
                "tenants",
                "The login has tenants, each with a provider of its own.",
                "",
                "`flask oauth2 check --tenant NAME` examines one of them.",
                login.name,
            )
            continue
        registration = registration_for(login, None if isinstance(login, Registration) else tenant)
        for check_registration in OF_REGISTRATION:
            yield from check_registration(app, registration)
        if is_online:
            yield from _examine_provider(app, registration)


def _examine_provider(app: Flask, registration: Registration) -> Findings:
    found: list[Finding] = list(online.check_reachable(registration))
    yield from found
    if any(finding.topic in {"unreachable", "tls", "discovery"} and finding.level == "error"
           for finding in found):  # fmt: skip
        # All further requests would fail alike.
        return
    yield from online.check_keys(registration)
    yield from online.check_encryption(registration)
    yield from online.check_proofs(registration)
    yield from authorization.check_requests(registration)
    yield from client_keys.check_method(registration)
    for probe in PROBES:
        yield from probe(app, registration)
