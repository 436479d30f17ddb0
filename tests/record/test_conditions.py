from __future__ import annotations

from alpenhorn.model.conditions import Condition
from alpenhorn.record import conditions as record
from alpenhorn.record.run import Run, begin, not_ended, worse
from alpenhorn.scan import conditions as scan
from tests.fixtures.rows import HERE, THERE, Rows

NOW = 1_800_000_000.0
ONE = Condition("node-left-out", "v1", "node v1 is left out: no marker", NOW, NOW, None)


def test_what_lasts_is_kept_for_each_host(rows: Rows) -> None:
    record.write(rows.index, HERE, [ONE], [])
    later = ONE._replace(why="\N{SATELLITE ANTENNA}", seen=NOW + 60, reported=NOW + 60)
    record.write(rows.index, HERE, [later, ONE._replace(subject="v2")], [])
    record.write(rows.index, THERE, [ONE], [])
    assert scan.of_host(rows.index, HERE) == [later, ONE._replace(subject="v2")]
    assert [host for host, _ in scan.of_all(rows.index)] == [HERE, HERE, THERE]
    record.write(rows.index, HERE, [], [later])
    assert scan.of_host(rows.index, HERE) == [ONE._replace(subject="v2")]
    assert scan.of_host(rows.index, THERE) == [ONE]


def test_only_a_run_without_an_end_is_said_not_to_have_ended(rows: Rows, run: Run) -> None:
    other = begin(rows.index, HERE, [], run.clock, 4711)
    worse(rows.index, run.id, 1, "first")
    worse(rows.index, run.id, 1, "second")
    rows.index.execute("UPDATE sync_run SET ended = started WHERE id = ?", (run.id,))
    not_ended(rows.index, [run.id, other.id])
    assert rows.all("SELECT exit_status, ending, pid FROM sync_run ORDER BY id") == [
        (1, "first", None),
        (None, "did not end: it was killed, or the host went down", 4711),
    ]
