"""Make a bag (BagIt, RFC 8493) of a directory with the package bagit, which is an extra.

The package reads every file once more, so its sums are those of the data as written.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import bagit

from alpenhorn.errors import Refused

SUMS = ["md5", "sha256"]


def make(directory: Path, info: Mapping[str, str], expected: Mapping[str, tuple[str, str]]) -> None:
    """Move the contents of a directory to `data` in it, and add manifests and the other files of a bag.

    `info`: the lines of bag-info.txt; `expected`: the MD5 and SHA-256 sum of each file, by path below the directory.
    Raises Refused if the bag is not valid, or has other files or sums.
    """
    logging.getLogger("bagit").setLevel(logging.CRITICAL)  # errors are raised as well
    try:
        bag = bagit.make_bag(str(directory), dict(info), checksums=SUMS)
        # All but the sums, which have just been computed.
        bag.validate(completeness_only=True)
    except (bagit.BagError, OSError, RuntimeError, ValueError) as error:
        raise Refused(f"the bag is not valid: {error}; nothing was written") from error
    payload = {
        path: tuple(sums[name] for name in SUMS)
        for path, sums in bag.entries.items()
        if path.startswith("data/")
    }
    wanted = {f"data/{path}": sums for path, sums in expected.items()}
    wrong = sorted(path for path in payload.keys() | wanted.keys() if payload.get(path) != wanted.get(path))
    if wrong:
        raise Refused(
            f"{wrong[0]!r} in the bag differs from what was copied; nothing was written; check the disk of the bag"
        )
