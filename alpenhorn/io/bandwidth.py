"""The bandwidth limit among a node's settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alpenhorn.bwlimit import Rates, read
from alpenhorn.io.base import WrongSettings


def node_bwlimit(name: str, settings: Mapping[str, Any]) -> Rates:
    """What the key `bwlimit` sets for a node of that name; it means the same for every storage class.

    Raises WrongSettings: a limit that cannot be read is not no limit.
    """
    if "bwlimit" not in settings:
        return ()
    try:
        return read(settings["bwlimit"])
    except ValueError as error:
        faults = "; ".join(f"bwlimit{fault}" for fault in error.args)
        raise WrongSettings(
            f"node {name}", f"io_config of node {name}: {faults}", "--io-var bwlimit=VALUE"
        ) from None
