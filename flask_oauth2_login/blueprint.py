"""`OAuth2Login`: the blueprint, its views, and its registration with an app."""

from __future__ import annotations

import functools
import inspect
import typing as t

from flask import Blueprint, Response, request

from .arguments import BlueprintOptions, check_provider
from .client.option_values import list_of, read_seconds, refuse_unknown_names
from .later import Later
from .protocol.roles import read_rules
from .protocol.scope import Scope
from .protocol.tracebacks import without_locals
from .session.login_options import LoginHooks, LoginOptions, LoginPlan, OnLogin, OnLogout
from .web.demands import check_params

if t.TYPE_CHECKING:
    from . import jobs, key_rotation, registering, sign_ins
    from .client import oauth2
    from .client.session import OAuth2Session
    from .protocol.identity import Identity
    from .protocol.token import Token
    from .session import client_token, current_login, tenants
    from .session.registration import Registration
    from .sign_ins import SignIn
else:
    jobs, key_rotation, registering = map(Later, ("jobs", "key_rotation", "registering"))
    sign_ins = Later("sign_ins")
    client_token, current_login = Later("session.client_token"), Later("session.current_login")
    oauth2, tenants = Later("client.oauth2"), Later("session.tenants")


class OAuth2Login(Blueprint):
    """A blueprint with ``/login``, ``/callback`` and ``/logout`` for one provider.

    .. code-block:: python

        app.register_blueprint(OAuth2Login("github", scope="read:user"))

    Register ``https://<host><url_prefix>/callback`` with the provider.

    :param provider: a handler (:class:`OAuth2`, :class:`OpenIDConnect`), or the name of a preset,
        whose credentials are in ``app.config["<NAME>_CLIENT_ID"]`` and
        ``["<NAME>_CLIENT_SECRET"]``. With ``tenant``: a function that takes a tenant's name, and
        returns the handler of that tenant, or None if there is no such tenant.
    :param name: the login's name; by default the preset's, else ``"oauth2"``.
    :param preset: the fields and variables of the preset to set, in one dictionary, such as
        ``{"site": "https://gitlab.example.com"}`` or ``{"tenant": "contoso"}``. ``app.config`` can
        set them too, by keys such as ``GITLAB_SITE`` and ``MICROSOFT_TENANT``.
    :param scope: the scopes to request, as a string or an iterable; by default the preset's.
    :param store: where records are stored: ``"cookie"`` (the default) or ``"session"``, in the
        browser; a URL such as ``"sqlite:///logins.db"``, ``"postgresql+psycopg://…"`` or
        ``"redis://…"``, on the server; or a :class:`TokenStore`. Without it, the setting
        ``OAUTH2_LOGIN_STORE`` counts.
    :param claims: the names of further claims to keep in ``identity.claims``.
    :param roles: where the provider's answers have a person's roles or groups, for
        ``identity.roles``: a path such as ``"realm_access.roles"``, or a list of paths; by default
        the preset's. Roles come from the ID token, an access token that is a JWT of the issuer, or
        UserInfo, whichever has the path first.
    :param role_names: the app's name for each of the provider's roles: ``{"sso-admins": "admin"}``.
        Roles that it does not name are dropped.
    :param revalidate: after how many seconds a guarded request has the provider confirm the login
        again: by a refresh, and by UserInfo where claims or roles came from there. A refusal ends
        the login.
    :param offline: True to keep each person's token for jobs (:meth:`session_for`), in a record of
        its own. A sign-out keeps that record, and :meth:`unlink` ends it. It needs a server-side
        store. The authorization request asks for a refresh token by what the handler's option
        ``offline`` names.
    :param keep_id_token: True to keep the ID token, which some providers need for signing out
        there; False not to. By default it is kept if the provider has an ``end_session_endpoint``
        and, where browsers keep the records, if one cookie has room for it.
    :param authorize_params: further parameters of each authorization request, such as
        ``{"prompt": "select_account"}``. A link or a view of the app may override them, but not
        lower ``scope``, ``max_age``, ``acr_values`` or an essential ``acr`` in ``claims``: these
        are combined, and checked.
    :param tenant: for an app whose customers bring their own providers: the variable of the URL
        that names the tenant (``url_prefix="/<org>/sso"``, ``tenant="org"``), or a function without
        arguments that reads the request and returns the tenant's name, or None. A login of one
        tenant is nobody at another. See docs/tenants.md.
    :param tenant_cache_size: how many tenants' handlers each process keeps.
    :param tenant_cache_seconds: after how many seconds a handler is made anew.
    :param host: the host of the login's URLs, in an app with ``host_matching=True``. It may have
        variables: ``host="<host>"`` is any.
    :param label: what people call the provider: "Sign in with <label>". By default the preset's,
        or the handler's option ``label``.
    :param logo: the URL of an image for the button: a path of this site, or an https URL.
    :param blueprint: the keyword arguments of ``flask.Blueprint``: ``url_prefix``, ``subdomain``, …
    :raises ConfigurationError: at registration, if an option or a setting can't work.
    """

    def __init__(
        self,
        provider: str | oauth2.OAuth2 | t.Callable[[str], oauth2.OAuth2 | None],
        *,
        name: str | None = None,
        preset: t.Mapping[str, t.Any] | None = None,
        scope: Scope | None = None,
        store: t.Any = None,
        claims: t.Iterable[str] = (),
        roles: str | t.Sequence[str] | None = None,
        role_names: t.Mapping[str, str] | None = None,
        revalidate: float | None = None,
        offline: bool = False,
        keep_id_token: bool | None = None,
        authorize_params: t.Mapping[str, t.Any] | None = None,
        tenant: str | t.Callable[[], str | None] | None = None,
        tenant_cache_size: int = 256,
        tenant_cache_seconds: float = 600,
        host: str | None = None,
        label: str | None = None,
        logo: str | None = None,
        **blueprint: t.Unpack[BlueprintOptions],
    ) -> None:
        check_provider(provider, preset, tenant)
        refuse_unknown_names("OAuth2Login", _KNOWN_OPTIONS, blueprint)
        default = provider if isinstance(provider, str) else "oauth2"
        blueprint.setdefault("template_folder", "templates")
        super().__init__(name or default, "flask_oauth2_login", **blueprint)
        limits = (tenant_cache_size, tenant_cache_seconds)
        options = LoginOptions(
            claims=tuple(list_of("claims", claims)),
            offline=offline,
            keep_id_token=keep_id_token,
            authorize_params=check_params("authorize_params", authorize_params or {}),
            roles=read_rules(roles, role_names),
            revalidate=read_seconds("revalidate", revalidate),
            label=label,
            logo=logo,
        )
        self._plan = LoginPlan(provider, preset, self.name, scope, store, options, tenant, limits)
        self._hooks = LoginHooks()
        self.record(functools.partial(_add_views, host))
        self.after_request(_mark_private)

    # -- registration

    def register(self, app: t.Any, options: dict[str, t.Any]) -> None:
        prefix, name = options.get("name_prefix", ""), options.get("name", self.name)
        full_name = f"{prefix}.{name}".lstrip(".")
        add_urls = functools.partial(super().register, app, options)
        registering.register_login(app, full_name, self._plan, self._hooks, add_urls)

    # -- hooks

    def on_login(self, function: OnLogin) -> OnLogin:
        """Decorate a function that is called with ``(identity, token)`` after a sign-in.

        It may set ``identity.owner`` (your key for the user), call Flask-Login's ``login_user``,
        and return a response to send in place of the redirect. If it raises an exception, such as
        ``abort(403)``, the sign-in is undone: the session is as before, and no token is kept.
        """
        self._hooks.on_login.append(function)
        return function

    def on_logout(self, function: OnLogout) -> OnLogout:
        """Decorate a function that is called with ``(identity)`` before a sign-out.

        Call Flask-Login's ``logout_user`` here, or its remember cookie survives the sign-out.
        """
        self._hooks.on_logout.append(function)
        return function

    # -- who is signed in at this login

    @property
    @without_locals
    def session(self) -> OAuth2Session:
        """The :class:`OAuth2Session` of the person who is signed in at this login.

        :raises LoginRequired: nobody is signed in.
        """
        return current_login.find_session(self._here())

    @property
    @without_locals
    def token(self) -> Token | None:
        """The token of the person who is signed in at this login; None if nobody is."""
        registration = self._here()
        return current_login.find_token(registration) if registration is not None else None

    @property
    @without_locals
    def identity(self) -> Identity | None:
        """The identity of the person who is signed in at this login; None if nobody is."""
        return current_login.find_identity(self._here())

    # -- for jobs, and for the app itself

    @without_locals
    def session_for(
        self, owner: str, account: str | None = None, *, tenant: str | None = None
    ) -> OAuth2Session:
        """Return a person's session for a job, a command or a webhook, within an app context.

        .. code-block:: python

            @celery.task
            def sync(user_id):
                github.session_for(user_id).get("/user/repos")

        :param owner: the app's key for the person, as ``on_login`` set it.
        :param account: the ``identity.id`` of one account, if the person may have several.
        :param tenant: the tenant, at a login with tenants; by default that of this request.
        :raises LoginRequired: the person has no such login any more. The session's calls raise it
            too, if the login ends later.
        :raises ConfigurationError: browsers keep the records of this login.
        """
        return jobs.session_for(self._for(tenant), owner, account)

    @without_locals
    def accounts(self, owner: str, *, tenant: str | None = None) -> list[Identity]:
        """Return a person's accounts at this login, each once.

        :param owner: the app's key for the person, as ``on_login`` set it.
        :param tenant: as for :meth:`session_for`.
        :raises ConfigurationError: browsers keep the records of this login.
        """
        return jobs.accounts(self._for(tenant), owner)

    @without_locals
    def unlink(self, owner: str, id: str, *, tenant: str | None = None) -> bool:
        """End a person's logins and grant of one account, and revoke their tokens.

        :param owner: the app's key for the person, as ``on_login`` set it.
        :param id: the account's ``identity.id``.
        :param tenant: as for :meth:`session_for`.
        :returns: False if there was nothing to end.
        :raises ConfigurationError: browsers keep the records of this login.
        """
        return jobs.unlink(self._for(tenant), owner, id)

    @without_locals
    def sign_ins(self, owner: str, *, tenant: str | None = None) -> list[SignIn]:
        """Return where a person is signed in at this login: this browser first, then by last use.

        :param owner: the app's key for the person, as ``on_login`` set it.
        :param tenant: as for :meth:`session_for`.
        :raises ConfigurationError: browsers keep the records of this login.
        """
        return sign_ins.list_sign_ins(self._for(tenant), owner)

    @without_locals
    def end_sign_ins(
        self,
        owner: str,
        *ids: str,
        except_current: bool = False,
        tenant: str | None = None,
    ) -> int:
        """End a person's sign-ins at this login, and revoke their tokens.

        A grant (``offline=True``) stays, as after a sign-out. If browsers keep the records, a
        sign-in in another browser ends, and its tokens are revoked, when that browser comes back.

        :param owner: the app's key for the person, as ``on_login`` set it.
        :param ids: the `SignIn.id` of each sign-in to end; without one, all end.
        :param except_current: True to leave the sign-in of this request's browser.
        :param tenant: as for :meth:`session_for`.
        :returns: how many sign-ins have ended by now.
        :raises ConfigurationError: there are ``ids``, and browsers keep the records.
        """
        registration = self._for(tenant)
        return sign_ins.end_sign_ins(registration, owner, ids, except_current=except_current)

    @without_locals
    def reseal(self, *, tenant: str | None = None) -> int:
        """Seal and label this login's records with the newest secret.

        After that, the records in the store don't need the older secrets in
        ``SECRET_KEY_FALLBACKS`` any more. Cookies in browsers still do.

        :param tenant: the tenant whose records are meant, at a login with tenants.
        :returns: the number of records that were sealed anew.
        :raises ConfigurationError: browsers keep the records of this login.
        """
        return key_rotation.reseal(self._for(tenant))

    @without_locals
    def client_session(self, scope: Scope = "", *, tenant: str | None = None) -> OAuth2Session:
        """Return a session for the app itself, with nobody signed in: RFC 6749, section 4.4.

        Its token is fetched and refreshed once for all processes of this machine, or with a
        server-side store, of all machines. An app context is enough.

        :param scope: the scopes to request, as a string or an iterable.
        :param tenant: as for :meth:`session_for`.
        """
        registration = self._for(tenant)
        return client_token.client_session(registration, registration.handler.join_scope(scope))

    def forget_tenant(self, tenant: str) -> None:
        """Make a tenant's handler anew when it is next needed, because the app has changed its row.

        This process forgets it. Others do so after ``tenant_cache_seconds``.
        """
        tenants.forget_tenant(current_login.find_own_login(self._hooks, self.name), tenant)

    def _here(self) -> Registration | None:
        """Return this login's registration for this request; None if it has no tenant there."""
        return tenants.registration_here(current_login.find_own_login(self._hooks, self.name))

    def _for(self, tenant: str | None) -> Registration:
        return tenants.registration_for(
            current_login.find_own_login(self._hooks, self.name), tenant
        )


def _add_views(host: str | None, state: t.Any) -> None:
    registering.add_views(state, host)


def _mark_private(response: Response) -> Response:
    """Mark every response of the blueprint private, including the app's own error pages.

    The client's public keys are the exception.
    """
    headers = response.headers
    if not (response.status_code == 200 and registering.is_public(request.endpoint)):
        headers["Cache-Control"] = "no-store"
    # Werkzeug raises and catches an error to find out that a header is missing.
    if "referrer-policy" not in [name.lower() for name, _ in headers]:
        headers.add("Referrer-Policy", "no-referrer")
    return response


#: The names of all arguments of `OAuth2Login`.
_KNOWN_OPTIONS = frozenset({
    *inspect.signature(OAuth2Login.__init__).parameters,
    *BlueprintOptions.__annotations__,
}) - {"self", "blueprint"}  # fmt: skip
