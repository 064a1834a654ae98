"""The options that `OAuth2` and `OpenIDConnect` take by keyword, and their checks.

An option has two lines: its type as a developer may write it in :class:`HandlerOptions`, and what
it means, its default and its check in :class:`Options`.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing as t
from dataclasses import field

from ..protocol.algorithms import KINDS
from ..protocol.client_auth import ClientAuth, find_client_auth
from ..protocol.errors import ConfigurationError
from ..protocol.http_options import HTTPOptions, Timeout
from ..protocol.identity import Fields, check_fields
from .answer_urls import read_domains
from .option_values import (
    audience,
    bearer_method,
    dict_of,
    dpop_key,
    flag,
    offline_params,
    one_of,
    optional_flag,
    optional_text,
    origins,
    private_keys,
    read_authorization_details,
    read_resources,
    refuse_unknown_names,
    set_of,
    text,
)
from .profile import Profile

if t.TYPE_CHECKING:
    from ..protocol.dpop import DPoPKey
    from ..protocol.private_keys import PrivateKey


#: How the provider sends the authorization response.
ResponseMode = t.Literal["query", "form_post", "jwt", "query.jwt", "form_post.jwt", None]


class HandlerOptions(t.TypedDict, total=False):
    """The keyword options of `OAuth2`, for type checkers and editors.

    :class:`Options` says what each of them means.
    """

    metadata_url: str | None
    internal_url: str | None
    revoke_url: str | None
    revoke: bool
    par: bool | None
    par_url: str | None
    device_authorization_url: str | None
    jar: bool
    userinfo_url: str | None
    api_url: str | None
    api_origins: t.Iterable[str]
    answer_domains: t.Iterable[str]
    client_auth: str | ClientAuth | None
    private_key: t.Any
    assertion_algorithm: str | None
    assertion_audience: str | None
    pkce: bool
    scope_separator: str
    scope_aliases: t.Mapping[str, str] | None
    token_request: t.Literal["form", "json", "query"]
    repeat_scope: bool
    refresh_url: str | None
    refresh_params: t.Mapping[str, t.Any] | None
    token_path: str | None
    token_names: t.Mapping[str, str] | None
    redirect_name: str | None
    client_id_param: str
    bearer_method: str
    bearer_scheme: str
    token_types: t.Iterable[str]
    headers: t.Mapping[str, str] | None
    authorize_params: t.Mapping[str, t.Any] | None
    authorization_details: t.Iterable[t.Mapping[str, t.Any]]
    resource: str | t.Iterable[str]
    token_params: t.Mapping[str, t.Any] | None
    offline: str | t.Mapping[str, str] | None
    identity: Fields | None
    userinfo_method: str
    userinfo_params: t.Mapping[str, t.Any] | None
    userinfo_form: t.Mapping[str, t.Any] | None
    userinfo_query: str | None
    email_url: str | None
    email_path: str
    answer_hmac: bool
    response_mode: ResponseMode
    http_hosts: t.Iterable[str]
    timeout: Timeout
    verify: bool | str | None
    cert: str | tuple[str, str] | None
    proxies: t.Mapping[str, str] | None
    dpop: bool | t.Any
    profile: Profile
    label: str | None


Check = t.Callable[[str, t.Any], t.Any]


#: The checks of options that need no other than that of their type, by the annotation.
_OF_TYPES: t.Mapping[t.Any, Check] = {
    "str": text, "str | None": optional_text, "bool": flag, "bool | None": optional_flag,
}  # fmt: skip


def checked_by(check: Check) -> dict[str, Check]:
    """Return the metadata of an option's field.

    :param check: called with the option's name and value; returns the value to keep.
    """
    return {"check": check}


def _choice(*known: str | None) -> Check:
    return functools.partial(one_of, known=known)


def _client_auth(_name: str, given: str | ClientAuth | None) -> ClientAuth | None:
    return find_client_auth(given) if given else None


def _identity(_name: str, given: Fields | None) -> Fields | None:
    return check_fields(given)


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class Options:
    """A handler's options as attributes, checked."""

    #: Where the provider's metadata are, if they are not where the issuer says (RFC 8414, section
    #: 3). They must name the ``issuer`` all the same.
    metadata_url: str | None = None
    #: A base that replaces the issuer's origin in the requests of this server, for a provider that
    #: it reaches by another name than browsers do: ``"http://keycloak:8080"``, with
    #: ``http_hosts=["keycloak:8080"]``.
    internal_url: str | None = None
    #: The revocation endpoint (RFC 7009): a path below ``site``, or an absolute URL.
    revoke_url: str | None = None
    #: Revoke a login's tokens when it ends. False is for a provider that then ends all of this
    #: person's tokens, those of other browsers too.
    revoke: bool = True
    #: Push each authorization request to the provider first, with the client's authentication (RFC
    #: 9126). The browser then carries only the name of the request. By default it is pushed if the
    #: metadata say that the provider requires it.
    par: bool | None = None
    #: The endpoint that requests are pushed to: a path below ``site``, or an absolute URL.
    par_url: str | None = None
    #: Sign each authorization request with the client's ``private_key`` (RFC 9101).
    jar: bool = False
    #: The endpoint at which `OAuth2.device_login` begins (RFC 8628): a path, or an absolute URL.
    device_authorization_url: str | None = None
    #: The endpoint that says who the token's person is: a path, or an absolute URL.
    userinfo_url: str | None = None
    #: The URL to which :meth:`OAuth2.session` appends relative URLs. By default it is ``site``.
    api_url: str | None = None
    #: More origins that the token may be sent to, such as ``["https://uploads.example"]``.
    api_origins: frozenset[str] = field(default=frozenset(), metadata=checked_by(origins))
    #: The domains whose hosts an answer may name in a URL such as ``https://{token.host}/api``. A
    #: URL that names the domain itself, after the braces, does not need it.
    answer_domains: frozenset[str] = field(default=frozenset(), metadata=checked_by(read_domains))
    #: How the client authenticates at the token endpoint (RFC 6749, section 2.3):
    #: ``"client_secret_post"`` (the default with a secret), ``"client_secret_basic"``,
    #: ``"private_key_jwt"`` (RFC 7523; the default with a ``private_key`` and no secret),
    #: ``"client_secret_jwt"``, ``"tls_client_auth"`` or ``"self_signed_tls_client_auth"`` (RFC
    #: 8705, with ``cert``), ``"none"``, or a function that changes a :class:`TokenRequest`.
    client_auth: ClientAuth | None = field(default=None, metadata=checked_by(_client_auth))
    #: The client's private key: as PEM, as a JWK or a JWK set (a dictionary, or JSON), the path of
    #: a file with one of these, or a list of them. Of several, the first signs that the provider
    #: accepts. The login serves the public keys of all at ``<url_prefix>/jwks.json``.
    private_key: tuple[PrivateKey, ...] = field(default=(), metadata=checked_by(private_keys))
    #: The algorithm of the client's assertions, such as ``"PS256"``. By default it is the ``alg``
    #: of a JWK; else the first of ES256, EdDSA, PS256 and RS256 that the key can sign by and the
    #: metadata name (``token_endpoint_auth_signing_alg_values_supported``). For an RSA key without
    #: such metadata, it is RS256.
    assertion_algorithm: str | None = field(
        default=None, metadata=checked_by(_choice(None, *KINDS))
    )
    #: Whom the client's assertions are for (``aud``): an absolute URL, or ``"token_url"`` for that
    #: of the token endpoint. By default it is the issuer; without one, the token endpoint.
    assertion_audience: str | None = field(default=None, metadata=checked_by(audience))
    #: Send a PKCE challenge (RFC 7636). False is for the few providers that reject it.
    pkce: bool = True
    #: The string between scopes, if this provider wants something other than a space.
    scope_separator: str = " "
    #: Other names by which the provider grants scopes, such as
    #: ``{"email": "https://provider.example/auth/email"}``.
    scope_aliases: dict[str, str] = field(default_factory=dict, metadata=checked_by(dict_of))
    #: How the token request is written: ``"form"`` (RFC 6749, section 4.1.3), ``"json"``, or
    #: ``"query"`` for a GET with everything in the URL, the secret too. This process does not log
    #: such URLs, but the provider may.
    token_request: t.Literal["form", "json", "query"] = field(
        default="form", metadata=checked_by(_choice("form", "json", "query"))
    )
    #: Send the requested scopes in the token request of a sign-in, too.
    repeat_scope: bool = False
    #: The endpoint that refreshes tokens, if it is not ``token_url``.
    refresh_url: str | None = None
    #: Parameters to add to each token request that refreshes a token.
    refresh_params: dict[str, t.Any] = field(default_factory=dict, metadata=checked_by(dict_of))
    #: The dotted path to the token object in the token response, if it is nested.
    token_path: str | None = None
    #: This provider's names for parameters of the token request and for members of its response,
    #: such as ``{"grant_type": "grantType", "access_token": "accessToken"}``.
    token_names: dict[str, str] = field(default_factory=dict, metadata=checked_by(dict_of))
    #: What is sent as ``redirect_uri``, for a provider that gives the registered URL a name.
    redirect_name: str | None = None
    #: This provider's name for the parameter ``client_id``.
    client_id_param: str = "client_id"
    #: How an API request carries the token (RFC 6750): ``"header"`` (``Authorization``) or
    #: ``"query"`` (``access_token``), or one of them with another name: ``"header:X-Token"``.
    bearer_method: str = field(default="header", metadata=checked_by(bearer_method))
    #: The word before the token in the ``Authorization`` header.
    bearer_scheme: str = "Bearer"
    #: Values of ``token_type`` to accept beside ``"Bearer"``, in any case, such as ``["User Access
    #: Token"]``. The tokens are sent by ``bearer_scheme`` all the same.
    token_types: frozenset[str] = field(default=frozenset(), metadata=checked_by(set_of))
    #: Headers to send with each request to the provider, API calls included.
    headers: dict[str, str] = field(default_factory=dict, metadata=checked_by(dict_of))
    #: Parameters to add to each authorization request.
    authorize_params: dict[str, t.Any] = field(default_factory=dict, metadata=checked_by(dict_of))
    #: What each sign-in asks to be authorized in detail (RFC 9396): objects that each have a
    #: ``type``. What is granted is in ``token["authorization_details"]``.
    authorization_details: list[dict[str, t.Any]] = field(
        default_factory=list, metadata=checked_by(read_authorization_details)
    )
    #: The URIs of the APIs that tokens are for (RFC 8707), sent in each authorization request and
    #: each token request: one, or several.
    resource: list[str] = field(default_factory=list, metadata=checked_by(read_resources))
    #: Parameters to add to each token request that redeems a code.
    token_params: dict[str, t.Any] = field(default_factory=dict, metadata=checked_by(dict_of))
    #: What makes this provider send a refresh token: a scope, or parameters of the authorization
    #: request. A sign-in sends them if ``OAuth2Login`` has ``offline=True``.
    offline: str | dict[str, str] | None = field(default=None, metadata=checked_by(offline_params))
    #: The fields of an :class:`Identity` as paths into the response of ``userinfo_url``, such as
    #: ``{"id": "user.id"}``. Of several paths for a field, the first that leads to a value counts.
    identity: Fields | None = field(default=None, metadata=checked_by(_identity))
    #: The method of the request to ``userinfo_url``: ``"GET"``, ``"POST"``, or ``"GRAPHQL"``, a
    #: POST of ``userinfo_query``.
    userinfo_method: str = field(
        default="GET", metadata=checked_by(_choice("GET", "POST", "GRAPHQL"))
    )
    #: The GraphQL query that says who the token's person is: ``"{viewer{id name email}}"``.
    userinfo_query: str | None = None
    #: Parameters of a form that is POSTed to ``userinfo_url``. Values may be paths into the token
    #: response, as in ``userinfo_params``.
    userinfo_form: dict[str, t.Any] = field(default_factory=dict, metadata=checked_by(dict_of))
    #: Parameters to add to the query of the request to ``userinfo_url``. A value that begins with
    #: ``token:`` is a path into the token's response: ``{"openid": "token:openid"}``.
    userinfo_params: dict[str, t.Any] = field(default_factory=dict, metadata=checked_by(dict_of))
    #: An endpoint for the e-mail address, if ``userinfo_url`` does not tell it.
    email_url: str | None = None
    #: The path to the address in the response of ``email_url``. An address that is picked by a
    #: filter on ``verified`` (``"[primary,verified].email"``) counts as verified.
    email_path: str = "email"
    #: Check the parameter ``hmac`` of the authorization response, which the provider makes with the
    #: client's secret.
    answer_hmac: bool = False
    #: ``"form_post"`` for a provider that sends the authorization response as a form (OAuth 2.0
    #: Form Post Response Mode). By default it is in the query. ``"jwt"``, ``"query.jwt"`` and
    #: ``"form_post.jwt"`` have the provider sign it (JARM). One that is not signed is refused then.
    response_mode: ResponseMode = field(
        default=None, metadata=checked_by(_choice(*t.get_args(ResponseMode)))
    )
    #: Hosts that may be reached by plain http. Loopback hosts always may.
    http_hosts: frozenset[str] = field(default=frozenset(), metadata=checked_by(set_of))
    #: Seconds to connect and seconds between two bytes, or one number for both. One request to
    #: the provider's own endpoints takes their sum at the most, and never more than 30 seconds.
    timeout: Timeout = (5.0, 15.0)
    #: As in requests: False, or the path of a CA bundle. None means the environment's.
    verify: bool | str | None = None
    #: As in requests: the path of a client certificate, or the paths of it and of its key.
    cert: str | tuple[str, str] | None = None
    #: As in requests: proxy URLs by scheme. None means the environment's.
    proxies: t.Mapping[str, str] | None = None
    #: Bind tokens to a key, and send a proof with each request (DPoP, RFC 9449). True makes a key
    #: for each login; a private key in any form is the client's own, for all of them.
    dpop: bool | DPoPKey = field(default=False, metadata=checked_by(dpop_key))
    #: ``"fapi2"`` for the FAPI 2.0 Security Profile: ``par``, PKCE, a required ``iss``, a
    #: ``private_key`` or ``cert``, tokens bound by ``dpop`` or ``cert``. The profile
    #: ``"fapi2-message-signing"`` adds ``jar`` and signed answers. What it forbids is an error.
    profile: Profile = None
    #: The text that people read on a button. By default it is the login's name.
    label: str | None = None

    #: How requests are sent: ``timeout``, ``verify``, ``cert`` and ``proxies`` together.
    http_options: HTTPOptions = field(init=False)

    @property
    def has_signed_responses(self) -> bool:
        """True if the provider signs its authorization responses."""
        return str(self.response_mode).endswith("jwt")

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            if check := each.metadata.get("check") or _OF_TYPES.get(each.type):
                setattr(self, each.name, check(each.name, getattr(self, each.name)))
        if (self.userinfo_method == "GRAPHQL") != (self.userinfo_query is not None):
            raise ConfigurationError(
                "userinfo_method='GRAPHQL' and userinfo_query='{…}' need each other: give both.",
                row="options-together",
            )
        if self.userinfo_form and self.userinfo_method != "POST":
            raise ConfigurationError(
                "userinfo_form={…} needs userinfo_method='POST'.", row="options-together"
            )
        self.http_options = HTTPOptions(self.timeout, self.verify, self.cert, self.proxies)


def known_options(handler: type[Options]) -> set[str]:
    """Return the names of all parameters that a handler's class takes."""
    parameters = inspect.signature(handler).parameters.values()
    named = {each.name for each in parameters if each.kind is not each.VAR_KEYWORD}
    return named | {each.name for each in dataclasses.fields(Options) if each.init}


def refuse_unknown(handler: type[Options], given: t.Iterable[str]) -> None:
    """Check the names of options.

    :raises TypeError: a handler of this class has no option of a name. The text suggests the one
        that is spelled most similarly, or lists all.
    """
    refuse_unknown_names(handler.__name__, known_options(handler), given)
