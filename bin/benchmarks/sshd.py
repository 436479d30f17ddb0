"""A private ssh server on a loopback port, so that this host can act as another one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from benchmarks.clock import BenchFailed

SERVER = """\
Port {port}
ListenAddress 127.0.0.1
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
    clients.
    """

    def __init__(self, base: Path) -> None:
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
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        port = self.port
        self.key, self.known_hosts = base / "user_key", base / "known_hosts"
        shutil.copy(base / "user_key.pub", base / "authorized_keys")
        self.known_hosts.write_text(f"[127.0.0.1]:{port} {(base / 'host_key.pub').read_text()}")
        (base / "server").write_text(SERVER.format(port=port, base=base))
        (base / "client").write_text(CLIENT.format(port=port, base=base))
        self.ssh = ("ssh", "-F", str(base / "client"))
        with (base / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [paths["sshd"], "-D", "-e", "-f", str(base / "server")],
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
                with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                    if connection.recv(4) == b"SSH-":
                        break
            except OSError:
                time.sleep(0.05)
        else:
            raise CannotServe(f"sshd did not start: {log.read_text(errors='replace').strip()}")
        if subprocess.run([*self.ssh, "127.0.0.1", "true"], stdin=subprocess.DEVNULL).returncode != 0:
            raise BenchFailed("the benchmark's ssh server refuses the login")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
