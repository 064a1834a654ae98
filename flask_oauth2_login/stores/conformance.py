"""The documented name of the tests that any `TokenStore` must pass.

They are in :mod:`flask_oauth2_login.testing.stores`.
"""

from __future__ import annotations

from ..testing.stores import Elsewhere as Elsewhere
from ..testing.stores import StoreConformance as StoreConformance
