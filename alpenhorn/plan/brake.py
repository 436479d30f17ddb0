"""The brake: a mass deletion is more often a mistake than a wish."""

from __future__ import annotations

from alpenhorn.config import DeleteLimit
from alpenhorn.reasons import Code, Reason

FEW = 1000  # on a node with no more files a share would stop ordinary work


def most(copies: int, limit: DeleteLimit) -> int | None:
    """How many copies one run may delete from a node that has so many; None: any number."""
    if limit.files is not None:
        return limit.files
    # A share such as 0.29 of 1,100 is 318.99… in floating point.
    return int(copies * limit.share + 1e-6) if copies > FEW else None


def least(limit: DeleteLimit) -> int:
    """What one run may delete from any node, however many copies it has."""
    return int(FEW * limit.share) if limit.files is None else limit.files


def told(node: str, copies: int, released: int, allowed: int) -> Reason:
    """What the user is told: how many of how many, and what to do in either case."""
    return Code.DELETE_LIMIT_EXCEEDED(node=node, copies=copies, released=released, allowed=allowed)
