"""A session of mysqlclient whose answers are waited for in Python.

Its own calls wait within C, where no handler of a signal runs: a server that is stopped would hold a run for ever,
whatever it is sent.  Imports mysqlclient, so that it is imported only where a server is used.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from MySQLdb.connections import Connection
from MySQLdb.constants.CR import SERVER_LOST

if TYPE_CHECKING:
    from alpenhorn.index.mariadb import MariaDB

# Seconds between two looks at whether the run is to stop, and that it waits for an answer then.
LOOK_EVERY = 0.5
HURRIED = 5.0
STALLED = 1.0
# An answer of fewer bytes has come as a whole: less than a server sends at once, and less than fits into a packet.
WHOLE = 1000
# A statement of fewer bytes is taken by the kernel, whatever the server does.
TAKEN = 16 * 1024

T = TypeVar("T")


class MariaDBSession(Connection):
    """`owner` says how long an answer is waited for, and whether there is a hurry."""

    def __init__(self, owner: MariaDB, **parameters: Any) -> None:
        self._owner = owner
        self._whole = True
        super().__init__(**parameters)

    def query(self, query: bytes | bytearray | str) -> None:
        """Send a statement and wait until its result begins."""
        statement = bytes(query) if isinstance(query, bytearray) else query
        if len(statement) < TAKEN:
            self.send_query(statement)
        else:
            self._aside(lambda: self.send_query(statement))
        began = time.monotonic()
        try:
            self._await()
        except BaseException:
            self._owner.stalled = time.monotonic() - began > STALLED
            # An answer that is still to come would be taken for that to the next statement.
            self.close()
            raise
        self._whole = self._has_come() < WHOLE
        self.read_query_result()

    def store_result(self) -> Any:
        """Fetch the whole result."""
        if self._whole:
            return super().store_result()
        return self._aside(super().store_result)

    def commit(self) -> None:
        self.query(b"COMMIT")

    def rollback(self) -> None:
        self.query(b"ROLLBACK")

    def _has_come(self) -> int:
        """How many bytes can be read at once."""
        found = struct.unpack("i", fcntl.ioctl(self.fileno(), termios.FIONREAD, b"\0" * 4))
        return int(found[0])

    def _aside(self, call: Callable[[], T]) -> T:
        """Let a thread wait within C, so that signals are heard here, and end its waiting when there is a hurry."""
        done, outcome, failure = Event(), list[T](), list[BaseException]()

        def work() -> None:
            try:
                outcome.append(call())
            except BaseException as error:
                failure.append(error)
            finally:
                done.set()

        began = time.monotonic()
        fd = self.fileno()  # nothing may be asked of this object while the thread uses it
        thread = Thread(target=work, daemon=True)
        thread.start()
        hurried = None
        try:
            while not done.wait(LOOK_EVERY):
                if hurried is None and self._owner.hurry():
                    hurried = time.monotonic()
                if hurried is not None and time.monotonic() >= hurried + HURRIED:
                    raise self.OperationalError(SERVER_LOST, "the server did not answer in time")
        except BaseException:
            self._owner.stalled = time.monotonic() - began > STALLED
            _break_off(fd)
            thread.join()
            self.close()
            raise
        thread.join()
        if failure:
            raise failure[0]
        return outcome[0]

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


def _break_off(fd: int) -> None:
    """End whatever reads from the server or writes to it."""
    with socket.socket(fileno=os.dup(fd)) as peer, suppress(OSError):
        peer.shutdown(socket.SHUT_RDWR)
