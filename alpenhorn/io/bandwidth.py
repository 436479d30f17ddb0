"""The bandwidth limit among a node's settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alpenhorn.bwlimit import Rates, read
from alpenhorn.io.base import WrongSettings


def node_bwlimit(name: str, settings: Mapping[str, Any]) -> Rates:
    """Return the bandwidth limit in the setting `bwlimit` of a node, the same for every storage class.

    Raises WrongSettings: an invalid limit must not count as no limit.
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
