"""Data of retirements: the state of a retired node, its copies, and what is known of their files elsewhere."""

from __future__ import annotations

import datetime
from typing import NamedTuple


class Retirement(NamedTuple):
    """A row of sync_retirement.

    `releases`: its copies are released once enough others exist.  `declared_lost`: its medium is gone.  `compared_at`:
    when its copies were last compared with those elsewhere, naive UTC by the server's clock; `event_id`: the newest
    event at that time.  `stuck` and `nowhere`: numbers of files that could not be requested, and that have no good
    copy anywhere, at that time.  `cancelled`: it is not retired any more, but its requests and releases may not be
    undone yet.
    """

    node_id: int
    began: datetime.datetime | None
    releases: bool = False
    declared_lost: bool = False
    compared_at: datetime.datetime | None = None
    event_id: int = 0
    stuck: int = 0
    nowhere: int = 0
    cancelled: bool = False


class RetiringCopy(NamedTuple):
    """A copy on a retired node, or one that is missing there and wanted.

    `good`: number of good copies on archive nodes elsewhere that are not released.
    """

    copy_id: int
    file_id: int
    has_file: str
    wants_file: str
    size_b: int | None
    good: int


class CopyElsewhere(NamedTuple):
    node_id: int
    has_file: str
    wants_file: str


class PendingRequest(NamedTuple):
    group_id: int
    source_id: int


class RetiringFile(NamedTuple):
    """A file of which too few good copies are elsewhere: its copy on the retired node, and all that is elsewhere."""

    copy: RetiringCopy
    elsewhere: tuple[CopyElsewhere, ...] = ()
    requests: tuple[PendingRequest, ...] = ()
