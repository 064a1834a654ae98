"""The mark of sentences for visitors, which pages translate when they show them."""

from __future__ import annotations


def gettext_noop(text: str) -> str:
    """Return a text as it is. The call marks it for the translations: GNU gettext's word."""
    return text
