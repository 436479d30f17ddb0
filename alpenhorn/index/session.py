"""A session of mysqlclient whose answers are waited for in Python.

Its own calls wait within C, where no handler of a signal runs: a server that is stopped would hold a run for ever,
whatever it is sent.  Imports mysqlclient, so that it is imported only where a server is used.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Any

from MySQLdb.connections import Connection
from MySQLdb.constants.CR import SERVER_LOST

if TYPE_CHECKING:
    from alpenhorn.index.mariadb import MariaDB

# Seconds between two looks at whether the run is to stop, and that it waits for an answer then.
LOOK_EVERY = 0.5
HURRIED = 5.0
STALLED = 1.0


class MariaDBSession(Connection):
    """`owner` says how long an answer is waited for, and whether there is a hurry."""

    def __init__(self, owner: MariaDB, **parameters: Any) -> None:
        self._owner = owner
        super().__init__(**parameters)

    def query(self, query: bytes | bytearray | str) -> None:
        """Send a statement and wait until its result begins."""
        self.send_query(bytes(query) if isinstance(query, bytearray) else query)
        began = time.monotonic()
        try:
            self._await()
        except BaseException:
            self._owner.stalled = time.monotonic() - began > STALLED
            # An answer that is still to come would be taken for that to the next statement.
            self.close()
            raise
        self.read_query_result()

    def commit(self) -> None:
        self.query(b"COMMIT")

    def rollback(self) -> None:
        self.query(b"ROLLBACK")

    def _await(self) -> None:
        within = self._owner.answer_within
        end = None if within is None else time.monotonic() + within
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        hurried = False
        while not poll.poll(1000 * LOOK_EVERY):
            if not hurried and self._owner.hurry():
                hurried = True
                soon = time.monotonic() + HURRIED
                end = soon if end is None else min(end, soon)
            if end is not None and time.monotonic() >= end:
                raise self.OperationalError(SERVER_LOST, "the server did not answer in time")
