"""Logins that the provider confirms again after a while: ``OAuth2Login(…, revalidate=seconds)``."""

from __future__ import annotations

import logging
import time

from ..protocol.errors import LoginRequired, ProviderError, StoreError, see
from .extension import current_extension
from .renewal import can_confirm
from .request_scope import request_scope
from .stored_login import StoredLogin

log = logging.getLogger("flask_oauth2_login")


def revalidate(login: StoredLogin, seconds: float) -> bool:
    """Have the provider confirm a login, if it did so too long ago.

    While the provider is down, or can't be asked, the login stays as it is.

    :param seconds: how long ago is too long.
    :returns: False if the login has ended.
    """
    registration = login.registration
    source = login.token_source
    if source is None:
        return False
    if time.time() - source.record.confirmed_at < seconds:
        return True
    extension = current_extension()
    try:
        if not can_confirm(registration, source.record.token):
            if extension.once(f"unconfirmed {registration.name}"):
                log.error(
                    "%s: revalidate=%g can't be done for somebody's login: it has no refresh token,"
                    " and UserInfo can't be asked with its access token. Ask for a refresh token,"
                    " such as with the scope offline_access. %s",
                    registration.log_name,
                    seconds,
                    see("revalidate"),
                )
            return True
        source.confirming_since = source.record.confirmed_at
        extension.refresher.confirm(source)
    except LoginRequired:
        # Who is signed in is found out anew.
        request_scope().forget_logins()
        return False
    except (ProviderError, StoreError) as error:
        log.info("%s: a login could not be confirmed just now. %s", registration.log_name, error)
    finally:
        source.confirming_since = None
    return True
