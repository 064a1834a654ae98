"""The labels by which a server-side store finds records, and the owner that is one of them."""

from __future__ import annotations

from ..protocol.errors import ConfigurationError
from ..protocol.identity import Identity
from .record import Record, default_owner
from .registration import Registration


def owner_of(identity: Identity) -> str:
    """Return the app's key for a person; by default, a key made of the account at the provider.

    :raises ConfigurationError: the identity has neither an owner nor an id.
    """
    owner = default_owner(identity) if identity.owner is None else identity.owner
    if owner is None:
        raise ConfigurationError(
            f"The login {identity.provider!r} does not know who signs in, so it has no owners:"
            " give its handler a userinfo_url, or set identity.owner in on_login.",
            row="no-account-id",
        )
    return owner


def owner_key(owner: object) -> str:
    """Return the app's own key for a person as text.

    :raises ConfigurationError: the key is None, "None" or empty. All people without a key would
        count as one person.
    """
    key = "" if owner is None else str(owner)
    if key in {"", "None"}:
        raise ConfigurationError(
            f"{owner!r} can't be an owner. Set identity.owner, and call session_for(), accounts()"
            " and unlink(), with your key for the person. A new user has a primary key only after"
            " a flush or commit of the database session.",
            row="owner",
        )
    return key


def labels_of(registration: Registration, record: Record) -> dict[str, str]:
    """Return a record's labels as keyed hashes; none if browsers keep the records."""
    if registration.store is None:
        return {}
    identity, keyed_hash = record.identity, registration.sealer.keyed_hash
    labels = {"provider": registration.name, "tenant": registration.tenant}
    if identity.id is not None:
        # Logout tokens name people by the provider's `sub`, even if the app uses another id.
        subject = str(record.id_claims.get("sub", identity.id))
        labels |= {"subject": subject, "owner": owner_of(identity)}
    if sid := record.id_claims.get("sid"):
        labels["sid"] = str(sid)
    return {name: keyed_hash(f"label:{name}", value) for name, value in labels.items()}


def grant_labels(registration: Registration, record: Record) -> dict[str, str]:
    """Return a grant's labels: not those by which a provider signs browsers out."""
    labels = labels_of(registration, record)
    return {"owner": labels["owner"], "provider": labels["provider"]}
