"""What people's ssh servers, shells, keys and rsyncs are like: pulls and doctor, over ssh to a private server."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from tests.fixtures.archive import Archive, Result
from tests.fixtures.rsync import KNOWN, old_rsync
from tests.fixtures.sshd import Sshd


@pytest.fixture
def hosts(sqlite_archive: Archive, sshd: Sshd) -> Iterator[Archive]:
    """Host `there` with node `far`, from which `here` pulls onto node `safe`."""
    archive = sqlite_archive
    archive.host("there", address=sshd.address, username=sshd.username)
    archive.node("far", host="there")
    archive.node("safe")
    archive.configure(transfer={"ssh": sshd.ssh})
    keys = sshd.base / "authorized_keys"
    kept = keys.read_text()
    yield archive
    keys.write_text(kept)


def wanted(archive: Archive, count: int = 3) -> list[int]:
    """Request so many files."""
    ids = [archive.file(f"acq/{number}", b"bytes", "far") for number in range(count)]
    archive.requests(ids, "far", "safe")
    return ids


def attention(result: Result) -> list[str]:
    return [line for line in result.err.splitlines() if line.startswith(("failed: ", "note: "))]


def why(archive: Archive) -> str:
    """The one reason that is recorded of all attempts."""
    ((error,),) = archive.all("SELECT DISTINCT error FROM sync_attempt WHERE blame = 'network'")
    return str(error)


# --- rsync ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("directory", ["far", "far, not plain & ü"])
def test_situation_06_pulls_work_with_the_rsync_of_rhel_8(hosts: Archive, sshd: Sshd, directory: str) -> None:
    """Small files with one that is missing and one that is not what it should be, and a big one."""
    root = hosts.root("far").rename(hosts.base / directory)
    if root != hosts.root("far"):
        hosts.root("far").symlink_to(root)
    hosts.do("UPDATE storagenode SET root = ? WHERE name = 'far'", str(root))
    hosts.configure(transfer={"ssh": sshd.ssh, "rsync": str(old_rsync(hosts.base / "bin"))})
    good, gone, rotten = wanted(hosts)
    (root / "acq" / "1").unlink()
    (root / "acq" / "2").write_bytes(b"bites")
    big = hosts.file("acq/big", os.urandom(65 * 2**20), "far")
    hosts.requests([big], "far", "safe")
    assert hosts.sync().status == 1
    assert sorted(hosts.tree("safe")) == ["acq/0", "acq/big"]
    assert [hosts.copy(file_id, "far") for file_id in (good, big, gone, rotten)] == ["YY", "YY", "MY", "MY"]
    assert hosts.violations() == []


def test_situation_06_a_pull_says_that_rsync_is_too_old(hosts: Archive, sshd: Sshd) -> None:
    old = old_rsync(hosts.base / "bin", "3.0.9", KNOWN.replace("|--outbuf=*", ""))
    hosts.configure(transfer={"ssh": sshd.ssh, "rsync": str(old)})
    wanted(hosts, 1)
    result = hosts.sync()
    assert result.status == 1
    assert "is version 3.0.9, and alpenhorn needs 3.1.3 or later; install a newer rsync" in result.err


# --- hosts that cannot be reached ----------------------------------------------------------------------


def test_situation_20_a_host_that_cannot_be_reached_is_one_line_with_the_number_of_its_files(
    hosts: Archive, sshd: Sshd
) -> None:
    hosts.node("far2", host="there")
    hosts.node("safe2")
    wanted(hosts, 5)
    hosts.requests([hosts.file(f"more/{n}", b"x", "far2") for n in range(3)], "far2", "safe2")
    hosts.configure(transfer={"ssh": [*sshd.ssh, "-p", "1"]}, sync={"jobs": 1})
    result = hosts.sync()
    assert result.status == 1
    line = "host there cannot be reached: Connection refused (address 127.0.0.1, port 1)"
    (told,) = attention(result)
    assert re.fullmatch(rf"failed: {re.escape(line)} \(8 files\); the first: acq/0", told), result.err
    assert why(hosts) == line
