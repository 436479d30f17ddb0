"""`alpenhorn db upgrade` of our own tables, killed anywhere: nothing is lost, and the next one finishes it."""

from pathlib import Path

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.index.versions import VERSIONS
from tests.faults.test_upgrade import Upgrading
from tests.index.earlier import as_wide_as, contents, make_earlier_index, versions, widths

EVENTS = 5_000


class Migrating(Upgrading):
    """An index of an earlier version of this program with some thousand rows."""

    def make(self):
        make_earlier_index(self.index, "before pins", files=EVENTS)

    def note(self):
        self.rows = self.without_versions(self.index)
        self.width = {table: wide for table, wide in widths(self.index).items() if table in self.rows}

    @staticmethod
    def without_versions(index):
        found = contents(index)
        del found["dataindexversion"]
        return found

    def check(self):
        """Check what must hold at any moment; return the version."""
        found = self.without_versions(self.index)
        assert as_wide_as(found, self.width) == self.rows
        if self.index.dialect.in_a_file:
            assert self.index.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        version = versions(self.index)["sync"]
        assert version in (1, VERSIONS["sync"])
        assert len(found) > len(self.rows) if version > 1 else True
        return version

    def check_dumps(self):
        for path in self.dumps.iterdir():
            if path.name.endswith((".part", "-journal")):
                path.unlink()
                continue
            if self.index.dialect.in_a_file:
                copy = Index.open(f"sqlite:///{path}")
                found = self.without_versions(copy)
                assert found == self.rows and versions(copy)["sync"] == 1
                copy.close()
            else:
                assert path.read_text().endswith("\n-- complete\n")
            for left in self.dumps.glob(f"{path.name}*"):
                left.unlink()


@pytest.fixture
def migrating(index_url, tmp_path):
    made = Migrating(index_url, tmp_path)
    yield made
    made.index.close()


@pytest.mark.kill
@pytest.mark.ci
@pytest.mark.timeout(600)
def test_upgrades_that_are_killed_anywhere_lose_nothing_and_are_finished(migrating, long):
    seen, partly = set(), False
    tables = len(migrating.index.db.get_tables())
    for _ in migrating.killed(20 if long else 6):
        version = migrating.check()
        seen.add(version)
        migrating.check_dumps()
        if version != VERSIONS["sync"]:
            partly = partly or len(migrating.index.db.get_tables()) > tables
            status, said = migrating.run("status")
            assert status == 3 and "run `alpenhorn db upgrade`" in said
    assert seen == {1, VERSIONS["sync"]}
    assert partly is not migrating.index.dialect.in_a_file


def test_two_upgrades_at_once_are_one(migrating):
    processes = [migrating.start("db", "upgrade", "--force", "--dump", f"dump{n}") for n in range(3)]
    said = [process.communicate(timeout=120)[0] for process in processes]
    statuses = [process.returncode for process in processes]
    # A later one finds it done, or that what it was about to do is done.
    assert 0 in statuses and set(statuses) <= {0, 1, 3}, said
    assert all(
        status == 0 or "changed the index" in text or "locked by another" in text or ": busy" in text
        for status, text in zip(statuses, said, strict=True)
    ), said
    assert migrating.check() == VERSIONS["sync"]
    assert migrating.run("db", "check")[0] == 0


@pytest.mark.parametrize("blocks", ["40", "100"])
def test_a_dump_that_cannot_be_finished_changes_nothing(migrating, blocks):
    """A limit on file sizes makes a write fail like a full disk, but after the first check of free space."""
    limit = ["bash", "-c", f'ulimit -f {blocks}; exec "$@"', "limit"]
    status, said = migrating.run("db", "upgrade", "--force", "--dump", "dump", prefix=limit)
    assert status == 1 and "cannot be written" in said and "nothing was changed" in said
    assert migrating.check() == 1
    assert list(Path(migrating.dumps).iterdir()) == []
