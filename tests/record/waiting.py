"""Telling that a session of MariaDB waits for a row that another one has locked."""

from __future__ import annotations

import threading
from typing import Any


def await_a_waiter(watch: Any, thread: threading.Thread) -> None:
    """Return as soon as one waits.  `watch`: a session that is used for nothing else; `thread`: what is to wait."""
    cursor = watch.cursor()
    waits = 0
    while not waits:
        assert thread.is_alive()
        # Not information_schema.innodb_trx, which shows the same again to who asks too often.
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
        waits = int(cursor.fetchone()[1])
