"""The setting `jobs` of a node limits the number of workers on it, for every kind of work."""

import datetime
import json
import shutil

import pytest

from alpenhorn.config import load
from alpenhorn.coordinator.report import Asked
from alpenhorn.coordinator.sync import sync
from alpenhorn.workers.pool import Pool
from alpenhorn.workers.worker import Worker

WORKERS = 4
FILES = 400  # enough for a job for each worker


class Crowd:
    """Records the largest number of simultaneous tasks of each kind on a node."""

    interval = 0.05

    def __init__(self, node_id):
        self.node_id = node_id
        self.most = {}

    def step(self, what):
        pass

    def ended(self, done):
        pass

    def show(self, report, activity):
        kinds = [
            one.task.kind for one in activity() if one.task is not None and one.task.node_id == self.node_id
        ]
        for kind in kinds:
            self.most[str(kind)] = max(self.most.get(str(kind), 0), len(kinds))


def utc():
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


@pytest.fixture(params=["pull", "check", "delete", "import"])
def kind(request):
    return request.param


def fill(archive, kind, settings):
    """Prepare enough work of this kind for many workers on the node `disk`."""
    archive.node("disk", auto_import=1 if kind == "import" else 0, io_config=json.dumps(settings))
    ids = archive.files(FILES, "disk", 1000, acq="there")
    if kind == "check":
        archive.do("UPDATE archivefilecopy SET has_file = 'M'")
    elif kind == "delete":
        for vault in ("vault1", "vault2"):
            archive.node(vault, archive=1)
            shutil.copytree(archive.root("disk") / "there", archive.root(vault) / "there")
            archive.do(
                "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update)"
                " SELECT file_id, ?, 'Y', 'Y', 1, size_b, last_update FROM archivefilecopy WHERE node_id = 1",
                archive.id("storagenode", vault),
            )
        archive.do("UPDATE archivefilecopy SET wants_file = 'N' WHERE node_id = 1")
    elif kind == "pull":
        archive.node("from", archive=1)
        archive.requests(archive.files(FILES, "from", 1000), "from", "disk")
    else:
        for number in range(FILES):
            archive.put("disk", f"new/{number}", b"content of %d" % number)
    assert len(ids) == FILES


def crowd(archive, kind, **settings):
    """Run, and return the largest number of simultaneous workers."""
    path = archive.configure(sync={"jobs": WORKERS, "import_settle": 0})
    config = load(path, {"HOME": str(archive.base)})
    fill(archive, kind, settings)
    found = Crowd(archive.id("storagenode", "disk"))
    archive.index.disconnect()
    worker = Worker(config.transfer)
    with Pool(WORKERS, worker, before_fork=archive.index.disconnect) as pool:
        asked = Asked(nodes=("disk",), allow_mass_delete=True)
        report = sync(archive.index, pool, config, asked, found, utc, lambda: False)
    assert report.tallies[kind].done == FILES and report.exit_status == 0
    return found.most[kind]


def test_without_the_setting_all_workers_may_work_on_a_node(sqlite_archive, kind):
    assert crowd(sqlite_archive, kind) > 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_with_the_setting_no_more_workers_work_on_a_node_and_all_is_done(sqlite_archive, kind, jobs):
    assert crowd(sqlite_archive, kind, jobs=jobs) == jobs
