"""A session of mysqlclient that waits for answers in Python.

mysqlclient waits in C, where signal handlers do not run, so a stopped server would block a run for ever.  This module
imports mysqlclient; import it only for an index on a server.
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

# Seconds between checks for a request to stop.
LOOK_EVERY = 0.5
# Seconds to wait for an answer after a request to stop.
HURRIED = 5.0
# Seconds without an answer after which the server seems stopped.
STALLED = 1.0
# An answer of fewer bytes has arrived completely: servers send more at once, and a packet holds more.
WHOLE = 1000
# The kernel buffers a statement of fewer bytes, even if the server does not read it.
TAKEN = 16 * 1024

T = TypeVar("T")


class MariaDBSession(Connection):
    """A session of mysqlclient.  `owner` has the limits of the time to wait for answers."""

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
            # A late answer would be taken for the answer to the next statement.
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
        """Return the number of bytes that have arrived."""
        found = struct.unpack("i", fcntl.ioctl(self.fileno(), termios.FIONREAD, b"\0" * 4))
        return int(found[0])

    def _aside(self, call: Callable[[], T]) -> T:
        """Run `call`, which waits in C, in a thread, so that signals are handled; interrupt it on a request to stop."""
        done, outcome, failure = Event(), list[T](), list[BaseException]()

        def work() -> None:
            try:
                outcome.append(call())
            except BaseException as error:
                failure.append(error)
            finally:
                done.set()

        began = time.monotonic()
        fd = self.fileno()  # the connection must not be used here while the thread uses it
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
    """Shut down the socket, so that reads from the server and writes to it end."""
    with socket.socket(fileno=os.dup(fd)) as peer, suppress(OSError):
        peer.shutdown(socket.SHUT_RDWR)
