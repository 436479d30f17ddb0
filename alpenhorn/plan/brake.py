"""The limit on mass deletions, which are more often mistakes than intended."""

from __future__ import annotations

from alpenhorn.config import DeleteLimit
from alpenhorn.reasons import Code, Reason

FEW = 1000  # copies; a share of so few would stop ordinary work


def most(copies: int, limit: DeleteLimit) -> int | None:
    """Return the number of copies that one run may delete from a node with `copies` copies; None for no limit."""
    if limit.files is not None:
        return limit.files
    # A share such as 0.29 of 1,100 is 318.99… in floating point.
    return int(copies * limit.share + 1e-6) if copies > FEW else None


def least(limit: DeleteLimit) -> int:
    """Return the number of copies that one run may delete from any node."""
    return int(FEW * limit.share) if limit.files is None else limit.files


def limit_exceeded(node: str, copies: int, released: int, allowed: int) -> Reason:
    """Return the reason for deleting nothing, with the numbers and both remedies."""
    return Code.DELETE_LIMIT_EXCEEDED(node=node, copies=copies, released=released, allowed=allowed)
