"""The networks that can be built, by name: torchvision's, timm's and the tests' own."""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache

import timm

from scripts.artifacts.errors import NetworkError
from scripts.artifacts.networks.architecture import ModuleArchitecture
from scripts.artifacts.networks.timm_networks import PREFIX, efficientnet_lite0, timm_network
from scripts.artifacts.networks.tiny import TINY
from scripts.artifacts.networks.torchvision_networks import (
    torchvision_names,
    torchvision_network,
)

OWN_NAMES = {"tiny": lambda: TINY, "efficientnet_lite0": efficientnet_lite0}
"""Names that are neither torchvision's nor timm's."""


@lru_cache
def find_network(name: str) -> ModuleArchitecture:
    """Returns the network of a name: torchvision's as it is, timm's with ``timm/`` before it.

    Raises:
        NetworkError: there is no network of that name.
    """
    if name in OWN_NAMES:
        return OWN_NAMES[name]()
    if name in torchvision_names():
        return torchvision_network(name)
    if name.startswith(PREFIX) and timm.is_model(name.removeprefix(PREFIX)):
        return timm_network(name.removeprefix(PREFIX))
    known = [*OWN_NAMES, *torchvision_names(), *(PREFIX + n for n in timm.list_models())]
    near = get_close_matches(name, known, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise NetworkError(
        f"expected a classifier of torchvision, or of timm as timm/NAME, got {name}{hint}"
    )
