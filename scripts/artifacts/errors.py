"""The error of a network that this project cannot build."""

from __future__ import annotations


class NetworkError(Exception):
    """A network that cannot be built: one line with what was expected and found, and what to do."""
