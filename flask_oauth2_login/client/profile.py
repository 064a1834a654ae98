"""Profiles: the FAPI 2.0 Security Profile, and FAPI 2.0 Message Signing, in one word.

A profile sets a handler's options, and refuses those that it forbids. Each answer is
checked where it is read, by the handler's attribute ``profile``.
"""

from __future__ import annotations

import typing as t

from ..protocol.algorithms import FAPI_ALGORITHMS
from ..protocol.errors import ConfigurationError

Profile = t.Literal["fapi2", "fapi2-message-signing", None]

#: FAPI 2.0 Security Profile.
SECURITY = "fapi2"
#: FAPI 2.0 Message Signing, without signed introspection, which is for resource servers.
MESSAGE_SIGNING = "fapi2-message-signing"

#: Security Profile, section 5.3.2.1: the methods of client authentication.
_METHODS = ("private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth")
#: Options that may have no other value than this one.
_ONLY: t.Mapping[str, t.Any] = {
    "par": True,
    "pkce": True,
    "token_request": "form",
    "bearer_method": "header",
    "bearer_scheme": "Bearer",
    "client_id_param": "client_id",
}
#: Options that may not be used.
_NEVER = ("http_hosts", "token_types", "token_names", "answer_hmac")
#: The values of ``response_mode`` by which the provider signs its answers.
SIGNED_MODES = ("jwt", "query.jwt", "form_post.jwt")


def apply_profile(
    options: t.Mapping[str, t.Any], client_secret: str | None, issuer: str | None
) -> dict[str, t.Any]:
    """Return a handler's options with those that its profile sets.

    :param options: the options that the developer gives, ``profile`` among them.
    :raises ConfigurationError: the profile forbids an option, or needs one that is missing. The
        text names it.
    """
    profile = options["profile"]
    if profile not in t.get_args(Profile):
        raise ConfigurationError(
            f"profile={profile!r} is not known. It is 'fapi2' or 'fapi2-message-signing'.",
            row="profile",
        )
    given = {name: value for name, value in options.items() if value is not None}

    def refuse(problem: str) -> t.NoReturn:
        raise ConfigurationError(f"profile={profile!r} {problem}", row="profile")

    if issuer is None:
        refuse("needs an issuer, whose metadata and answers are checked: add issuer=….")
    if client_secret is not None:
        refuse("forbids a client secret: give None in its place, and private_key=… or cert=….")
    for name, only in _ONLY.items():
        if given.get(name, only) != only:
            refuse(f"forbids {name}={given[name]!r}: leave it out.")
    for name in _NEVER:
        if given.get(name):
            refuse(f"forbids {name}: leave it out.")
    if given.get("verify") is False:
        refuse("forbids verify=False. For an authority of your own: verify='ca.pem'.")
    if given.get("assertion_audience", issuer) != issuer:
        refuse("allows assertions for the issuer only: leave out assertion_audience.")
    algorithm = given.get("assertion_algorithm")
    if algorithm is not None and algorithm not in FAPI_ALGORITHMS:
        refuse(f"forbids assertion_algorithm={algorithm!r}. It allows {_listed(FAPI_ALGORITHMS)}.")
    has_key, has_cert = "private_key" in given, "cert" in given
    if not (has_key or has_cert):
        refuse(
            "needs what the client authenticates with: private_key=…, which `flask oauth2 new-key"
            " NAME` makes, or cert=…."
        )
    default = "private_key_jwt" if has_key else "tls_client_auth"
    method = given.get("client_auth", default)
    if method not in _METHODS:
        name = repr(method) if isinstance(method, str) else "a function"
        refuse(f"forbids client_auth={name}. It allows {_listed(_METHODS)}.")
    if given.get("dpop") is False and not has_cert:
        refuse(
            "binds tokens to a key: leave out dpop=False, or bind them to a certificate, cert=…."
        )
    changed = {**_ONLY, "client_auth": method, "dpop": given.get("dpop", not has_cert)}
    if profile == MESSAGE_SIGNING:
        if not has_key:
            refuse("signs authorization requests, which needs private_key=….")
        if given.get("jar") is False:
            refuse("signs authorization requests: leave out jar=False.")
        if given.get("response_mode", "jwt") not in SIGNED_MODES:
            refuse(f"accepts signed answers only: response_mode is one of {_listed(SIGNED_MODES)}.")
        changed |= {"jar": True, "response_mode": given.get("response_mode", "jwt")}
    return {**options, **changed}


def _listed(words: t.Iterable[str]) -> str:
    return ", ".join(words)
