"""UserInfo asked again for a login that exists, to learn what the provider says of it now."""

from __future__ import annotations

import typing as t

from ..protocol.errors import IDTokenError, ProviderAnswerError
from ..protocol.identity import Identity, make_identity
from ..protocol.token import Token
from . import userinfo
from .endpoints import sources_of
from .oauth2 import OAuth2
from .openid import OpenIDConnect


def ask_again(
    handler: OAuth2, token: Token, identity: Identity, id_claims: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """Return what UserInfo says of somebody who is signed in.

    :param identity: who signed in.
    :param id_claims: the claims of the newest ID token, if there is one.
    :raises IDTokenError: it is about somebody else, or a check of its signature failed.
    :raises UserInfoRefusedError: it rejects the token.
    :raises ProviderError: it can't be reached, or sends something else.
    """
    if not token.access_token:
        raise ProviderAnswerError("UserInfo can't be asked without an access token.")
    api, url = handler.resource_server, handler.completed("userinfo_url", sources_of(token))
    url = userinfo.add_params(url, handler.userinfo_params, token)
    method = handler.userinfo_method
    if isinstance(handler, OpenIDConnect):
        members = userinfo.fetch_claims(
            api, method, url, token, handler.make_verifier, handler.decrypt
        )
        numeric = handler.numeric_sub
        return userinfo.merge_claims({"sub": id_claims.get("sub")}, members, numeric_sub=numeric)
    body = userinfo.make_body(handler.userinfo_query, handler.userinfo_form, token)
    members = userinfo.fetch_userinfo(api, method, url, token, body)
    if make_identity(members, fields=handler.identity, token=token).id != identity.id:
        raise IDTokenError("UserInfo is about somebody else")
    return members
