"""Seal stored records anew, after the app's secret has changed."""

from __future__ import annotations

from .protocol.errors import ConfigurationError
from .session.lifetime import expires_at
from .session.registration import Registration, server_store
from .session.store_labels import grant_labels, labels_of
from .session.stored_login import open_record, seal_record
from .stores.base import TokenStore, all_ids


def reseal(registration: Registration) -> int:
    """Seal a login's records with the newest secret, and label them by it.

    :returns: the number of records that were sealed anew.
    :raises ConfigurationError: browsers keep the records, or the store can't label them anew.
    """
    store = server_store(registration)
    if not hasattr(store, "relabel"):
        raise ConfigurationError(
            f"{type(store).__name__} has no relabel(id, labels), which makes labels of an older"
            " secret needless: see TokenStore.",
            row="store-methods",
        )
    return sum(_reseal_one(registration, store, name) for name in all_ids(store))


def _reseal_one(registration: Registration, store: TokenStore, name: str) -> bool:
    """Return True if a record was this login's, and sealed with an older secret."""
    sealer, anew = registration.sealer, False
    while stored := store.read(name):
        record = open_record(registration, stored.sealed)
        if record is None:
            return False
        # A refresh since the change has sealed the record anew, but has not labelled it.
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
