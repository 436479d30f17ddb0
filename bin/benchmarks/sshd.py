"""A private ssh server, on a loopback port unless told otherwise, so that this host can act as another one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.clock import BenchFailed

SERVER = """\
Port {port}
ListenAddress {address}
HostKey "{base}/host_key"
AuthorizedKeysFile "{base}/authorized_keys"
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
"""
CLIENT = """\
Host *
    Port {port}
    IdentityFile "{base}/user_key"
    IdentitiesOnly yes
    UserKnownHostsFile "{base}/known_hosts"
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    LogLevel ERROR
"""
START_SECONDS = 20


class CannotServe(Exception):
    """The ssh server cannot be started on this machine."""


class Sshd:
    """A running server.  Raises CannotServe.

    `ssh`: the argument list of a client that may log in; `port`, `key` (of the user) and `known_hosts`: for other
    clients.  `within`: the start of a command line that runs the server in another network.
    """

    def __init__(self, base: Path, address: str = "127.0.0.1", within: Sequence[str] = ()) -> None:
        self._address = address
        paths = {}
        for name in ("sshd", "ssh", "ssh-keygen", "rsync"):
            path = shutil.which(name)
            if path is None:
                raise CannotServe(f"{name} is not on PATH")
            paths[name] = path
        base.mkdir()
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd refuses to start without it
        for name in ("host_key", "user_key"):
            subprocess.run(
                [paths["ssh-keygen"], "-q", "-t", "ed25519", "-N", "", "-f", str(base / name)], check=True
            )
        with socket.socket() as probe:
            probe.bind(("", 0))
            self.port: int = probe.getsockname()[1]
        port = self.port
        self.key, self.known_hosts = base / "user_key", base / "known_hosts"
        shutil.copy(base / "user_key.pub", base / "authorized_keys")
        self.known_hosts.write_text(f"[{address}]:{port} {(base / 'host_key.pub').read_text()}")
        (base / "server").write_text(SERVER.format(port=port, base=base, address=address))
        (base / "client").write_text(CLIENT.format(port=port, base=base))
        self.ssh = ("ssh", "-F", str(base / "client"))
        with (base / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*within, paths["sshd"], "-D", "-e", "-f", str(base / "server")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait(port, base / "log")
        except BaseException:
            self.stop()
            raise

    def _wait(self, port: int, log: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                with socket.create_connection((self._address, port), timeout=1) as connection:
                    if connection.recv(4) == b"SSH-":
                        break
            except OSError:
                time.sleep(0.05)
        else:
            raise CannotServe(f"sshd did not start: {log.read_text(errors='replace').strip()}")
        if subprocess.run([*self.ssh, self._address, "true"], stdin=subprocess.DEVNULL).returncode != 0:
            raise BenchFailed("the benchmark's ssh server refuses the login")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
