"""The values of the columns `has_file` and `wants_file`."""

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
