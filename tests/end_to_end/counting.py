"""`alpenhorn`, which also appends to a file, named by the first argument, how much work each statement is for SQLite.

A line has the number of steps of the virtual machine, in thousands, a tab, and the statement with its values, for each
statement of at least a thousand steps.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

from alpenhorn.index.rows import Connection

STEPS = 1000


class Counts:
    """The statements of this process.  `running`: the one that was begun last."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.running = ""
        self.thousands: Counter[str] = Counter()

    def watch(self, connection: Connection) -> None:
        connection.set_trace_callback(self._begin)
        connection.set_progress_handler(self._passed, STEPS)

    def _begin(self, sql: str) -> None:
        self.running = sql

    def _passed(self) -> int:
        self.thousands[self.running] += 1
        return 0

    def write(self) -> None:
        with open(self.path, "a") as file:
            file.writelines(f"{count}\t{' '.join(sql.split())}\n" for sql, count in self.thousands.items())


def main() -> None:
    counts = Counts(sys.argv.pop(1))
    created = Connection.__init__

    def create(self: Connection, *args: Any, **kwargs: Any) -> None:
        created(self, *args, **kwargs)
        counts.watch(self)

    Connection.__init__ = create  # type: ignore[method-assign]
    from alpenhorn.cli.main import main as command

    try:
        status = command()
    finally:
        counts.write()
    sys.exit(status)


if __name__ == "__main__":
    main()
