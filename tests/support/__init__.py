"""What tests are made of: a provider, servers, apps, browsers, and assertions."""

from __future__ import annotations

from pathlib import Path

#: The folder that the project is in.
ROOT = Path(__file__).parents[2]
