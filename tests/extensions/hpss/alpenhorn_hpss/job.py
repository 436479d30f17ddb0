"""The jobs of the batch system: `python -m alpenhorn_hpss.job put ROOT DIRECTORY BATCH`, or `get` for restores.

A job that is killed leaves no report, and no file that looks complete.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from alpenhorn.errors import AlpenhornError

from .catalogue import Catalogue, Report, flush
from .programs import Programs


def put(root: str, directory: str, batch: str) -> None:
    """Put the members of a batch into one archive, and read them back from it.

    The checksum that HPSS stores is made of what HPSS has.  Only then are the members read back: while the checksum
    stays right, they are on tape with the MD5 sums that were read.
    """
    catalogue, archive = Catalogue(root), f"{directory}/{batch}.tar"
    statuses = {}
    for path in catalogue.batch(batch) or {}:
        if os.path.isfile(Path(root, path)):
            statuses[path] = os.stat(Path(root, path))
    scratch = _scratch(catalogue, batch)
    try:
        os.chdir(root)
        Programs().create(archive, _list(scratch, list(statuses)))
        os.chdir(scratch)
        Programs().extract(archive, _list(scratch, list(statuses)))
        files = {
            path: (status.st_size, md5(scratch / path), status.st_mtime_ns)
            for path, status in statuses.items()
            if (scratch / path).is_file()
        }
        report = Report("", files)
    except AlpenhornError as error:
        report = Report(str(error), {})
    catalogue.put_report(batch, report)
    shutil.rmtree(scratch)


def get(root: str, directory: str, name: str) -> None:
    """Restore the files of a request, all from one archive, in place of their stubs."""
    catalogue = Catalogue(root)
    entries = [
        entry
        for path in catalogue.restore(name)
        if (entry := catalogue.entry(path)) and (entry.stub or not Path(root, path).exists())
    ]
    if entries:
        scratch = _scratch(catalogue, name)
        os.chdir(scratch)
        Programs().extract(
            f"{directory}/{entries[0].batch}.tar", _list(scratch, [entry.path for entry in entries])
        )
        for entry in entries:
            found, place = scratch / entry.path, Path(root, entry.path)
            if not found.is_file() or md5(found) != entry.md5sum:
                continue
            os.chmod(found, place.stat().st_mode if place.exists() else 0o444)
            os.utime(found, ns=(entry.mtime_ns, entry.mtime_ns))
            fd = os.open(found, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
            place.parent.mkdir(parents=True, exist_ok=True)
            if catalogue.entry(entry.path) != entry:
                continue  # deleted meanwhile
            os.replace(found, place)
            flush(place.parent)
            catalogue.put(entry._replace(stub=False))
        shutil.rmtree(scratch)
    catalogue.remove_restore(name)


def md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _scratch(catalogue: Catalogue, name: str) -> Path:
    scratch = catalogue.directory / "scratch" / name
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    return scratch


def _list(scratch: Path, paths: Sequence[str]) -> str:
    file = scratch / ".list"
    file.write_text("".join(f"{path}\n" for path in paths))
    return str(file)


if __name__ == "__main__":
    {"put": put, "get": get}[sys.argv[1]](*sys.argv[2:])
