"""Packs larger answers for clients that can unpack them. Streams are left alone: a packer would hold words back."""

from __future__ import annotations

from typing import Final

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

# One network packet; below that nothing is gained.
_FROM_BYTES: Final = 1400
# Most of the gain at a fraction of the highest level's time.
_LEVEL: Final = 4


def packed(app: ASGIApp) -> ASGIApp:
    """Wrap an application."""
    return GZipMiddleware(app, minimum_size=_FROM_BYTES, compresslevel=_LEVEL)
