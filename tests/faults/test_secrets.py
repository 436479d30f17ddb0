"""The password of the index appears in no process list, log, message, backup, or environment of a child process."""

from __future__ import annotations

import gzip
import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from tests.fixtures.archive import Archive, stand_in, wait_for
from tests.fixtures.server import NetworkServer

PASSWORD = "Geheim/+%wort"


@pytest.mark.parametrize("where", ["password_file", "url"])
def test_no_process_and_no_dump_shows_the_password(
    network_server: NetworkServer, network_database: str, tmp_path: Path, where: str
) -> None:
    """All processes of a run are inspected while it works; a backup and a dump are read in full."""
    user = f"secretive_{os.getpid()}"
    network_server.run(
        f"CREATE USER {user}@'%' IDENTIFIED BY '{PASSWORD}'", f"GRANT ALL ON *.* TO {user}@'%'"
    )
    password_file = tmp_path / "password"
    password_file.write_text(PASSWORD)
    password_file.chmod(0o600)
    url = f"mysql://{user}@127.0.0.1:{network_server.port}/{network_database}"
    asked = 'case "$*" in *--version*) exec rsync "$@" ;; esac'
    reached, go = tmp_path / "reached", tmp_path / "go"
    wait = f"touch {reached}; while [ ! -e {go} ]; do sleep 0.05; done"
    slow = stand_in(tmp_path / "bin", "slow", f'{asked}\n{wait}\nexec rsync "$@"')
    secret_url = url.replace("@", f":{quote(PASSWORD, safe='')}@")
    database = {"url": secret_url} if where == "url" else {"url": url, "password_file": str(password_file)}
    archive = Archive(tmp_path, secret_url)
    try:
        archive.node("field")
        archive.node("safe", archive=1, io_config='{"method": "rsync"}')
        request = archive.request(archive.file("acq/f", b"bytes", "field"), "field", "safe")
        archive.configure(
            database=database,
            transfer={"rsync": str(slow)},
            log={"level": "debug", "file": str(tmp_path / "here.log")},
        )
        run = archive.start("-vv", "sync")
        wait_for(reached.exists, "the pull")
        shown, told = [], []
        for process in run.processes():
            with suppress(psutil.Error):  # it has ended
                told.append(process.environ())
                shown.append(" ".join(process.cmdline()))
        go.touch()
        result = run.result()
        assert result.status == 0 and archive.state(request) == "done", result
        assert len(shown) > 3 and any(str(slow) in line for line in shown)
        kept = tmp_path / "kept"
        kept.mkdir()
        for command in (("db", "backup", str(kept)), ("doctor",), ("db", "check"), ("status", "--json")):
            done = archive.run("-vv", *command)
            shown += [done.out, done.err]
        (backup,) = (path for path in kept.iterdir() if path.stat().st_size > 1000)
        content = backup.read_bytes()
        shown += [gzip.decompress(content).decode() if content[:2] == b"\x1f\x8b" else content.decode()]
        assert "acq" in shown[-1]
        shown += [(tmp_path / "here.log").read_text(), result.err, repr(told)]
        for secret in (PASSWORD, quote(PASSWORD, safe="")):
            assert not [text for text in shown if secret in text]
    finally:
        archive.close()
        network_server.run(f"DROP USER {user}@'%'")
