from __future__ import annotations

import datetime
import json

from alpenhorn.listings.history import events
from alpenhorn.model.nodes import GIB
from alpenhorn.reasons import Code, Reason
from alpenhorn.record import run as runs
from tests.fixtures.claims import claim, wanted
from tests.fixtures.rows import HERE, WHEN, Rows


def test_a_run_has_a_row_from_its_begin_to_its_end(rows: Rows) -> None:
    run = runs.begin(rows.index, HERE, ["one", "two"], lambda: WHEN)
    assert rows.all("SELECT host, nodes, ended, exit_status FROM sync_run WHERE id = ?", run.id) == [
        (HERE, "one two", None, None)
    ]
    counts = {"pull": {"done": 3, "failed": 1, "bytes": 2**40}, "check": {"done": 1, "failed": 0, "bytes": 5}}
    runs.end(rows.index, run, 1, counts, {})
    ((ended, status, done, failed, bytes_, text),) = rows.all(
        "SELECT ended, exit_status, done, failed, bytes, counts FROM sync_run"
    )
    assert (str(ended), status, done, failed, bytes_) == (str(WHEN), 1, 4, 1, 2**40 + 5)
    assert json.loads(text) == counts


def test_the_delays_of_a_run_are_the_same_only_for_the_same_host_run_time_and_subject() -> None:
    def delay(number: int, host: str, at: datetime.datetime, subject_id: int) -> float:
        return runs.Run(number, host, lambda: at).chance("pull", subject_id).random()

    later = WHEN + datetime.timedelta(seconds=1)
    every = [(1, "a", WHEN, 5), (2, "a", WHEN, 5), (1, "b", WHEN, 5), (1, "a", later, 5), (1, "a", WHEN, 6)]
    assert delay(*every[0]) == delay(*every[0])
    assert len({delay(*one) for one in every}) == len(every)


def test_what_failed_is_recorded_up_to_a_number(rows: Rows) -> None:
    run = rows.begin()
    texts = [Code.RUN_FAILED(error=f"fault {number}") for number in range(runs.MOST_FAILURES + 3)]
    runs.failures(rows.index, run, texts)
    found = events(rows.index, 1000, run_id=run.id)
    assert {(event.what, event.file_id, event.node_id) for event in found} == {("failed", 0, 0)}
    assert [event.why for event in found[:-1]] == texts[: runs.MOST_FAILURES]
    assert found[-1].why == Code.MORE_FAILURES(number=3) and found[0].why.code is Code.RUN_FAILED


def test_runs_have_ids_of_their_own(rows: Rows) -> None:
    assert len({rows.begin().id for _ in range(3)}) == 3


def test_the_end_gives_back_the_claims_of_this_run_only(rows: Rows) -> None:
    ours, other = rows.begin(), rows.begin()
    for run, name in ((ours, "a"), (other, "b")):
        file_id = rows.file(name)
        claim(rows.index, run, [wanted(rows, rows.request(file_id), file_id)])
    runs.end(rows.index, ours, 0, {}, {})
    assert [row[2] for row in rows.claims()] == [other.id]


def test_free_space_is_written_down_where_it_is_known(rows: Rows) -> None:
    run = rows.begin()
    runs.end(rows.index, run, 0, {}, {rows.node["one"]: 3 * GIB, rows.node["two"]: None})
    found = rows.all("SELECT name, avail_gb, avail_gb_last_checked FROM storagenode ORDER BY id")
    assert [(name, free, when and str(when)) for name, free, when in found] == [
        ("field", None, None),
        ("one", 3.0, str(WHEN)),
        ("one_too", None, None),
        ("two", None, None),
    ]


def test_times_are_whole_seconds_on_both_engines(rows: Rows) -> None:
    run = runs.begin(rows.index, HERE, [], lambda: WHEN + datetime.timedelta(microseconds=999_999))
    assert run.now() == str(WHEN)
    ((started,),) = rows.all("SELECT started FROM sync_run")
    assert str(started) == str(WHEN)


def test_events_are_only_added(rows: Rows) -> None:
    run = rows.begin()
    runs.events(rows.index, run, "pulled", [(1, 2, "why"), (3, 4, "")])
    runs.events(rows.index, run, "pulled", [])
    runs.events(rows.index, run, "pulled", [(1, 2, "again")])
    assert rows.all("SELECT file_id, node_id, why, run_id FROM sync_event ORDER BY id") == [
        (1, 2, "why", run.id),
        (3, 4, "", run.id),
        (1, 2, "again", run.id),
    ]


def test_events_keep_the_code_of_their_reason_few_and_many(rows: Rows) -> None:
    run = rows.begin()
    file_ids = [rows.file(f"f{number}") for number in range(runs.FEW + 5)]
    runs.events(rows.index, run, "suspect", [(file_ids[0], 2, Code.SOURCE_MISSING(why="gone"))])
    runs.events(rows.index, run, "good", [(file_id, 2, Code.COPY_VERIFIED()) for file_id in file_ids])
    runs.events(
        rows.index,
        run,
        "pulled",
        [(file_id, 2, Code.PULLED(request=file_id, method="copy", node="one")) for file_id in file_ids],
    )
    found = rows.all("SELECT what, why, code FROM sync_event ORDER BY id")
    assert found[0] == ("suspect", "the source is missing: gone", "source-missing")
    assert found[1 : 1 + len(file_ids)] == [("good", "read in full, MD5 sum matches", "copy-verified")] * len(
        file_ids
    )
    assert [row[2] for row in found[1 + len(file_ids) :]] == ["pulled"] * len(file_ids)
    read = events(rows.index, 1000)
    assert [(row.what, row.why, row.why.code) for row in read] == found


def test_events_of_one_text_and_two_codes_keep_both(rows: Rows) -> None:
    run = rows.begin()
    file_ids = [rows.file(f"f{number}") for number in range(2 * runs.FEW)]
    codes = [Code.SOURCE_CHANGED, Code.SOURCE_SHRANK]
    runs.events(
        rows.index,
        run,
        "suspect",
        [(file_id, 2, Reason("it changed", codes[number % 2])) for number, file_id in enumerate(file_ids)],
    )
    found = [row[0] for row in rows.all("SELECT code FROM sync_event ORDER BY id")]
    assert found == ["source-changed", "source-shrank"] * runs.FEW
