"""Sealing what rests on the server anew, after the app's secret has changed."""

from __future__ import annotations

from .protocol.errors import ConfigurationError
from .session.extension import current_extension
from .session.labels import grant_labels, labels_of
from .session.registration import Registration
from .session.stored_login import expires_at, open_record, seal_record, server_store
from .stores.base import TokenStore

#: Records to look at in one go.
PAGE = 500


def reseal(registration: Registration) -> int:
    """Seal a login's records with the newest secret, and label them by it.

    :returns: how many were sealed anew.
    :raises ConfigurationError: records don't rest on the server, or can't be labelled anew.
    """
    store, count = server_store(registration), 0
    if not hasattr(store, "relabel"):
        raise ConfigurationError(
            f"{type(store).__name__} has no relabel(id, labels), which makes labels of an older"
            " secret needless: see TokenStore."
        )
    page = store.scan(None, PAGE)
    while page:
        count += sum(_reseal_one(registration, store, name) for name in page)
        page = store.scan(page[-1], PAGE) if len(page) == PAGE else []
    return count


def _reseal_one(registration: Registration, store: TokenStore, name: str) -> bool:
    """Whether a record was this login's, and sealed with an older secret."""
    sealer, anew = current_extension().sealer, False
    while stored := store.read(name):
        record = open_record(registration, stored.sealed)
        if record is None:
            return False
        # Whoever renewed it since the secret changed has sealed it, but not labelled it.
        labels = (
            grant_labels(registration, record)
            if record.is_grant
            else labels_of(registration, record)
        )
        store.relabel(name, labels)
        if sealer.is_current(stored.sealed, "record", *registration.context):
            return anew
        sealed, end = seal_record(registration, record), expires_at(registration.config, record)
        anew = store.replace(name, sealed, stored.version, end) == "replaced"
    return anew
