"""`alpenhorn config`, as a separate process in a home directory of the test."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from alpenhorn import config
from alpenhorn.config import KEYS

pytestmark = pytest.mark.skipif(
    any(path.exists() for path in (config.SYSTEM_FILE, *config.DAEMON_FILES)),
    reason="this machine has a configuration of its own",
)

DAEMON = """
base: {hostname: cedar}
database: {url: "mysql://ann:s3cret@db.example.org/alpenhorn", isolation: high}
extensions: [alpenhorn.generic, our.detector]
logging:
    level: WARNING
    module_levels: {alpenhorn.db: info}
    syslog: {address: logs.example.org, port: 514}
    file: {name: /var/log/alpenhorn.log, watch: true, backup_count: 3}
daemon:
    num_workers: 3
    auto_verify_min_days: 14
    pull_timeout_base: 100
    pull_bytes_per_second: 1000
    update_interval: 60
    auto_import_interval: 30
    serial_io_timeout: 900
    prom_client_port: 8080
    walk: 1
mystery: {key: 1}
"""


def run(home: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "alpenhorn", *arguments],
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# --- show ----------------------------------------------------------------------------------------------


def settings(home: Path, *arguments: str, **environ: str) -> dict[str, tuple[object, str]]:
    done = run(home, *arguments, "config", "show", "--json", **environ)
    assert done.returncode == 0, done.stderr
    return {one["key"]: (one["value"], one["origin"]) for one in json.loads(done.stdout)}


def test_each_key_is_shown_with_its_origin(tmp_path: Path) -> None:
    user = write(
        tmp_path / ".config/alpenhorn/alpenhorn.toml", '[sync]\nhost = "cedar"\ntime_limit = "50m"\n'
    )
    more = write(tmp_path / "more.toml", '[sync]\nhost = "fir"\n[[import.pattern]]\npath = "(?P<acq>a)/x"\n')
    url = f"sqlite:///{tmp_path}/index.db"
    found = settings(tmp_path, "-c", str(more), ALPENHORN_DATABASE_URL=url)
    assert list(found) == [f"{section}.{key}" for section, keys in KEYS.items() for key in keys]
    assert found["sync.host"] == ("fir", str(more))
    assert found["sync.time_limit"] == ("50m", str(user))
    assert found["import.pattern"] == ([{"path": "(?P<acq>a)/x"}], str(more))
    assert found["database.url"] == (url, "ALPENHORN_DATABASE_URL")
    assert found["sync.archive_copy_count"] == (2, "default")
    assert found["sync.delete_limit"] == ("10%", "default")
    assert found["transfer.ssh"] == (["ssh"], "default")
    assert found["log.file"] == (None, "default")
    table = run(tmp_path, "-c", str(more), "config", "show").stdout
    assert [line.split() for line in table.splitlines() if line.startswith("sync.host")] == [
        ["sync.host", '"fir"', str(more)]
    ]
    rows = list(csv.DictReader(io.StringIO(run(tmp_path, "config", "show", "--format", "csv").stdout)))
    assert {"key": "sync.time_limit", "value": "50m", "origin": str(user)} in rows


def test_no_password_is_shown(tmp_path: Path) -> None:
    conf = write(
        tmp_path / "a.toml",
        '[database]\nurl = "mysql://ann:s3cret@db.org/index"\n'
        '[transfer]\nssh = ["ssh", "-o", "ProxyCommand=curl https://ann:s3cret@proxy.org"]\n',
    )
    for form in ("table", "csv", "json"):
        done = run(tmp_path, "-c", str(conf), "config", "show", "--format", form)
        assert done.returncode == 0 and "s3cret" not in done.stdout + done.stderr
        assert "mysql://ann@db.org/index" in done.stdout


# --- validate ------------------------------------------------------------------------------------------


def test_all_faults_are_reported_with_the_status_of_an_unusable_configuration(tmp_path: Path) -> None:
    conf = write(tmp_path / "a.toml", "[sync]\njobs = 0\nhosts = 1\n[log]\nlevel = 'loud'\n")
    for arguments in (("-c", str(conf), "config", "validate"), ("config", "validate", str(conf))):
        done = run(tmp_path, *arguments)
        assert done.returncode == 3 and done.stdout == ""
        assert len(done.stderr.splitlines()) == 3 and all(
            word in done.stderr for word in ("jobs", "hosts", "loud")
        )


def test_a_file_is_checked_without_the_others(tmp_path: Path) -> None:
    write(tmp_path / ".config/alpenhorn/alpenhorn.toml", "[sync]\njobs = 0\n")
    good = write(tmp_path / "good.toml", "[sync]\njobs = 3\n")
    done = run(tmp_path, "config", "validate", str(good), ALPENHORN_DATABASE_URL="rubbish")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{good}: valid\n", "")
    assert run(tmp_path, "-c", str(good), "config", "validate").returncode == 3
    assert "no such file" in run(tmp_path, "config", "validate", "absent.toml").stderr


def test_defaults_are_valid(tmp_path: Path) -> None:
    done = run(tmp_path, "config", "validate")
    assert (done.returncode, done.stdout) == (0, "No configuration files; the defaults are used.\n")


# --- convert -------------------------------------------------------------------------------------------


def test_the_configuration_of_the_daemon_is_converted(tmp_path: Path) -> None:
    conf = write(tmp_path / "alpenhorn.conf", DAEMON)
    done = run(tmp_path, "config", "convert", str(conf))
    assert done.returncode == 0
    assert tomllib.loads(done.stdout) == {
        "database": {
            "url": "mysql://ann@db.example.org/alpenhorn",
            "password_file": "~/.config/alpenhorn/password",
        },
        "sync": {"host": "cedar", "jobs": 3, "auto_verify_min_days": 14},
        "transfer": {"pull_timeout_base": 100, "pull_bytes_per_second": 1000},
        "log": {"level": "WARNING", "syslog": True, "file": "/var/log/alpenhorn.log"},
    }
    assert "s3cret" not in done.stdout + done.stderr
    noted = {line.removeprefix("note: ").split(": ")[0] for line in done.stderr.splitlines()}
    assert noted == {
        "database.url",
        "database.isolation",
        "extensions",
        "logging.module_levels",
        "logging.syslog.address",
        "logging.syslog.port",
        "logging.file.backup_count",
        "daemon.update_interval",
        "daemon.auto_import_interval",
        "daemon.serial_io_timeout",
        "daemon.prom_client_port",
        "daemon.walk",
        "mystery",
    }
    assert "our.detector" in done.stderr
    converted = write(tmp_path / "new.toml", done.stdout)
    assert run(tmp_path, "config", "validate", str(converted)).returncode == 0


@pytest.mark.parametrize(
    ("yaml", "kept", "noted"),
    [
        ("service: {num_workers: 2}", {"sync": {"jobs": 2}}, ""),
        ("daemon: {num_workers: 0}", {}, "daemon.num_workers: no equivalent of 0"),
        ("daemon: {auto_verify_min_days: often}", {}, "expected a number, 0 or more"),
        ("base: {hostname: [a]}", {}, "base.hostname: not converted"),
        ("database: {url: 'sqlite:///index.db'}", {}, "the path is not absolute"),
        ("database: {url: 'sqlite:////srv/i.db'}", {"database": {"url": "sqlite:////srv/i.db"}}, ""),
        ("database: {url: 'postgresql://ann:s3cret@h/n'}", {}, "database.url: not converted"),
        ("logging: {syslog: {enable: false, port: 1}}", {}, ""),
        ("logging: {syslog: {address: /dev/log, port: 0}}", {"log": {"syslog": True}}, ""),
        ('base: {hostname: "a\\"b\\\\c"}', {"sync": {"host": 'a"b\\c'}}, ""),
        ("daemon:\nlogging:\nextensions:\n", {}, ""),
    ],
)
def test_values_that_need_care(tmp_path: Path, yaml: str, kept: dict[str, object], noted: str) -> None:
    done = run(tmp_path, "config", "convert", str(write(tmp_path / "a.conf", yaml)))
    assert done.returncode == 0 and tomllib.loads(done.stdout) == kept
    assert noted in done.stderr and bool(noted) == bool(done.stderr) and "s3cret" not in done.stderr


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("a: [s3cret", "invalid YAML in line 1"),
        ("a: !!python/object:os.system s3cret", "invalid YAML in line 1"),
        ("s3cret", "expected sections of keys"),
        ("", "expected sections of keys"),
        ("[" * 5000, "invalid YAML"),
    ],
)
def test_files_that_cannot_be_converted(tmp_path: Path, yaml: str, said: str) -> None:
    done = run(tmp_path, "config", "convert", str(write(tmp_path / "a.conf", yaml)))
    assert (done.returncode, done.stdout) == (3, "")
    assert said in done.stderr and "s3cret" not in done.stderr and len(done.stderr.splitlines()) == 1
    assert "No such file" in run(tmp_path, "config", "convert", "absent").stderr


def test_without_pyyaml_the_extra_is_named(tmp_path: Path) -> None:
    write(tmp_path / "yaml.py", "raise ImportError\n")
    conf = write(tmp_path / "a.conf", "{}")
    done = run(tmp_path, "config", "convert", str(conf), PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.splitlines() == [
        "Error: the Python package PyYAML, which reads YAML, is not installed: pip install 'alpenhorn[convert]'"
    ]


# --- only the daemon is configured ---------------------------------------------------------------------


@pytest.mark.parametrize("place", [".config/alpenhorn/alpenhorn.conf", ".alpenhorn/alpenhorn.conf"])
@pytest.mark.parametrize("command", ["status", "db init", "host create here", "sync"])
def test_no_command_creates_an_index_beside_that_of_the_daemon(
    tmp_path: Path, place: str, command: str
) -> None:
    conf = write(tmp_path / place, DAEMON)
    done = run(tmp_path, *command.split())
    assert (done.returncode, done.stdout) == (3, "")
    assert f"{conf}: a configuration of the alpenhorn daemon" in done.stderr
    assert not (tmp_path / ".local").exists()
    # What is printed works when it is typed.
    remedy = done.stderr.partition("convert it with: ")[2].strip()
    typed = subprocess.run(
        ["/bin/sh", "-c", remedy.replace("alpenhorn config", f"{sys.executable} -m alpenhorn config")],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert typed.returncode == 0, typed.stderr
    assert settings(tmp_path)["sync.host"] == ("cedar", f"{tmp_path}/.config/alpenhorn/alpenhorn.toml")


def test_an_index_that_is_there_or_configured_is_used_as_before(tmp_path: Path) -> None:
    assert run(tmp_path, "db", "init").returncode == 0
    write(tmp_path / ".config/alpenhorn/alpenhorn.conf", DAEMON)
    assert run(tmp_path, "host", "list").returncode == 0
    assert run(tmp_path, "db", "init").returncode == 0
    url = f"sqlite:///{tmp_path}/other.db"
    assert run(tmp_path, "db", "init", ALPENHORN_DATABASE_URL=url).returncode == 0


def test_a_variable_that_names_the_file_of_the_daemon(tmp_path: Path) -> None:
    conf = write(tmp_path / "daemon.conf", DAEMON)
    done = run(tmp_path, "status", ALPENHORN_CONFIG_FILE=str(conf))
    assert done.returncode == 3 and "alpenhorn config convert" in done.stderr
    assert not (tmp_path / ".local").exists()


def test_doctor_names_the_conversion_too(tmp_path: Path) -> None:
    conf = write(tmp_path / ".config/alpenhorn/alpenhorn.conf", DAEMON)
    done = run(tmp_path, "doctor")
    assert done.returncode == 3 and "alpenhorn db init" not in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("fail"))
    assert f"{conf}: a configuration of the alpenhorn daemon" in line and "alpenhorn config convert" in line
