"""The README, the installation and the tour, followed to the letter on three simulated hosts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.end_to_end.tour import PROMPT, File, Shell, Step, differs, script
from tests.fixtures.index import MariaDBServer
from tests.fixtures.manual import DOCS, README, ROOT, documents
from tests.fixtures.sshd import Sshd, require_ssh

LAPTOP = "laptop"  # the one host of the README
HOSTS = ("field", "archive")
# In the order in which they are done, and the hosts that a bare prompt means.
DOCUMENTS = {README: (LAPTOP,), DOCS / "install.md": HOSTS, DOCS / "tour.md": HOSTS}
PASSED_ON = ("PIP_", "SSL_", "REQUESTS_", "http_", "https_", "HTTP_", "HTTPS_", "no_proxy", "NO_PROXY")


class Done(NamedTuple):
    """A command of a document, and the result of running it on a host."""

    document: Path
    step: Step
    host: str
    status: int
    said: list[str]


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a login shell, plus the settings that pip needs here to find packages."""
    passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    config = Path.home() / ".config/pip/pip.conf"
    if config.exists():
        passed.setdefault("PIP_CONFIG_FILE", str(config))
    passed.setdefault("PIP_CACHE_DIR", str(Path.home() / ".cache/pip"))
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return passed | {"HOME": str(home), "LANG": "C.UTF-8", "PATH": path}


def words(base: Path, host: str, mariadb: MariaDBServer, ssh: Path, user: str) -> dict[str, str]:
    """Return replacements for everything in the text that differs on this machine."""
    home = base / host
    return {
        # a server that listens on a socket only, and an administrator who needs no sudo
        "mysql://alpenhorn@archive.example.org/alpenhorn": mariadb.url("alpenhorn", "alpenhorn"),
        "sudo mariadb": f"mariadb --no-defaults --user=root --socket={mariadb.socket}",
        # a Python that is new enough, whatever the machine calls python3
        "python3 -m venv": f"{sys.executable} -m venv",
        # disks, homes and users
        "/data/": f"{base}/data/",
        "/home/alpenhorn/": f"{home}/",
        "alpenhorn@field": f"{user}@field",
        "--username alpenhorn": f"--username {user}",
        # two hosts on one machine: each is told its name, and ssh where they are; a key that the server knows
        # stands for the password that ssh-copy-id asks for
        'host = "field"': f'host = "{host}"\n[transfer]\nssh = ["ssh", "-F", "{ssh}"]',
        "ssh-copy-id ": f"ssh-copy-id -f -i {home}/.ssh/id_ed25519.pub -F {ssh}.password ",
        "ssh -o ": f"ssh -F {ssh} -o ",
    }


def quicker(checkout: Path, wheels: Path) -> dict[str, str]:
    """Return replacements for the commands that install alpenhorn, which take most of the time: install a wheel that is
    built once, with the pip of the tests.  The laptop does what the README says."""
    pip = f"{sys.executable} -m pip --disable-pip-version-check"
    made = subprocess.run(
        [
            *pip.split(),
            "wheel",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            str(wheels),
            str(checkout),
        ],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, f"pip, which needs the setuptools of the extra check: {made.stderr}"
    (wheel,) = wheels.iterdir()
    install = f"{pip} --python ~/alpenhorn/bin/python install"
    return {
        "python3 -m venv": f"{sys.executable} -m venv --without-pip",
        "~/alpenhorn/bin/pip install .": f"{install} {wheel}",
        "~/alpenhorn/bin/pip install '.[mysql]'": f"{install} '{wheel}[mysql]'",
    }


@pytest.fixture(scope="module")
def shells(
    mariadb: MariaDBServer, tmp_path_factory: pytest.TempPathFactory, long: bool
) -> Iterator[dict[str, Shell]]:
    """A shell in a checkout on each host, with a database server, and an ssh server on the host field."""
    base = tmp_path_factory.mktemp("tour")
    for host in (LAPTOP, *HOSTS):
        (base / host / ".ssh").mkdir(parents=True, mode=0o700)
        copy_checkout(base / host / "checkout")
    installed: dict[str, str] = {}
    if not long:
        copy_checkout(base / "source")
        installed = quicker(base / "source", base / "wheels")
    with ExitStack() as stack:
        server = stack.enter_context(ssh_server(base))
        ssh = base / "ssh_config"
        entry = server.client("field.example.org") + f"    HostName {server.address}\n"
        (base / "ssh_config.password").write_text(entry)
        key = f"IdentityFile {base}/archive/.ssh/id_ed25519"
        ssh.write_text(entry.replace(f"IdentityFile {server.base}/user_key", key))
        stack.callback(mariadb.run, "DROP DATABASE IF EXISTS alpenhorn", "DROP USER IF EXISTS alpenhorn")
        shells = {}
        for host in HOSTS:
            replaced = words(base, host, mariadb, ssh, server.username) | installed
            shells[host] = Shell(host, base / host / "checkout", environment(base / host), replaced)
            stack.callback(shells[host].close)
        shells[LAPTOP] = laptop(base / LAPTOP)
        stack.callback(shells[LAPTOP].close)
        yield shells


def laptop(home: Path) -> Shell:
    """A shell on a host without configuration, except for its name, which differs from that of the machine."""
    name = home / "name.toml"
    name.write_text(f'[sync]\nhost = "{LAPTOP}"\n')
    replaced = {"python3 -m venv": f"{sys.executable} -m venv", "/home/you/": f"{home}/"}
    environ = {**environment(home), "ALPENHORN_CONFIG_FILE": str(name)}
    return Shell(LAPTOP, home / "checkout", environ, replaced)


def copy_checkout(to: Path) -> None:
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        to.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, to)
    shutil.copytree(ROOT / "alpenhorn", to / "alpenhorn", ignore=shutil.ignore_patterns("__pycache__"))


@contextmanager
def ssh_server(base: Path) -> Iterator[Sshd]:
    """An ssh server for the host field, whose users have their home directories there."""
    require_ssh()
    directory = base / "sshd"
    directory.mkdir()
    server = Sshd(directory)
    server.stop()
    config = directory / "sshd_config"
    keys = f"AuthorizedKeysFile {directory}/authorized_keys"
    home = base / "field"
    text = config.read_text().replace(keys, f"{keys} {home}/.ssh/authorized_keys")
    config.write_text(f"{text}SetEnv HOME={home}\n")
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def done(shells: dict[str, Shell]) -> list[Done]:
    """Run every command of the documents."""
    found = []
    for document, all_hosts in DOCUMENTS.items():
        for item in script(document.read_text()):
            if isinstance(item, File):
                for host in all_hosts:
                    shells[host].write(item.path, item.content)
                continue
            hosts = (item.host,) if item.host else all_hosts
            for host in hosts:
                shells[host].begin(item.command)
            found += [Done(document, item, host, *shells[host].end()) for host in hosts]
    return found


def wrong(done: Done, step: Step) -> str:
    """Return how the result of a command differs from `step`, its description in the text."""
    what = f"{done.document.name}, line {step.number}: {done.host}$ {step.command}\n"
    refused = any(line.startswith("Error: ") for line in step.shown or ())
    if bool(done.status) != refused:
        return what + "\n".join([f"ended with status {done.status}:", *done.said])
    difference = "" if step.shown is None else differs(step.shown, done.said)
    return difference and what + difference


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.timeout(900)
def test_every_command_prints_what_the_document_shows(done: list[Done]) -> None:
    assert [text for one in done if (text := wrong(one, one.step))] == []


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.timeout(900)
def test_every_command_of_the_document_is_run(done: list[Done]) -> None:
    for document, all_hosts in DOCUMENTS.items():
        lines = enumerate(document.read_text().splitlines(), 1)
        prompts = [
            (number, prompt["host"]) for number, line in lines if (prompt := PROMPT.match(line.strip()))
        ]
        assert [(one.step.number, one.host) for one in done if one.document == document] == [
            (number, host) for number, named in prompts for host in ([named] if named else all_hosts)
        ]


def test_every_document_with_commands_at_a_prompt_is_run() -> None:
    assert {path for path in documents() if "```console" in path.read_text()} == set(DOCUMENTS)


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.timeout(900)
def test_a_changed_added_or_omitted_line_of_output_is_found(done: list[Done], long: bool) -> None:
    for document, step in dict.fromkeys((one.document, one.step) for one in done if one.step.shown):
        lines = document.read_text().splitlines()
        assert step.shown
        for number in range(step.below, step.below + len(step.shown)):
            found = list(mutants(lines[number - 1], alone=len(step.shown) == 1))
            # The text is read anew for each.
            for mutant in found if long else found[number % 4 :: 8]:
                text = "\n".join([*lines[: number - 1], *mutant, *lines[number:]])
                (told,) = (one for one in script(text) if isinstance(one, Step) and one.number == step.number)
                ran = [one for one in done if (one.document, one.step) == (document, step)]
                assert all(wrong(one, told) for one in ran), (document, number, mutant)


def mutants(line: str, alone: bool) -> Iterator[list[str]]:
    """Yield changes of a line: removed (harmless if it is `alone`), doubled, or with other words."""
    if not alone:
        yield []
    yield [line, line]
    words = line.split(" ")
    for i, word in enumerate(words):
        if any(char.isalnum() for char in word):
            yield [" ".join([*words[:i], word + "x", *words[i + 1 :]])]


def test_the_ellipsis_stands_for_times_and_sizes_only() -> None:
    for text in ("2026-07-22 10:00:00", "67.20 GiB", "980 B", "0.0 %", "17", "0.3 s", "1 second"):
        assert not differs(["at … then"], [f"at {text} then"])
    for text in ("", "yes", "gone", "field", "GiB", "12 files", "1, 2"):
        assert differs(["at … then"], [f"at {text} then"])
    assert differs(["…"], []) and differs([], ["1"]) and differs(["…"], ["1", "2"])
