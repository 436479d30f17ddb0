"""The built-in storage classes, each imported when first used."""

from __future__ import annotations

from importlib import import_module

from alpenhorn.io.base import StorageClass

# io_class: (module below alpenhorn.io, name of the StorageClass in it)
BUILT_IN = {
    "Default": ("default", "DEFAULT"),
    "LustreHSM": ("lustre_hsm", "LUSTRE_HSM"),
    "LustreQuota": ("lustre_quota", "LUSTRE_QUOTA"),
    "Rclone": ("rclone", "RCLONE"),
    "Transport": ("transport", "TRANSPORT"),
}


def built_in(name: str) -> StorageClass:
    """Return a built-in storage class; `name` must be in BUILT_IN."""
    module, attribute = BUILT_IN[name]
    found: StorageClass = getattr(import_module(f"alpenhorn.io.{module}"), attribute)
    return found
