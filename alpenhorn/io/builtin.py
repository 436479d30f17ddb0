"""The storage classes that come with alpenhorn, each imported when it is first asked for."""

from __future__ import annotations

from importlib import import_module

from alpenhorn.io.base import StorageClass

# The name in `io_class` to the module below alpenhorn.io and the StorageClass in it.
BUILT_IN = {
    "Default": ("default", "DEFAULT"),
    "LustreHSM": ("lustre_hsm", "LUSTRE_HSM"),
    "LustreQuota": ("lustre_quota", "LUSTRE_QUOTA"),
    "Transport": ("transport", "TRANSPORT"),
}


def built_in(name: str) -> StorageClass:
    """`name` is one of BUILT_IN."""
    module, attribute = BUILT_IN[name]
    found: StorageClass = getattr(import_module(f"alpenhorn.io.{module}"), attribute)
    return found
