"""The file of metrics after runs, on real indexes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from alpenhorn.config import Config
from alpenhorn.errors import BUSY, UNUSABLE
from alpenhorn.monitoring import families, metrics, textfile
from alpenhorn.monitoring.families import Values
from alpenhorn.monitoring.metrics import MetricsError
from alpenhorn.reasons import Code
from tests.fixtures.archive import Archive
from tests.monitoring.conftest import ENDED, ENDED_S, HERE, configured, end


def file_of(config: Config) -> Path:
    assert config.metrics.textfile is not None
    return config.metrics.textfile


def written(config: Config) -> Values:
    return families.parse(file_of(config).read_text())


def checked(text: str) -> None:
    """Let promtool read the text; it also reports names and helps that break Prometheus' conventions."""
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout + done.stderr, done


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_a_run_that_worked_writes_what_it_did_and_what_the_index_knows(
    archive: Archive, config: Config
) -> None:
    with umask(0o077):
        metrics.write(config, archive.index, end(pull=(3, 1, 1000), check=(7, 0, 50)))
    assert file_of(config).stat().st_mode & 0o777 == 0o644, "the node exporter is another user"
    checked(file_of(config).read_text())
    values = written(config)
    assert values[families.ATTEMPT] == values[families.SUCCESS] == {HERE: ENDED_S}
    assert values[families.SECONDS] == {HERE: 90}
    assert values[families.EXIT_STATUS] == values[families.LEFT_OUT] == {HERE: 0}
    assert values[families.FILES] == {
        ("here", "pull", "done"): 3,
        ("here", "pull", "failed"): 1,
        ("here", "check", "done"): 7,
        ("here", "check", "failed"): 0,
    }
    assert values[families.BYTES] == {("here", "pull"): 1000, ("here", "check"): 50}
    assert values[families.INDEX_UP] == {HERE: 1}
    assert values[families.READ] == values[families.READ_ATTEMPT] == {HERE: ENDED_S}
    copies = {labels: number for labels, number in values[families.COPIES].items() if number}
    assert copies == {
        ("vault", "healthy"): 1,
        ("vault", "removable"): 1,
        ("vault", "corrupt"): 1,
        ("vault", "missing"): 1,
        ("spare", "healthy"): 1,
        ("spare", "removed"): 1,
        ("spare", "released"): 1,
        ("spare", "suspect"): 1,
    }
    assert len(values[families.COPIES]) == 2 * len(metrics.STATES)
    assert values[families.ACTIVE] == {("vault",): 1, ("spare",): 0}
    assert values[families.FREE] == {("vault",): 3 * 2**30}
    assert values[families.USED]["vault",] == pytest.approx(10 / (10 + 3 * 2**30))
    assert values[families.VERIFIED] == {("vault",): datetime(2026, 1, 1).timestamp() - _zone()}
    assert values[families.PENDING] == {("vault",): 2, ("spare",): 0}
    assert values[families.OLDEST] == {("vault",): datetime(2026, 2, 3).timestamp() - _zone()}
    assert values[families.ATTENTION][str(Code.COPIES_CORRUPT),] == 1
    assert values[families.BACKUP] == {(): datetime(2026, 11, 25, 3).timestamp() - _zone()}


def _zone() -> float:
    return datetime(1970, 1, 1).timestamp()


def test_a_run_that_failed_keeps_the_time_of_the_last_success_and_adds_to_the_counters(
    archive: Archive, config: Config
) -> None:
    metrics.write(config, archive.index, end(pull=(3, 1, 1000)))
    later = ENDED + timedelta(hours=1)
    for failed in (
        end(1, later, pull=(2, 5, 10)),
        end(0, later, left_out=("spare",), pull=(1, 0, 1)),
        end(0, later, nodes=()),
    ):
        metrics.write(config, archive.index, failed)
        values = written(config)
        assert values[families.SUCCESS] == {HERE: ENDED_S}
        assert values[families.ATTEMPT] == {HERE: ENDED_S + 3600}
        assert values[families.EXIT_STATUS] == {HERE: failed.exit_status}
        assert values[families.LEFT_OUT] == {HERE: len(failed.left_out)}
    assert values[families.FILES] == {("here", "pull", "done"): 6, ("here", "pull", "failed"): 6}
    assert values[families.BYTES] == {("here", "pull"): 1011}


def test_without_any_success_its_time_is_zero_so_that_an_alert_fires(
    archive: Archive, config: Config
) -> None:
    metrics.write(config, archive.index, end(1))
    assert written(config)[families.SUCCESS] == {HERE: 0}


def test_a_run_that_finds_its_nodes_in_use_only_counts_as_an_attempt(
    archive: Archive, config: Config
) -> None:
    metrics.write(config, archive.index, end(1, pull=(3, 1, 1000)))
    before = written(config)
    metrics.write(config, archive.index, end(BUSY, ENDED + timedelta(seconds=60), nodes=()))
    after = written(config)
    assert after.pop(families.ATTEMPT) == {HERE: ENDED_S + 60}
    unchanged = {family.name for family in families.OF_RUNS} - {families.ATTEMPT, *READINGS}
    assert {name: after.get(name) for name in unchanged} == {name: before.get(name) for name in unchanged}


READINGS = (families.READ, families.READ_ATTEMPT, families.READ_SECONDS)


@pytest.mark.parametrize("opened", [True, False])
def test_without_an_index_all_that_was_known_of_it_is_kept(
    sqlite_archive: Archive, tmp_path: Path, opened: bool
) -> None:
    sqlite_archive.node("vault")
    config = configured(sqlite_archive)
    metrics.write(config, sqlite_archive.index, end())
    before = written(config)
    sqlite_archive.index.disconnect()
    Path(sqlite_archive.url.removeprefix("sqlite:///")).rename(tmp_path / "away")
    index = sqlite_archive.index if opened else None
    metrics.write(config, index, end(UNUSABLE, ENDED + timedelta(hours=9), nodes=()))
    after = written(config)
    checked(file_of(config).read_text())
    assert after.pop(families.ATTEMPT) == {HERE: ENDED_S + 9 * 3600}
    assert after.pop(families.INDEX_UP) == {HERE: 0}
    assert after.pop(families.EXIT_STATUS) == {HERE: UNUSABLE}
    assert after[families.COPIES] and after[families.READ] == {HERE: ENDED_S}
    assert {name: value for name, value in after.items() if name != families.SECONDS} == {
        name: before[name] for name in after if name != families.SECONDS
    }


def test_the_first_run_without_an_index_writes_only_what_it_knows(sqlite_archive: Archive) -> None:
    config = configured(sqlite_archive)
    metrics.write(config, None, end(UNUSABLE, nodes=()))
    checked(file_of(config).read_text())
    assert set(written(config)) == {
        families.ATTEMPT,
        families.SUCCESS,
        families.SECONDS,
        families.EXIT_STATUS,
        families.LEFT_OUT,
        families.INDEX_UP,
    }


def test_what_no_longer_exists_in_the_index_is_left_out(archive: Archive, config: Config) -> None:
    archive.insert("storagegroup", name="empty")
    metrics.write(config, archive.index, end())
    assert ("empty",) in written(config)[families.PENDING]
    archive.do("DELETE FROM storagegroup WHERE name = 'empty'")
    archive.do("DELETE FROM archivefilecopyrequest")
    metrics.write(config, archive.index, end(ended=ENDED + timedelta(days=1)))
    assert ("empty",) not in written(config)[families.PENDING]
    assert families.OLDEST not in written(config)


def test_an_index_that_takes_long_to_read_is_read_again_only_after_a_hundred_times_as_long(
    sqlite_archive: Archive,
) -> None:
    sqlite_archive.node("vault")
    config = configured(sqlite_archive)
    metrics.write(config, sqlite_archive.index, end())
    slow = written(config)
    slow[families.READ_SECONDS] = {HERE: 36.0}
    file_of(config).write_bytes(families.render(slow))
    sqlite_archive.node("new")
    for after_s, known in ((3599, False), (3601, True)):
        metrics.write(config, sqlite_archive.index, end(ended=ENDED + timedelta(seconds=after_s)))
        values = written(config)
        assert (("new",) in values[families.ACTIVE]) == known
        assert values[families.INDEX_UP] == {HERE: 1} and values[families.ATTEMPT] == {
            HERE: ENDED_S + after_s
        }
        assert values[families.READ] == {HERE: ENDED_S + 3601 if known else ENDED_S}


def test_after_the_clock_was_set_back_the_index_is_read(sqlite_archive: Archive) -> None:
    config = configured(sqlite_archive)
    metrics.write(config, sqlite_archive.index, end(ended=ENDED + timedelta(days=400)))
    metrics.write(config, sqlite_archive.index, end())
    assert written(config)[families.READ] == {HERE: ENDED_S}


def test_metrics_of_runs_under_a_former_name_of_the_host_are_dropped(sqlite_archive: Archive) -> None:
    config = configured(sqlite_archive)
    metrics.write(config, sqlite_archive.index, end(pull=(1, 0, 1)))
    renamed = config._replace(sync=config.sync._replace(host="there"))
    metrics.write(renamed, sqlite_archive.index, end(pull=(2, 0, 2))._replace(host="there"))
    values = written(config)
    assert values[families.FILES] == {("there", "pull", "done"): 2, ("there", "pull", "failed"): 0}
    assert all(
        set(values[family.name]) == {("there",)} for family in families.OF_RUNS if len(family.labels) == 1
    )


@pytest.mark.parametrize("name", ['a "quoted" \\ one', "line\nend", "tab\there", "\u202eesrever", "ünïcode"])
def test_any_name_gives_a_valid_text(sqlite_archive: Archive, name: str) -> None:
    sqlite_archive.insert("storagegroup", name=name)
    config = configured(sqlite_archive)
    for _ in range(2):  # the second run reads what the first one wrote
        metrics.write(config, None, end())
        metrics.write(config, sqlite_archive.index, end())
    checked(file_of(config).read_text())
    assert len(written(config)[families.PENDING]) == 1


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"no metrics {", b'alpenhorn_files_total{kind="pull"} 7\n', b"x 1\n" * 3]
)
def test_a_file_that_is_not_ours_is_replaced(sqlite_archive: Archive, content: bytes) -> None:
    config = configured(sqlite_archive)
    file_of(config).write_bytes(content)
    metrics.write(config, sqlite_archive.index, end(pull=(1, 0, 1)))
    checked(file_of(config).read_text())
    assert written(config)[families.FILES] == {("here", "pull", "done"): 1, ("here", "pull", "failed"): 0}


def test_a_reader_never_sees_a_part_of_the_file_nor_another_mode(sqlite_archive: Archive) -> None:
    """A reader that has the file open goes on to read the old one: it is replaced, not rewritten."""
    config = configured(sqlite_archive)
    metrics.write(config, sqlite_archive.index, end())
    with file_of(config).open() as reader:
        before = file_of(config).read_text()
        metrics.write(config, sqlite_archive.index, end(1, ENDED + timedelta(hours=1)))
        assert reader.read() == before != file_of(config).read_text()
    (tmp,) = [path.name for path in file_of(config).parent.iterdir() if path != file_of(config)]
    assert tmp == "alpenhorn.prom.lock"


def test_what_a_killed_writer_has_left_is_no_obstacle(sqlite_archive: Archive, tmp_path: Path) -> None:
    config = configured(sqlite_archive)
    victim = tmp_path / "victim"
    victim.write_text("kept")
    Path(f"{file_of(config)}.new").symlink_to(victim)
    metrics.write(config, sqlite_archive.index, end())
    assert victim.read_text() == "kept"
    assert not Path(f"{file_of(config)}.new").is_symlink()
    assert written(config)[families.ATTEMPT]


WRITER = """
import sys
from pathlib import Path
from alpenhorn.config import load
from alpenhorn.monitoring import metrics
from tests.monitoring.conftest import end
config = load(Path(sys.argv[1]), {"HOME": "/"})
for _ in range(20):
    metrics.write(config, None, end(pull=(1, 2, 3)))
"""


def test_runs_that_end_at_the_same_time_lose_no_count(sqlite_archive: Archive) -> None:
    config = configured(sqlite_archive)
    argv = [sys.executable, "-c", WRITER, str(sqlite_archive.base / "here.toml")]
    writers = [subprocess.Popen(argv, cwd=Path(__file__).parents[2]) for _ in range(3)]
    assert [writer.wait(120) for writer in writers] == [0] * 3
    values = written(config)
    assert values[families.FILES] == {("here", "pull", "done"): 60, ("here", "pull", "failed"): 120}
    assert values[families.BYTES] == {("here", "pull"): 180}


def test_a_lock_that_another_process_keeps_gives_an_error_in_the_end(sqlite_archive: Archive) -> None:
    config = configured(sqlite_archive)
    with (
        textfile.locked(file_of(config)),
        pytest.raises(MetricsError, match=r"keeps .*\.lock locked") as raised,
    ):
        metrics.write(config, sqlite_archive.index, end())
    assert raised.value.reason.code == Code.METRICS_FILE_UNUSABLE
    metrics.write(config, sqlite_archive.index, end())


@pytest.mark.parametrize("what", ["no directory", "directory", "pipe"])
def test_a_file_that_cannot_be_written_gives_one_error(sqlite_archive: Archive, what: str) -> None:
    config = configured(sqlite_archive)
    path = file_of(config)
    if what == "no directory":
        path.parent.rmdir()
    elif what == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)
        metrics.write(config, sqlite_archive.index, end())  # without a wait for its other end
        assert written(config)[families.ATTEMPT] == {HERE: ENDED_S}
        return
    with pytest.raises(MetricsError, match=f"metrics cannot be written: {path}: ") as raised:
        metrics.write(config, sqlite_archive.index, end())
    assert raised.value.reason.code == Code.METRICS_FILE_UNUSABLE


def test_an_index_with_an_error_that_nobody_expects_gives_one_error_after_the_run_is_written(
    archive: Archive, config: Config
) -> None:
    archive.do("DROP TABLE sync_verification")
    with pytest.raises(MetricsError, match="metrics cannot be determined: ") as raised:
        metrics.write(config, archive.index, end(pull=(1, 0, 1)))
    assert raised.value.reason.code == Code.METRICS_FAILED
    assert written(config)[families.FILES]["here", "pull", "done"] == 1


def test_a_deadline_of_the_caller_while_the_index_is_read_leaves_the_run_written(
    sqlite_archive: Archive,
) -> None:
    """The caller raises TimeoutError in a signal handler."""
    sqlite_archive.node("vault")
    config = configured(sqlite_archive)
    script = sqlite_archive.base / "deadline.py"
    script.write_text(DEADLINE)
    argv = [sys.executable, str(script), str(sqlite_archive.base / "here.toml")]
    done = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60)
    assert done.stdout == "metrics cannot be determined: too late\n", done
    values = written(config)
    assert values[families.ATTEMPT] == {HERE: ENDED_S} == values[families.READ_ATTEMPT]
    assert values[families.INDEX_UP] == {HERE: 1} and families.READ not in values
    assert values[families.READ_SECONDS][HERE] > 0


# The table of import requests, which is read after that of hosts, starts the timer, and then takes long to read.
DEADLINE = """
import signal, sys
from pathlib import Path
sys.path.insert(0, "")
from alpenhorn.config import load
from alpenhorn.index import connection
from alpenhorn.monitoring import metrics
from tests.monitoring.conftest import end

config = load(Path(sys.argv[1]), {"HOME": "/"})
index = connection.Index.configured(config.database)

def start():
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    return 1

def late(number, frame):
    raise TimeoutError("too late")

signal.signal(signal.SIGALRM, late)
index.db.connection().create_function("start", 0, start)
index.execute(
    "CREATE TEMP VIEW archivefileimportrequest AS SELECT start() AS node_id, 0 AS completed UNION ALL"
    " SELECT i, 0 FROM (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
    " SELECT i FROM n)"
)
try:
    metrics.write(config, index, end())
except metrics.MetricsError as error:
    print(error)
"""


def test_a_server_may_take_longer_to_count_than_the_caller_permits_for_one_answer(
    mariadb_archive: Archive,
) -> None:
    mariadb_archive.node("vault")
    config = configured(mariadb_archive)
    mariadb_archive.do("DROP TABLE archivefileimportrequest")
    # SLEEP takes the place of a large table.
    mariadb_archive.do(
        "CREATE VIEW archivefileimportrequest AS SELECT 1 + SLEEP(4) AS node_id, 0 AS completed"
    )
    with mariadb_archive.index.glancing():
        mariadb_archive.index.answer_within(3.0)
        metrics.write(config, mariadb_archive.index, end())
        assert mariadb_archive.index.answer_within(None) == 3.0
    values = written(config)
    assert values[families.READ] == {HERE: ENDED_S} and values[families.READ_SECONDS][HERE] >= 4


NOTHING = """
import sys
from pathlib import Path
from alpenhorn.config import load
from alpenhorn.monitoring import metrics
from tests.monitoring.conftest import end
metrics.write(load(Path(sys.argv[1]), {"HOME": "/"}), None, end())
assert "prometheus_client" not in sys.modules
"""


def test_without_textfile_nothing_is_written_or_imported(sqlite_archive: Archive) -> None:
    argv = [sys.executable, "-c", NOTHING, str(sqlite_archive.configure())]
    subprocess.run(argv, cwd=Path(__file__).parents[2], check=True)


def test_reading_uses_indexes_of_the_tables_only(sqlite_archive: Archive) -> None:
    """None of the statements of `measures` reads a table with a row for each copy, file or request."""
    from alpenhorn.listings import measures

    for sql in (measures.COPIES, measures.PENDING):
        steps = [row[3] for row in sqlite_archive.all(f"EXPLAIN QUERY PLAN {sql}")]
        for step in steps:
            small = step.startswith(("SCAN g", "SCAN n", "SCAN storage"))
            indexed = "COVERING INDEX" in step or "INTEGER PRIMARY KEY" in step
            assert small or indexed or not step.startswith(("SCAN", "SEARCH")), (sql, steps)


def test_the_program_promtool_would_find_a_fault() -> None:
    assert shutil.which("promtool")
    with pytest.raises(AssertionError):
        checked("# HELP x_total A\n# TYPE x_total gauge\nx_total 1\n")
