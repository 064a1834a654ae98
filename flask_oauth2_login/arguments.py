"""The arguments of `OAuth2Login`: what Flask's Blueprint takes, and which go together."""

from __future__ import annotations

import os
import typing as t

from .later import Later
from .protocol.errors import ConfigurationError

if t.TYPE_CHECKING:
    from .client import oauth2
else:
    oauth2 = Later("client.oauth2")


class BlueprintOptions(t.TypedDict, total=False):
    """The keyword arguments of `flask.Blueprint`."""

    static_folder: str | os.PathLike[str] | None
    static_url_path: str | None
    template_folder: str | os.PathLike[str] | None
    url_prefix: str | None
    subdomain: str | None
    url_defaults: dict[str, t.Any] | None
    root_path: str | None
    cli_group: str | None


def check_provider(provider: t.Any, preset: t.Any, tenant: t.Any) -> None:
    """Check that the provider that `OAuth2Login` is given fits its other arguments.

    :raises ConfigurationError: it does not.
    """
    is_function = callable(provider) and not isinstance(provider, oauth2.OAuth2)
    if tenant is not None and not is_function:
        raise ConfigurationError(
            f"With tenant=, OAuth2Login takes a function that returns the handler of a tenant, not"
            f" {provider!r}: OAuth2Login(lambda tenant: OpenIDConnect(…), tenant=…).",
            row="login-provider",
        )
    if tenant is not None and not (callable(tenant) or (isinstance(tenant, str) and tenant)):
        raise ConfigurationError(
            f"tenant={tenant!r} is neither the name of a variable of the URL nor a function that"
            " reads the request: tenant='org' with url_prefix='/<org>/sso'.",
            row="tenant-option",
        )
    if tenant is None and not isinstance(provider, (str, oauth2.OAuth2)):
        hint = " A function of a tenant's name needs tenant=, too." if is_function else ""
        raise ConfigurationError(
            f"OAuth2Login takes a handler or the name of a preset, not {provider!r}.{hint}",
            row="login-provider",
        )
    if preset is not None and not isinstance(provider, str):
        raise ConfigurationError(
            "preset={…} changes a preset, and this login has a handler and no preset: give"
            " these options to the handler.",
            row="preset-option",
        )
