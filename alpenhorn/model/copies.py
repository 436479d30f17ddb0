"""The states of a copy, as the daemon's tables have them."""

from enum import StrEnum


class HasFile(StrEnum):
    YES = "Y"
    NO = "N"
    MAYBE = "M"
    CORRUPT = "X"


class WantsFile(StrEnum):
    YES = "Y"
    MAYBE = "M"
    NO = "N"
