"""What tests can set at a provider, and what it says of itself."""

from __future__ import annotations

import dataclasses
import secrets
import threading
import time
import typing as t

from .grants import AccessToken, Claims, Grant, Grants
from .signing import Overrides, SigningKey, half_hash, make_key, override, sign

#: The methods of clients with a secret, which it gets itself.
SECRET_METHODS = {"client_secret_basic", "client_secret_post"}
#: The response modes of signed answers.
SIGNED_MODES = ("jwt", "query.jwt", "form_post.jwt")
BACKCHANNEL_EVENT = "http://schemas.openid.net/event/backchannel-logout"


def _someone() -> Claims:
    return {
        "sub": "ada",
        "name": "Ada Lovelace",
        "preferred_username": "ada",
        "email": "ada@example.com",
        "email_verified": True,
        "picture": "https://example.com/ada.png",
    }


@dataclasses.dataclass(kw_only=True, eq=False)
class Settings:
    """One registration at one provider. Everything may be changed while it runs."""

    client_id: str = "the-client"
    #: None for a public client.
    client_secret: str | None = "the-secret"
    #: Those that are registered; None accepts any.
    redirect_uris: list[str] | None = None
    post_logout_redirect_uris: list[str] | None = None
    client_auth_methods: set[str] = dataclasses.field(
        default_factory=lambda: {"client_secret_basic", "client_secret_post"}
    )
    #: The client's public keys, as JWKs, for ``private_key_jwt``.
    client_keys: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    #: The algorithms by which they may sign.
    assertion_algorithms: list[str] = dataclasses.field(
        default_factory=lambda: ["ES256", "EdDSA", "PS256", "RS256"]
    )
    #: The audience of assertions; None for the issuer.
    assertion_audience: str | None = None
    #: The common name of the client's certificate, for ``tls_client_auth``; None for any.
    client_cert_name: str | None = None
    #: What it calls ``client_id``.
    client_id_param: str = "client_id"
    #: The scheme of an Authorization header that has an access token.
    bearer_scheme: str = "Bearer"
    #: Whether a token request may be JSON.
    json_requests: bool = False
    require_pkce: bool = False
    #: Whether a token request must have a proof, which tokens are then bound to (RFC 9449).
    dpop: bool = False
    #: The nonce that proofs must have; None where they need none.
    dpop_nonce: str | None = None
    #: Whether each answer brings a new nonce, in place of the former.
    rotate_nonces: bool = False
    #: What it calls tokens that are bound. ``"Bearer"`` binds refresh tokens alone.
    dpop_token_type: str = "DPoP"
    #: The scheme of the challenges of its API.
    dpop_scheme: str = "DPoP"
    #: Whether authorization requests must be pushed.
    require_par: bool = False
    #: Whether authorization requests must be signed.
    require_jar: bool = False

    #: The claims of who consents; None where nobody does.
    person: Claims | None = dataclasses.field(default_factory=_someone)
    #: Whether a page with a link (``#consent``) stands between request and answer.
    consent_page: bool = False
    #: When the person signed in at the provider: Unix seconds.
    signed_in_at: float = dataclasses.field(default_factory=time.time)
    #: What is granted, whatever was asked for.
    granted_scope: str | None = None

    #: Of access tokens, in seconds; None is not said, and never.
    expires_in: float | None = 3600
    #: Whether a code gets a refresh token.
    refreshable: bool = True
    #: Whether each refresh token counts once.
    rotate: bool = True
    #: Characters of a token.
    access_token_size: int = 43
    refresh_token_size: int = 43
    #: Laid over each token answer.
    token_overrides: dict[str, t.Any] = dataclasses.field(default_factory=dict)

    #: Whether answers to authorization requests have ``iss``.
    send_iss: bool = True
    #: Arguments of :meth:`signed_response` for those of the authorization endpoint.
    response_options: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    #: The part of the issuer behind the host.
    issuer_path: str = ""
    metadata_overrides: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    #: The first one signs; all are in the key set.
    keys: list[SigningKey] = dataclasses.field(default_factory=lambda: [make_key()])
    #: Whether an ID token says more of the person than ``sub``.
    claims_in_id_token: bool = True
    #: Arguments of :meth:`id_token` for those that the token endpoint issues.
    id_token_options: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    id_token_at_refresh: bool = True
    #: Makes the token endpoint's ID tokens of the claims they should have.
    id_token_maker: t.Callable[[Claims], str] | None = None
    #: Laid over each answer of UserInfo.
    userinfo_overrides: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    #: Whether UserInfo answers with a signed token.
    userinfo_signed: bool = False
    #: What registering a client needs; None for nothing.
    initial_access_token: str | None = None
    #: The URLs of the APIs that tokens are exchanged for; None is for a request without one.
    resources: set[str | None] = dataclasses.field(default_factory=set)
    #: Encrypts the ID tokens of the token endpoint, and the answers of UserInfo: see `encrypt`.
    encrypted_by: t.Callable[[str], str] | None = None

    def __post_init__(self) -> None:
        self.url = ""
        self.grants = Grants()
        #: The parameters of each authorization request.
        self.authorizations: list[dict[str, str]] = []
        #: Until when, in Unix seconds, a pushed request waits, and its parameters, by its URI.
        self.pushed: dict[str, tuple[float, dict[str, list[str]]]] = {}
        #: The parameters of each request for sign-out.
        self.sign_outs: list[dict[str, str]] = []
        #: The ``jti`` of each assertion that came.
        self.seen_jtis: set[str] = set()
        self._rotations = 0
        #: The claims of each proof that came, by its ``jti``.
        self.proofs: dict[str, dict[str, t.Any]] = {}
        self.proofs_lock = threading.Lock()

    @property
    def issuer(self) -> str:
        return self.url + self.issuer_path

    @property
    def api_url(self) -> str:
        return f"{self.url}/api"

    def find_problem(self, params: t.Mapping[str, str]) -> str | None:
        """What is wrong with the client or the redirect URI of an authorization request."""
        if params.get(self.client_id_param) != self.client_id:
            return "unknown client_id"
        redirect_uri, known = params.get("redirect_uri", ""), self.redirect_uris
        if redirect_uri not in known if known is not None else "://" not in redirect_uri:
            return f"redirect_uri is not registered: {redirect_uri!r}"
        return "redirect_uri has a fragment" if "#" in redirect_uri else None

    def metadata(self) -> dict[str, t.Any]:
        """OpenID Connect Discovery, section 3, and RFC 8414, section 2."""
        endpoints = {
            "authorization_endpoint": "/authorize",
            "token_endpoint": "/token",
            "userinfo_endpoint": "/userinfo",
            "revocation_endpoint": "/revoke",
            "device_authorization_endpoint": "/device",
            "registration_endpoint": "/register",
            "pushed_authorization_request_endpoint": "/par",
            "end_session_endpoint": "/logout",
            "jwks_uri": "/jwks",
        }
        methods = ["none"] if self.is_public else sorted(self.client_auth_methods)
        members = {
            "issuer": self.issuer,
            **{name: self.url + path for name, path in endpoints.items()},
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "form_post", *SIGNED_MODES],
            "grant_types_supported": [
                "authorization_code",
                "refresh_token",
                "client_credentials",
            ],
            "subject_types_supported": ["public"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "id_token_signing_alg_values_supported": sorted({key.alg for key in self.keys}),
            "authorization_signing_alg_values_supported": sorted({key.alg for key in self.keys}),
            "token_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": [
                *self.assertion_algorithms,
                "HS256",
            ],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": self.send_iss,
            "require_pushed_authorization_requests": self.require_par,
            "request_object_signing_alg_values_supported": self.assertion_algorithms,
            "require_signed_request_object": self.require_jar,
            "backchannel_logout_supported": True,
            "backchannel_logout_session_supported": True,
            "frontchannel_logout_supported": True,
            "frontchannel_logout_session_supported": True,
        }
        if self.dpop:
            members["dpop_signing_alg_values_supported"] = ["ES256"]
        return override(members, self.metadata_overrides)

    @property
    def is_public(self) -> bool:
        """Whether the client has nothing to authenticate with."""
        return self.client_secret is None and self.client_auth_methods <= SECRET_METHODS

    def jwks(self) -> dict[str, t.Any]:
        """The key set."""
        return {"keys": [key.public() for key in self.keys]}

    def rotate_keys(self, *algs: str) -> None:
        """Replace all keys by new ones.

        :param algs: what they are for; by default the same as before.
        """
        self._rotations += 1
        wanted = algs or tuple(key.alg for key in self.keys)
        self.keys = [make_key(alg, self._rotations * 100 + n) for n, alg in enumerate(wanted)]

    def id_token_claims(
        self, grant: Grant, access_token: str | None = None, alg: str | None = None
    ) -> Claims:
        """What an ID token should say: OpenID Connect Core, section 2."""
        now = int(time.time())
        claims = {
            **(grant.person if self.claims_in_id_token else {}),
            "iss": self.issuer,
            "sub": grant.person["sub"],
            "aud": self.client_id,
            "iat": now,
            "exp": now + 300,
            "auth_time": grant.auth_time,
            "sid": grant.sid,
        }
        optional = {"nonce": grant.nonce, "acr": grant.acr}
        if access_token is not None:
            optional["at_hash"] = half_hash(access_token, alg or self.keys[0].alg)
        return claims | {name: value for name, value in optional.items() if value is not None}

    def id_token(
        self,
        claims: Overrides | None = None,
        header: Overrides | None = None,
        *,
        key: SigningKey | bytes | None = None,
        alg: str | None = None,
        grant: Grant | None = None,
        access_token: str | None = None,
    ) -> str:
        """An ID token.

        :param claims: a value for a claim, ``...`` to take it away, or a function of its value.
        :param header: the same for the header.
        :param key: another key than the provider's first: bytes for HMAC.
        :param alg: to sign by; ``"none"`` signs nothing.
        :param grant: of the person; by default the newest.
        """
        hashed_by = alg or (key.alg if isinstance(key, SigningKey) else None)
        all_claims = self.id_token_claims(grant or self.latest_grant, access_token, hashed_by)
        return self.sign(override(all_claims, claims), header, key=key, alg=alg)

    def signed_response(
        self,
        params: t.Mapping[str, t.Any],
        claims: Overrides | None = None,
        header: Overrides | None = None,
        *,
        key: SigningKey | bytes | None = None,
        alg: str | None = None,
    ) -> str:
        """A signed authorization response: JARM, section 2.1.

        The parameters are those of :meth:`id_token`.

        :param params: those of the response.
        """
        own = {"iss": self.issuer, "aud": self.client_id, "exp": int(time.time()) + 120}
        all_claims = override({**params, **own}, claims)
        return self.encrypted(self.sign(all_claims, header, key=key, alg=alg))

    def logout_token(
        self,
        claims: Overrides | None = None,
        header: Overrides | None = None,
        *,
        key: SigningKey | bytes | None = None,
        alg: str | None = None,
        grant: Grant | None = None,
    ) -> str:
        """A logout token: OpenID Connect Back-Channel Logout, section 2.4.

        The parameters are those of :meth:`id_token`.
        """
        grant, now = grant or self.latest_grant, int(time.time())
        all_claims = {
            "iss": self.issuer,
            "sub": grant.person["sub"],
            "sid": grant.sid,
            "aud": self.client_id,
            "iat": now,
            "exp": now + 120,
            "jti": secrets.token_hex(8),
            "events": {BACKCHANNEL_EVENT: {}},
        }
        header = {"typ": "logout+jwt", **(header or {})}
        return self.sign(override(all_claims, claims), header, key=key, alg=alg)

    def sign(
        self,
        claims: t.Any,
        header: Overrides | None = None,
        *,
        key: SigningKey | bytes | None = None,
        alg: str | None = None,
    ) -> str:
        """Sign claims, or bytes, by the provider's first key, or as told: see :meth:`id_token`."""
        if alg == "none":
            return sign(claims, None, alg, header)
        key = self.keys[0] if key is None else key
        default = key.alg if isinstance(key, SigningKey) else "HS256"
        return sign(claims, key, alg or default, header)

    def encrypted(self, text: str) -> str:
        """A token as this provider sends it: encrypted, where it is set so."""
        return text if self.encrypted_by is None else self.encrypted_by(text)

    @property
    def latest_grant(self) -> Grant:
        """What the newest consent granted."""
        return self.grants.all[-1]

    def issue(self, grant: Grant, scope: str) -> AccessToken:
        """Make an access token, without any request."""
        access = self.grants.add_access(grant, scope, self.expires_in, self.access_token_size)
        access.jkt = grant.jkt if self.dpop_token_type.lower() == "dpop" else None
        return access
