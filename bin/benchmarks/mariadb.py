"""A private MariaDB server on a socket, with the settings of a small production server."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psutil

from benchmarks.clock import BenchFailed

START_SECONDS = 60
DATABASE = "alpenhorn"
AS_ROOT = () if os.geteuid() else ("--user=root",)


class MariaDB:
    """A running server with an empty database; `url` is its URL for alpenhorn.  Raises BenchFailed."""

    def __init__(self, base: Path) -> None:
        for name in ("mariadb-install-db", "mariadbd", "mariadb"):
            if shutil.which(name) is None:
                raise BenchFailed(f"{name} is not on PATH; bin/test installs it")
        self._data = base / "data"
        # The path of a socket has at most 107 bytes.
        self._runtime = Path(tempfile.mkdtemp(prefix="maria"))
        self._socket = self._runtime / "s"
        self._log = base / "log"
        self._run(
            *("mariadb-install-db", "--no-defaults", f"--datadir={self._data}", "--skip-test-db", *AS_ROOT),
            "--auth-root-authentication-method=normal",
        )
        with self._log.open("ab") as log:
            self._server = subprocess.Popen(
                [
                    *("mariadbd", "--no-defaults", *AS_ROOT, f"--datadir={self._data}"),
                    *(f"--socket={self._socket}", f"--pid-file={self._runtime / 'pid'}", "--skip-networking"),
                    *("--skip-log-bin", "--character-set-server=utf8mb4", "--innodb-buffer-pool-size=1G"),
                    "--innodb-log-file-size=512M",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while self._client("SELECT 1", "mysql").returncode:
            if self._server.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise BenchFailed(f"mariadbd does not answer:\n{self._log.read_text(errors='replace')}")
            time.sleep(0.1)
        self._execute(f"CREATE DATABASE {DATABASE}", "mysql")
        self.url = f"mysql://root@/{DATABASE}?unix_socket={quote(str(self._socket), safe='/')}"

    def execute_all(self, statements: Iterator[str]) -> None:
        """Execute statements in the database of alpenhorn."""
        for statement in statements:
            self._execute(statement, DATABASE)

    def rows(self, sql: str) -> list[list[str]]:
        """Return the rows of a query in the database of alpenhorn, all values as text."""
        return [line.split("\t") for line in self._execute(sql, DATABASE).splitlines()]

    def counters(self) -> dict[str, int]:
        """Return the counters of the server since its start (SHOW GLOBAL STATUS)."""
        return {name: int(value) for name, value in self.rows("SHOW GLOBAL STATUS") if value.isdecimal()}

    def cpu_seconds(self) -> float:
        """Return the processor time of the server since its start."""
        times = psutil.Process(self._server.pid).cpu_times()
        return float(times.user + times.system)

    def renew(self) -> None:
        """Replace the database by an empty one."""
        self._execute(f"DROP DATABASE {DATABASE}; CREATE DATABASE {DATABASE}", "mysql")

    def stop(self) -> None:
        self._server.terminate()
        self._server.wait()
        shutil.rmtree(self._runtime)

    def _execute(self, sql: str, database: str) -> str:
        made = self._client(sql, database)
        if made.returncode:
            raise BenchFailed(f"mariadb: {made.stderr.strip()}")
        return made.stdout

    def _client(self, sql: str, database: str) -> subprocess.CompletedProcess[str]:
        argv = [
            "mariadb",
            "--no-defaults",
            "-u",
            "root",
            f"--socket={self._socket}",
            "-BN",
            database,
        ]
        # On standard input: an argument has at most 128 KiB.
        return subprocess.run(argv, input=sql, capture_output=True, text=True)

    def _run(self, *argv: str) -> None:
        made = subprocess.run(argv, capture_output=True, text=True)
        if made.returncode:
            raise BenchFailed(f"{argv[0]}: {made.stdout}{made.stderr}")
