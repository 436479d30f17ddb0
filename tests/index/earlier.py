"""The index with our own tables as earlier versions of this program made them, with rows, on both engines.

Written down as it was then, apart from the steps that are tested with it.
"""

from __future__ import annotations

from typing import Any

from alpenhorn.index.connection import Index
from tests.index import daemon
from tests.index.older import rows

COLLATION = " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
WORDS = {
    True: daemon.SQLITE | {"big_id": "id INTEGER NOT NULL PRIMARY KEY", "end": ""},
    False: daemon.MARIADB | {"big_id": "id BIGINT AUTO_INCREMENT NOT NULL PRIMARY KEY", "end": COLLATION},
}

TABLES = {
    "sync_run": "{id}, host VARCHAR(64) NOT NULL, nodes TEXT NOT NULL, started DATETIME NOT NULL, ended DATETIME, "
    "exit_status INTEGER, done INTEGER NOT NULL, failed INTEGER NOT NULL, bytes {bigint} NOT NULL, counts TEXT",
    "sync_claim": "{id}, kind VARCHAR(8) NOT NULL, file_id INTEGER NOT NULL, target_id INTEGER NOT NULL, "
    "node_id INTEGER NOT NULL, reserved_b {bigint} NOT NULL, host VARCHAR(64) NOT NULL, run_id INTEGER NOT NULL, "
    "expires DATETIME NOT NULL, fence INTEGER NOT NULL",
    "sync_attempt": "{id}, kind VARCHAR(8) NOT NULL, subject_id INTEGER NOT NULL, count INTEGER NOT NULL, "
    "last DATETIME NOT NULL, next DATETIME NOT NULL, blame VARCHAR(16) NOT NULL, error TEXT NOT NULL",
    "sync_verification": "file_id INTEGER NOT NULL, node_id INTEGER NOT NULL, verified DATETIME NOT NULL, "
    "PRIMARY KEY (node_id, file_id)",
    "sync_pin": "{id}, file_id INTEGER NOT NULL, node_id INTEGER NOT NULL, reason TEXT, pinned DATETIME NOT NULL, "
    "until DATETIME",
    "sync_former_name": "{id}, node_id INTEGER NOT NULL, name VARCHAR(64) NOT NULL, renamed DATETIME NOT NULL",
    "sync_restore": "{id}, file_id INTEGER NOT NULL, node_id INTEGER NOT NULL, purpose VARCHAR(8) NOT NULL, "
    "state VARCHAR(8) NOT NULL, tries INTEGER NOT NULL, asked DATETIME NOT NULL, next DATETIME NOT NULL, "
    "error TEXT NOT NULL",
    "sync_node": "{id}, node_id INTEGER NOT NULL, compared INTEGER NOT NULL, manifest VARCHAR(32), host VARCHAR(64), "
    "root VARCHAR(255), event_id {bigint} NOT NULL, files INTEGER NOT NULL",
    "sync_event": "{big_id}, at DATETIME NOT NULL, run_id INTEGER, file_id INTEGER NOT NULL, node_id INTEGER NOT NULL, "
    "what VARCHAR(16) NOT NULL, why TEXT NOT NULL",
    "sync_index": "{id}, name VARCHAR(32) NOT NULL, value TEXT NOT NULL, at DATETIME",
    "sync_medium": "{id}, node_id INTEGER NOT NULL, medium VARCHAR(32), generation {bigint} NOT NULL, "
    "word VARCHAR(16), next_generation {bigint}, next_word VARCHAR(16), seen DATETIME, wrong DATETIME, why TEXT, "
    "distrust VARCHAR(16), separate {bool} NOT NULL, looked INTEGER NOT NULL, lost INTEGER NOT NULL, "
    "changed DATETIME, changed_why TEXT",
    "sync_file_claim": "file_id INTEGER NOT NULL PRIMARY KEY, fence {bigint} NOT NULL",
    "sync_condition": "{id}, host VARCHAR(64) NOT NULL, code VARCHAR(48) NOT NULL, subject VARCHAR(255) NOT NULL, "
    "why TEXT NOT NULL, began DATETIME NOT NULL, seen DATETIME NOT NULL, reported DATETIME",
    "sync_backoff": "{id}, host VARCHAR(64) NOT NULL, kind VARCHAR(8) NOT NULL, subject_id INTEGER NOT NULL, "
    "count INTEGER NOT NULL, last DATETIME NOT NULL, next DATETIME NOT NULL, code VARCHAR(48), error TEXT NOT NULL",
}
# Columns that came with version 3, at the ends of the tables.
COLUMNS_3 = {
    "sync_attempt": ("code VARCHAR(48)",),
    "sync_event": ("code VARCHAR(48)",),
    "sync_run": ("pid INTEGER", "ending TEXT"),
}
# The same of version 4.
COLUMNS_4 = {"sync_node": ("absent_ok INTEGER",), "sync_medium": ("code VARCHAR(48)",)}
# The same of version 5.
COLUMNS_5 = {"sync_node": ("top_acq VARCHAR(64)",)}
INDEXES = {
    "sync_claim_kind_file_id_target_id": "UNIQUE sync_claim (kind, file_id, target_id)",
    "sync_claim_node_id": "sync_claim (node_id)",
    "sync_claim_run_id": "sync_claim (run_id)",
    "sync_attempt_kind_subject_id": "UNIQUE sync_attempt (kind, subject_id)",
    "sync_verification_node_id_verified": "sync_verification (node_id, verified)",
    "sync_verification_node_id_verified_file_id": "sync_verification (node_id, verified, file_id)",
    "sync_pin_file_id_node_id": "UNIQUE sync_pin (file_id, node_id)",
    "sync_former_name_node_id_name": "UNIQUE sync_former_name (node_id, name)",
    "sync_restore_node_id_file_id": "UNIQUE sync_restore (node_id, file_id)",
    "sync_node_node_id": "UNIQUE sync_node (node_id)",
    "sync_event_at": "sync_event (at)",
    "sync_event_file_id_node_id": "sync_event (file_id, node_id)",
    "sync_event_node_id_at": "sync_event (node_id, at)",
    "sync_event_run_id": "sync_event (run_id)",
    "sync_request_by_group": "archivefilecopyrequest (group_to_id, completed, cancelled)",
    "sync_request_by_source": "archivefilecopyrequest (node_from_id, completed, cancelled)",
    "sync_copy_by_state": "archivefilecopy (node_id, has_file, wants_file)",
    "sync_import_by_node": "archivefileimportrequest (node_id, completed)",
    "sync_index_name": "UNIQUE sync_index (name)",
    "sync_medium_node_id": "UNIQUE sync_medium (node_id)",
    "sync_condition_host_code_subject": "UNIQUE sync_condition (host, code, subject)",
    "sync_run_host": "sync_run (host)",
    "sync_backoff_host_kind_subject_id": "UNIQUE sync_backoff (host, kind, subject_id)",
}

OBSOLETE = "sync_verification_node_id_verified"  # it was there for an hour
EVIDENCE = ("sync_index", "sync_medium", "sync_file_claim")
LATER = ("sync_condition", "sync_backoff")  # came with version 3, as COLUMNS_3
TAPE = ("sync_restore", "sync_node")
RENAMES = ("sync_former_name",)

# What each state of main lacked of the above, by the commit that ended it; all of them said version 1, but for those in
# SAID.
STATES: dict[str, tuple[str, ...]] = {
    "before pins": (
        *EVIDENCE,
        *TAPE,
        *RENAMES,
        "sync_pin",
        "sync_event_node_id_at",
        "sync_event_run_id",
        "sync_verification_node_id_verified_file_id",
        OBSOLETE,
    ),
    "with pins": (
        *EVIDENCE,
        *TAPE,
        *RENAMES,
        "sync_event_node_id_at",
        "sync_event_run_id",
        "sync_verification_node_id_verified_file_id",
    ),
    "before renames": (*EVIDENCE, *TAPE, *RENAMES, OBSOLETE),
    "before tape": (*EVIDENCE, *TAPE, OBSOLETE),
    "last of version 1": (*EVIDENCE, OBSOLETE),
    "version 1 with the tables of version 2": (OBSOLETE,),
    "last of version 2": (OBSOLETE,),
    "last of version 3": (OBSOLETE,),
    "last of version 4": (OBSOLETE,),
    "last of version 5": (OBSOLETE,),
    # A creation on MariaDB went on after each statement, so that a later `db init` may have left any part of it.
    "cut short": (
        "sync_verification",
        "sync_event_at",
        "sync_claim_run_id",
        "sync_copy_by_state",
        "sync_medium",
        OBSOLETE,
    ),
}
LAST = "last of version 1"
SAID = {"last of version 2": 2, "last of version 3": 3, "last of version 4": 4, "last of version 5": 5}

WHEN = "2026-01-02 03:04:05"
TEXTS = ("it's", "two\nlines\r\n", "back\\slash", "\N{SATELLITE} café", "")
VALUES: dict[str, list[tuple[Any, ...]]] = {
    "storagegroup": [(1, "g", None, TEXTS[0], None)],
    "archiveacq": [(1, "pilot", TEXTS[3])],
    "archivefile": [(n, 1, f"{n}.h5", 2**40 + n, f"{n:032x}", WHEN) for n in (1, 2, 3)],
    "sync_run": [
        (1, "alp1", "a b", WHEN, WHEN, 0, 3, 0, 2**45, '{"pull": {"done": 3}}'),
        (2, "alp1", "", WHEN, None, None, 0, 0, 0, None),
    ],
    "sync_claim": [(7, "delete", 1, 2, 2, 2**40, "alp1", 2, WHEN, 3)],
    "sync_attempt": [(n, "pull", n, 2, WHEN, WHEN, "source", text) for n, text in enumerate(TEXTS, 1)],
    "sync_verification": [(n, 1, WHEN) for n in (1, 2, 3)],
    "sync_pin": [(1, 1, 0, TEXTS[1], WHEN, None), (2, 2, 1, None, WHEN, WHEN)],
    "sync_former_name": [(1, 1, "Old", WHEN), (2, 1, "old", WHEN)],
    "sync_restore": [(1, 1, 1, "pull", "asked", 1, WHEN, WHEN, "")],
    "sync_node": [(1, 1, 17, "ab" * 16, "alp1", "/srv/a", 2**33, 5), (2, 2, 0, None, None, None, 0, 0)],
    "sync_event": [(2**33 + n, WHEN, None, n, 1, "pulled", text) for n, text in enumerate(TEXTS)],
    "sync_index": [(1, "identity", "cd" * 16, None)],
    "sync_medium": [(1, 1, "ef" * 16, 5, "word", *[None] * 6, 1, 0, 0, None, None)],
    "sync_file_claim": [(1, 2**33)],
}


def make_earlier_index(index: Index, state: str = LAST, files: int = 0) -> None:
    """Make it in an empty database, with the server's default collation of the daemon's tables, and fill it; `files`:
    events more."""
    daemon.make_daemon_index(index)
    add_our_tables(index, state)
    with index.transaction():
        for table, values in VALUES.items():
            if table in index.db.get_tables():
                width = len(index.db.get_columns(table))
                marks = ", ".join("?" * width)
                index.executemany(
                    f"INSERT INTO {table} VALUES ({marks})",
                    [(*value, *[None] * (width - len(value))) for value in values],
                )
        index.executemany(
            "INSERT INTO sync_event (at, file_id, node_id, what, why) VALUES (?, ?, 1, 'imported', '')",
            [(WHEN, n) for n in range(files)],
        )


def add_our_tables(index: Index, state: str = LAST) -> None:
    """Add the empty `sync_` tables to the daemon's."""
    said = SAID.get(state, 1)
    lacking = STATES[state] if said >= 3 else (*STATES[state], *LATER)
    words = WORDS[index.dialect.in_a_file]
    for table, columns in TABLES.items():
        if table not in lacking:
            added = COLUMNS_3.get(table, ()) if said >= 3 else ()
            added += COLUMNS_4.get(table, ()) if said >= 4 else ()
            added += COLUMNS_5.get(table, ()) if said >= 5 else ()
            columns = ", ".join((columns, *added))
            index.execute(f"CREATE TABLE {table} ({columns.format(**words)}){words['end']}")
    for name, text in INDEXES.items():
        unique, on = ("UNIQUE ", text[7:]) if text.startswith("UNIQUE ") else ("", text)
        if name == "sync_run_host" and said < 4:
            continue
        if name not in lacking and on.split()[0] not in lacking:
            index.execute(f"CREATE {unique}INDEX {name} ON {on}")
    index.execute("INSERT INTO dataindexversion (component, version) VALUES ('sync', ?)", (said,))


def contents(index: Index) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables."""
    return {table: sorted(rows(index, f"SELECT * FROM {table}"), key=repr) for table in index.db.get_tables()}


def widths(index: Index) -> dict[str, int]:
    """The number of columns of each table."""
    return {table: len(index.db.get_columns(table)) for table in index.db.get_tables()}


def as_wide_as(
    found: dict[str, list[tuple[Any, ...]]], width: dict[str, int]
) -> dict[str, list[tuple[Any, ...]]]:
    """Those rows without the columns that were added at the ends of the tables; tables that were added are left out."""
    return {table: sorted((row[:wide] for row in found[table]), key=repr) for table, wide in width.items()}


def versions(index: Index) -> dict[str, int]:
    return dict(rows(index, "SELECT component, version FROM dataindexversion"))
