"""Records conditions in the index, so that each run knows what earlier runs have reported."""

from __future__ import annotations

from collections.abc import Sequence

from alpenhorn.index.connection import Index
from alpenhorn.index.times import naive
from alpenhorn.model.conditions import Condition

KEY = ("host", "code", "subject")
COLUMNS = (*KEY, "why", "began", "seen", "reported")


def write(index: Index, host: str, written: Sequence[Condition], removed: Sequence[Condition]) -> None:
    if not (written or removed):
        return

    def work() -> None:
        index.executemany(
            "DELETE FROM sync_condition WHERE host = ? AND code = ? AND subject = ?",
            [(host, *one.key) for one in removed],
        )
        index.executemany(
            index.upsert("sync_condition", COLUMNS, KEY, COLUMNS[3:]),
            [
                (
                    host,
                    *one.key,
                    one.why,
                    naive(one.began),
                    naive(one.seen),
                    None if one.reported is None else naive(one.reported),
                )
                for one in written
            ],
        )

    index.retry(work)
