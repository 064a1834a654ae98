"""`TenantLogin`: a login where each tenant has its own provider, ``OAuth2Login(…, tenant=…)``."""

from __future__ import annotations

import dataclasses
import logging
import time
import typing as t
from collections import OrderedDict
from concurrent.futures import Future

from werkzeug.exceptions import NotFound

from ..protocol.errors import ConfigurationError, ProviderUnavailableError, see
from ..protocol.fork_safe import ForkSafe
from .registration import Login, Registration

log = logging.getLogger("flask_oauth2_login")

#: The most bytes of a tenant's name. A host name has 253 at most.
MAX_NAME = 255


@dataclasses.dataclass(frozen=True, kw_only=True)
class TenantLogin(Login):
    """A login with tenants, and the registrations of those that were used last."""

    #: The variable of the login's URLs that names the tenant, or a function that reads the request.
    source: str | t.Callable[[], t.Any]
    #: Makes the registration of a tenant; None if there is no such tenant.
    make: t.Callable[[str], Registration | None]
    cache: TenantCache

    def find(self, tenant: str) -> Registration | None:
        """Return the registration of a tenant; None if there is no such tenant.

        :raises ProviderUnavailableError: it can't be made.
        """
        # What can't be shown could be mistaken for another name, in logs and by people.
        if not tenant.isprintable() or not 0 < len(tenant.encode()) <= MAX_NAME:
            return None
        return self.cache.get(tenant, self._make)

    def _make(self, tenant: str) -> Registration | None:
        try:
            return self.make(tenant)
        except NotFound:
            # As `get_or_404` of Flask-SQLAlchemy says it.
            return None
        except Exception:
            log.exception(
                "%s: the provider of the tenant %r can't be made. %s",
                self.name,
                tenant,
                see("tenant-provider"),
            )
            raise ProviderUnavailableError(
                f"The provider of the tenant {tenant!r} can't be made.", row="tenant-provider"
            ) from None


class TenantCache(ForkSafe):
    """The registrations of the tenants that were used last, each made once.

    A tenant that does not exist, and one that can't be made, is not kept: names that somebody
    invents take no room from others.

    :param size: how many are kept.
    :param seconds: how long one is kept.
    """

    def __init__(self, size: int, seconds: float) -> None:
        self._size = size
        self._seconds = seconds
        #: The registrations, and until when they are kept (`time.monotonic`).
        self._kept: OrderedDict[str, tuple[Registration, float]] = OrderedDict()
        #: Those that a thread is making.
        self._in_flight: dict[str, Future[Registration | None]] = {}
        super().__init__()

    def get(self, tenant: str, make: t.Callable[[str], Registration | None]) -> Registration | None:
        """Return a tenant's registration. One thread makes it, and the others wait."""
        while True:
            with self._lock:
                registration, until = self._kept.get(tenant, (None, 0.0))
                if registration is not None and time.monotonic() < until:
                    self._kept.move_to_end(tenant)
                    return registration
                future = self._in_flight.get(tenant)
                if mine := future is None:
                    future = self._in_flight[tenant] = Future()
            if mine:
                return self._run_single_flight(future, tenant, make)
            try:
                return future.result()
            except ProviderUnavailableError as error:
                # Raising an error adds a traceback to it, so each thread raises its own.
                raise ProviderUnavailableError(error.message, row=error.row) from None
            except _AbandonedError:
                # The other thread was interrupted, or the tenant forgotten meanwhile.
                continue

    def _run_single_flight(
        self,
        future: Future[Registration | None],
        tenant: str,
        make: t.Callable[[str], Registration | None],
    ) -> Registration | None:
        try:
            registration = make(tenant)
        except BaseException as error:
            self._finish(future, tenant, None)
            known = isinstance(error, ProviderUnavailableError)
            future.set_exception(error if known else _AbandonedError())
            raise
        if self._finish(future, tenant, registration):
            future.set_result(registration)
        else:
            # What was made may be outdated. Whoever asked before the change may still get it.
            future.set_exception(_AbandonedError())
        return registration

    def _finish(
        self, future: Future[Registration | None], tenant: str, registration: Registration | None
    ) -> bool:
        """Keep a registration. Return False if the tenant was forgotten while it was made."""
        with self._lock:
            if self._in_flight.get(tenant) is not future:
                return False
            del self._in_flight[tenant]
            self._kept.pop(tenant, None)
            if registration is not None:
                self._kept[tenant] = registration, time.monotonic() + self._seconds
                while len(self._kept) > self._size:
                    self._kept.popitem(last=False)
            return True

    def forget(self, tenant: str) -> None:
        """Drop a tenant's registration, also one that a thread is making just now."""
        with self._lock:
            self._kept.pop(tenant, None)
            self._in_flight.pop(tenant, None)

    def _after_fork(self) -> None:
        # The threads that make them are the parent's.
        self._in_flight = {}


class _AbandonedError(Exception):
    """A thread that waits has to ask again."""


def make_cache(size: t.Any, seconds: t.Any) -> TenantCache:
    """Return a cache with the limits that ``OAuth2Login`` was given.

    :raises ConfigurationError: one is no positive number.
    """
    for name, value, kinds in (
        ("tenant_cache_size", size, (int,)),
        ("tenant_cache_seconds", seconds, (int, float)),
    ):
        if type(value) not in kinds or not value > 0:
            raise ConfigurationError(
                f"{name}={value!r} is not a positive number.", row="option-value"
            )
    return TenantCache(size, seconds)
