"""Detection of a MariaDB session that waits for a row lock."""

from __future__ import annotations

import threading
from typing import Any


def await_a_waiter(watch: Any, thread: threading.Thread) -> None:
    """Return once a session waits.  `watch`: a session used for nothing else; `thread`: the thread that waits."""
    cursor = watch.cursor()
    waits = 0
    while not waits:
        assert thread.is_alive()
        # Not information_schema.innodb_trx, which shows the same again to who asks too often.
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
        waits = int(cursor.fetchone()[1])
