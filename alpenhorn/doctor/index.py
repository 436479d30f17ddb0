"""Check the index, as far as that is quick, and its data about this host."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from shlex import quote

import psutil

from alpenhorn.address import sqlite_path
from alpenhorn.config import Config, refuse_new_index
from alpenhorn.coordinator.opening import open_index
from alpenhorn.coordinator.policies import disagreement
from alpenhorn.errors import CommandFailed, CommandTimedOut, IndexUnusable
from alpenhorn.fs.command import run
from alpenhorn.index import check as checks
from alpenhorn.index.check import Finding, Level
from alpenhorn.index.connection import Index
from alpenhorn.index.current import require_current
from alpenhorn.index.durability import durability
from alpenhorn.index.times import ago
from alpenhorn.index.versions import VERSIONS
from alpenhorn.listings import doctor as scan
from alpenhorn.listings.backups import Backups, fault
from alpenhorn.reasons import Code
from alpenhorn.scan import policies

STAT_SECONDS = 10.0
# SQLite relies on locks and memory maps, which may not work between machines on these file systems.
NETWORK = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.ceph", "fuse.glusterfs", "fuse.rclone"),
        *("fuse.s3fs", "fuse.sshfs", "gfs2", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "ocfs2"),
        *("orangefs", "smb3", "smbfs"),
    }
)


def index(config: Config, environ: Mapping[str, str]) -> Generator[Finding, None, scan.HostFacts | None]:
    """Check the index; return its data about this host, None if it does not exist yet.

    Raises IndexUnusable; ConfigError if it must not be created, because the alpenhorn daemon has one.
    """
    file = sqlite_path(config.database.url)
    if file is not None:
        path = Path(file)
        yield from _file_system(path)
        if config.embedded and not path.exists():
            refuse_new_index(environ)
            yield Finding(
                Level.WARN,
                Code.INDEX_NOT_CONFIGURED(path=path),
                "set [database] url, or create the default one: alpenhorn db init",
            )
            return None
    elif not config.database.extension:
        yield _driver()
    opened = open_index(config.database)
    try:
        with opened.impatient():
            return (yield from _look(opened, config))
    finally:
        opened.close()


def _look(index: Index, config: Config) -> Generator[Finding, None, scan.HostFacts]:
    host = config.sync.host
    yield Finding(Level.PASS, f"the index {index.url} can be reached")
    if config.database.extension:
        yield from _lent(index)
        if index.file is not None:
            yield from _file_system(index.file)
    require_current(index)
    versions = ", ".join(f"{component} {version}" for component, version in VERSIONS.items())
    yield Finding(Level.PASS, f"the tables of the index are current: {versions}")
    yield from checks.structure(index)
    yield from checks.collation(index)
    yield from durability(index)
    yield checks.clock(index)
    yield _writable(index)
    facts = scan.facts(index, host)
    yield _host(facts, host)
    if why := disagreement(policies.load(index), config.sync):
        yield Finding(Level.WARN, why)
    yield from backup(facts.backups, config.database.backup_within)
    return facts


def _lent(index: Index) -> Iterator[Finding]:
    """Check the connection that a package makes."""
    yield Finding(Level.PASS, f"{index.db.lender.package} connects to the index")
    if index.db.waits_for_ever:
        yield Finding(
            Level.WARN,
            Code.INDEX_WITHOUT_READ_TIMEOUT(extension=index.db.lender.name),
            "pass read_timeout=300 to the database of the package",
        )


def _driver() -> Finding:
    """Check the database driver.  Raises IndexUnusable if it is missing."""
    try:
        import MySQLdb  # an extra
    except ImportError as error:
        raise IndexUnusable(
            f"the Python package mysqlclient, which the URL of the index needs, cannot be loaded ({error}):"
            " pip install 'alpenhorn[mysql]'"
        ) from error
    return Finding(Level.PASS, f"mysqlclient {'.'.join(map(str, MySQLdb.version_info[:3]))}")


def _file_system(path: Path) -> Iterator[Finding]:
    """Warn if an SQLite index is on a network file system.  Raises IndexUnusable if that does not answer.

    Another process accesses it first, since this one could hang beyond being killed.
    """
    kind = network_file_system(
        path, ((mounted.mountpoint, mounted.fstype) for mounted in psutil.disk_partitions(all=True))
    )
    if not kind:
        return
    yield Finding(
        Level.WARN,
        Code.INDEX_ON_NETWORK_FILE_SYSTEM(path=path, kind=kind),
        "keep it on a local disk, or use MariaDB if several hosts share it",
    )
    try:
        run(("stat", "--", str(path)), timeout=STAT_SECONDS)
    except CommandTimedOut:
        raise IndexUnusable(
            f"the index {path} did not answer within {STAT_SECONDS:g} s; check its file server"
        ) from None
    except CommandFailed:
        pass  # reported when it is opened


def network_file_system(path: Path, mounts: Iterable[tuple[str, str]]) -> str:
    """Return the type of the file system of an absolute path if it is in NETWORK, else "".

    `mounts`: (mount point, type); later ones hide earlier ones.  No disk is accessed.
    """
    parts = Path(os.path.normpath(path)).parts
    longest, found = 0, ""
    for point, kind in mounts:
        place = Path(point).parts
        if len(place) >= longest and parts[: len(place)] == place:
            longest, found = len(place), kind
    return found if found in NETWORK else ""


def _writable(index: Index) -> Finding:
    try:
        scan.try_to_write(index)
    except IndexUnusable as error:
        return Finding(Level.FAIL, error.reason)
    return Finding(Level.PASS, "the index is writable")


def backup(backups: Backups, within_s: float) -> Iterator[Finding]:
    """Check that the index has a recent backup; yield nothing in the first days of an index."""
    if wrong := fault(backups, within_s):
        yield Finding(Level.WARN, wrong, "alpenhorn db backup, daily from cron")
    elif backups.newest is not None and backups.newest.at is not None:
        age = ago(backups.now - backups.newest.at)
        yield Finding(Level.PASS, f"the newest backup of the index is {age} old: {backups.newest.path}")


def _host(facts: scan.HostFacts, host: str) -> Finding:
    if facts.unknown:
        return Finding(
            Level.FAIL,
            Code.THIS_HOST_NOT_IN_INDEX(detail=facts.unknown),
            f"alpenhorn host create {quote(host)}, or, if this host has another name in the index, set [sync] host to"
            " it",
        )
    here = facts.topology.here(host)
    if here:
        names = ", ".join(node.name for node in here[:5]) + (", …" if len(here) > 5 else "")
        return Finding(Level.PASS, f"host {host} is in the index; its active nodes: {names}")
    off = sorted(node.name for node in facts.topology.nodes.values() if node.host == host)
    return Finding(
        Level.WARN,
        Code.HOST_WITHOUT_ACTIVE_NODE(host=host),
        f"alpenhorn node activate {quote(off[0])}"
        if off
        else f"alpenhorn node create NAME --host {quote(host)} --root DIR --init --activate --create-group",
    )
