from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from alpenhorn.fs.placing import unchanged
from alpenhorn.model.tasks import Blame
from alpenhorn.transfer.blame import TransferFailed
from alpenhorn.transfer.link import verify


def test_a_right_source_is_known_again_until_it_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"data")
    fd = os.open(path, os.O_RDONLY)
    status, _ = verify(fd, 4, hashlib.md5(b"data").hexdigest())
    os.link(path, tmp_path / "second")
    assert unchanged(os.fstat(fd), status)
    os.utime(path, ns=(1, 1))
    assert not unchanged(os.fstat(fd), status)
    os.close(fd)


@pytest.mark.parametrize("found", [b"dat", b"data!", b"DATA", b""])
def test_a_wrong_source_is_to_blame(tmp_path: Path, found: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(found)
    fd = os.open(path, os.O_RDONLY)
    with pytest.raises(TransferFailed) as failed:
        verify(fd, 4, hashlib.md5(b"data").hexdigest())
    os.close(fd)
    assert failed.value.blame is Blame.SOURCE
