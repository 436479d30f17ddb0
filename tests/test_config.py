from __future__ import annotations

import os
from pathlib import Path

import pytest

from alpenhorn import config
from alpenhorn.config import (
    KEYS,
    Config,
    Database,
    Import,
    Log,
    Notify,
    Sync,
    Transfer,
    load,
    parse_duration,
    state_directory,
)
from alpenhorn.errors import UNUSABLE, ConfigError

pytestmark = pytest.mark.skipif(
    config.SYSTEM_FILE.exists(), reason="this machine has a configuration of its own"
)

FULL = """
[database]
url = "mysql://alpenhorn@db.example.org/alpenhorn"
password_file = "/etc/alpenhorn/db.password"
[sync]
host = "archive1"
jobs = 4
time_limit = "50m"
archive_copy_count = 3
auto_verify_min_days = 14
import_settle = "2m"
[transfer]
pull_timeout_base = 100
pull_bytes_per_second = 0
ssh = ["ssh", "-F", "/etc/alpenhorn/ssh"]
rsync = "/opt/rsync"
bbcp = "bbcp"
tar = false
bwlimit = {"18:00" = "off", "8:00" = "5 MB"}
[[import.pattern]]
path = '(?P<acq>\\d+)/(?P<file>.+)'
[log]
level = "WARNING"
file = "/var/log/alpenhorn.log"
syslog = true
[notify]
ping = "https://hc.example.org/uuid"
apprise = ["mailto://me:pass@example.org", "json://host/path"]
command = ["notify", "-v"]
level = "failure"
events = ["begin", "end"]
at_most_every = "10m"
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def read(tmp_path: Path, text: str, **environ: str) -> Config:
    return load(write(tmp_path / "a.toml", text), {"HOME": str(tmp_path / "home"), **environ})


def faults(tmp_path: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, **environ)
    assert caught.value.exit_status == UNUSABLE
    assert str(caught.value).splitlines() == list(caught.value.faults)
    return [fault.replace(f"{tmp_path / 'a.toml'}: ", "") for fault in caught.value.faults]


def test_a_speed_has_any_unit(tmp_path: Path) -> None:
    for text, speed in (("20_000_000", 20e6), ("'20 MB'", 20e6), ("'1.5MiB'", 1.5 * 2**20), ("'0'", 0.0)):
        found = read(tmp_path, f"[transfer]\npull_bytes_per_second = {text}\n")
        assert found.transfer.pull_bytes_per_second == speed


def test_without_any_configuration_the_embedded_index_is_used(tmp_path: Path) -> None:
    found = load(None, {"HOME": str(tmp_path)})
    assert found.embedded
    assert found.sources == ()
    assert found.database == Database(f"sqlite:///{tmp_path}/.local/share/alpenhorn/alpenhorn.db")
    assert found.sync == Sync(host=os.uname().nodename.split(".")[0], jobs=len(os.sched_getaffinity(0)))
    assert (found.transfer, found.import_, found.log) == (Transfer(), Import(), Log())
    assert list(tmp_path.iterdir()) == []


def test_xdg_directories_are_honoured_and_relative_ones_ignored(tmp_path: Path) -> None:
    home = {"HOME": "/home/x"}
    assert (
        load(None, {**home, "XDG_DATA_HOME": "/data"}).database.url
        == "sqlite:////data/alpenhorn/alpenhorn.db"
    )
    assert load(None, {**home, "XDG_DATA_HOME": "data"}).database.url.startswith("sqlite:////home/x/.local")
    write(tmp_path / "alpenhorn" / "alpenhorn.toml", "[sync]\nhost = 'h'")
    assert load(None, {**home, "XDG_CONFIG_HOME": str(tmp_path)}).sync.host == "h"


def test_every_key_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, FULL)
    assert not found.embedded
    assert found.sources == (tmp_path / "a.toml",)
    assert found.database == Database(
        "mysql://alpenhorn@db.example.org/alpenhorn", Path("/etc/alpenhorn/db.password")
    )
    assert found.sync == Sync("archive1", 4, 3000.0, 3, False, 14.0, 120.0)
    assert found.transfer == Transfer(
        100.0,
        0.0,
        ("ssh", "-F", "/etc/alpenhorn/ssh"),
        "/opt/rsync",
        "bbcp",
        ((28800, 5_000_000), (64800, 0)),
        tar=False,
    )
    assert [pattern.pattern for pattern in found.import_.patterns] == [r"(?P<acq>\d+)/(?P<file>.+)"]
    assert found.log == Log("warning", Path("/var/log/alpenhorn.log"), True)
    assert found.notify == Notify(
        "https://hc.example.org/uuid",
        ("mailto://me:pass@example.org", "json://host/path"),
        ("notify", "-v"),
        "failure",
        ("begin", "end"),
        600.0,
    )


def test_the_table_of_keys_is_that_of_the_configuration() -> None:
    for section, made in {
        "database": Database,
        "sync": Sync,
        "transfer": Transfer,
        "log": Log,
        "notify": Notify,
    }.items():
        assert list(KEYS[section]) == list(made._fields)
    assert list(KEYS) == [name.rstrip("_") for name in Config._fields if name not in ("sources", "embedded")]


def test_later_files_win_key_by_key(tmp_path: Path) -> None:
    write(tmp_path / "xdg" / "alpenhorn" / "alpenhorn.toml", "[sync]\nhost='one'\njobs=1\ntime_limit=1\n")
    second = write(tmp_path / "second.toml", "[sync]\njobs=2\ntime_limit=2\n")
    third = write(tmp_path / "third.toml", "[sync]\ntime_limit=3\n")
    environ = {"HOME": "/", "XDG_CONFIG_HOME": str(tmp_path / "xdg"), "ALPENHORN_CONFIG_FILE": str(second)}
    found = load(third, environ)
    assert (found.sync.host, found.sync.jobs, found.sync.time_limit) == ("one", 2, 3.0)
    assert found.sources == (tmp_path / "xdg" / "alpenhorn" / "alpenhorn.toml", second, third)


def test_the_url_of_the_environment_wins(tmp_path: Path) -> None:
    found = read(tmp_path, FULL, ALPENHORN_DATABASE_URL="sqlite:////srv/index.db")
    assert found.database.url == "sqlite:////srv/index.db"
    assert not found.embedded
    assert not load(None, {"HOME": "/", "ALPENHORN_DATABASE_URL": "sqlite:////srv/index.db"}).embedded


def test_all_faults_of_all_files_are_reported_together(tmp_path: Path) -> None:
    first = write(tmp_path / "first.toml", "[sync]\njob = 3\nhost = 7\n[nonsense]\n")
    second = write(tmp_path / "alpenhorn" / "alpenhorn.toml", "[database\n")
    third = write(tmp_path / "third.toml", "jobs = 2\n[log]\nlevel = 'loud'\n")
    with pytest.raises(ConfigError) as caught:
        load(
            third,
            {
                "XDG_CONFIG_HOME": str(tmp_path),
                "ALPENHORN_CONFIG_FILE": str(first),
                "ALPENHORN_DATABASE_URL": "mysql://me:secret@",
            },
        )
    assert caught.value.faults == (
        f"{second}: invalid TOML: Expected ']' at the end of a table declaration (at line 1, column 10)",
        f"{first}: sync.job: unknown key; did you mean 'jobs'?",
        f"{first}: sync.host = 7: expected a name of 1 to 64 characters",
        f"{first}: nonsense: unknown section; expected one of database, sync, transfer, import, log, metrics, notify,"
        " output",
        f"{third}: jobs: not a section; the key jobs belongs in [sync]",
        f"{third}: log.level = 'loud': expected one of debug, info, warning, error, critical",
        "ALPENHORN_DATABASE_URL: database.url: the URL names no database;"
        " expected sqlite:////absolute/path or mysql://user@host/name",
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("database.ssl_ca", "'relative'"),
        ("database.ssl_mode", "'PREFERRED'"),
        ("database.read_default_group", "''"),
        ("sync.host", "''"),
        ("sync.host", f"'{'x' * 65}'"),
        ("sync.jobs", "0"),
        ("sync.jobs", "513"),
        ("sync.jobs", "true"),
        ("sync.jobs", "2.0"),
        ("sync.jobs", "'2'"),
        ("sync.time_limit", "0"),
        ("sync.time_limit", "'5 parsecs'"),
        ("sync.time_limit", "-1"),
        ("sync.time_limit", "inf"),
        ("sync.time_limit", "true"),
        ("sync.time_limit", "1979-05-27"),
        ("sync.archive_copy_count", "0"),
        ("sync.allow_single_copy", "1"),
        ("sync.auto_verify_min_days", "nan"),
        ("sync.auto_verify_min_days", f"1{'0' * 400}"),
        ("sync.import_settle", "-1"),
        ("transfer.pull_bytes_per_second", "-0.5"),
        ("transfer.pull_bytes_per_second", "'20 Mb'"),
        ("transfer.ssh", "'ssh -F x'"),
        ("transfer.ssh", "[]"),
        ("transfer.ssh", "['ssh', 3]"),
        ("transfer.rsync", '"a\\u0000b"'),
        ("import.pattern", "'(?P<acq>.*)'"),
        ("import.pattern", "['(?P<acq>.*)']"),
        ("log.file", "'alpenhorn.log'"),
        ("log.syslog", "'yes'"),
        ("metrics.textfile", "'/srv/alpenhorn.txt'"),
        ("metrics.textfile", "'alpenhorn.prom'"),
        ("notify.level", "'recovery'"),
        ("notify.events", "['start']"),
        ("notify.events", "'begin'"),
        ("notify.at_most_every", "-1"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_is_expected(
    tmp_path: Path, key: str, value: str
) -> None:
    section, name = key.split(".")
    (fault,) = faults(tmp_path, f"[{section}]\n{name} = {value}\n")
    assert fault.startswith(f"{key} = ")
    assert fault.endswith(f": expected {KEYS[section][name].expected}")
    assert len(fault) < 300


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("database.url", "3"),
        ("database.url", "'sqlite:///relative.db'"),
        ("database.url", "'postgres://h/n'"),
        ("database.url", "'mysql://host'"),
        ("database.password_file", "'relative'"),
        ("notify.ping", "'secret'"),
        ("notify.ping", "'ftp://host/secret'"),
        ("notify.ping", "'https://user:secret@host/'"),
        ("notify.ping", "'https:///secret'"),
        ("notify.ping", "'https://host/secret#x'"),
        ("notify.ping", "'https://host/se cret'"),
        ("notify.ping", "'https://host:99999/secret'"),
        ("notify.ping", "['https://host/secret']"),
        ("notify.apprise", "'json://secret'"),
        ("notify.apprise", "[]"),
        ("notify.command", "'curl secret'"),
        ("notify.command", "['curl', 3]"),
    ],
)
def test_a_possible_password_is_not_shown(tmp_path: Path, key: str, value: str) -> None:
    section, name = key.split(".")
    (fault,) = faults(tmp_path, f"[{section}]\n{name} = {value}\n")
    assert fault.startswith(f"{key}: ") and value.strip("'") not in fault
    assert fault.endswith(f"expected {KEYS[section][name].expected}")
    assert "secret" not in fault


def test_each_faulty_apprise_url_is_named_by_its_number(tmp_path: Path) -> None:
    found = faults(tmp_path, "[notify]\napprise = ['json://a', 'secret', 'tgram://b', '//secret@host']\n")
    wrong = "the URL does not begin with a service, as in mailto://"
    assert found == [f"notify.apprise[2]: {wrong}", f"notify.apprise[4]: {wrong}"]


def test_the_state_directory_follows_the_environment() -> None:
    assert state_directory({"HOME": "/home/x"}) == Path("/home/x/.local/state/alpenhorn")
    assert state_directory({"HOME": "/home/x", "XDG_STATE_HOME": "/state"}) == Path("/state/alpenhorn")


def test_tls_follows_from_the_files_that_are_given(tmp_path: Path) -> None:
    def tls(text: str) -> str:
        path = write(tmp_path / "tls.toml", f"[database]\nurl = 'mysql://u@h/n'\n{text}")
        return load(path, {}).database.tls

    pair = "ssl_cert = '/c'\nssl_key = '/k'\n"
    assert tls("") == ""
    assert tls("ssl_ca = '/ca'\n") == "VERIFY_IDENTITY"
    assert tls(pair) == "REQUIRED"
    assert tls(pair + "ssl_ca = '/ca'\nssl_mode = 'verify_ca'\n") == "VERIFY_CA"


def test_a_client_certificate_needs_its_key(tmp_path: Path) -> None:
    assert faults(tmp_path, "[database]\nssl_cert = '/c'\n") == [
        "database.ssl_cert: expected database.ssl_key as well"
    ]


def test_a_single_archive_copy_needs_the_switch(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, "[sync]\narchive_copy_count = 1\n")
    assert fault.startswith("sync.archive_copy_count = 1: expected 2 or more")
    assert (
        read(tmp_path, "[sync]\narchive_copy_count = 1\nallow_single_copy = true").sync.archive_copy_count
        == 1
    )


def test_every_wrong_import_pattern_is_reported(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        "[[import.pattern]]\npath = '('\n"
        "[[import.pattern]]\npath = '(?P<acq>x)'\n"
        "[[import.pattern]]\npath = '(?P<file>x)'\n"
        "[[import.pattern]]\nregex = 'x'\n"
        "[[import.pattern]]\npath = 4\n",
    )
    assert [fault.split(":")[0] for fault in found] == [
        "import.pattern[1].path = '('",
        "import.pattern[3].path = '(?P<file>x)'",
        "import.pattern[4].regex",
        "import.pattern[4].path is missing",
        "import.pattern[5].path = 4",
    ]
    assert "does not compile: missing ), unterminated subpattern at position 0" in found[0]


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("bwlimit = 500000", ((0, 500_000),)),
        ("bwlimit = '2 MiB'", ((0, 2 * 2**20),)),
        ("bwlimit = 0", ()),
        ("bwlimit = 'off'", ()),
        ('[transfer.bwlimit]\n"08:00" = "5M"\n"18:00" = 0', ((28800, 5_000_000), (64800, 0))),
    ],
)
def test_a_bandwidth_limit_is_a_rate_or_a_table_of_them(
    tmp_path: Path, text: str, limit: tuple[tuple[int, int], ...]
) -> None:
    assert read(tmp_path, f"[transfer]\n{text}\n").transfer.bwlimit == limit


def test_every_fault_of_a_bandwidth_limit_is_reported_with_those_of_other_keys(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, "[transfer]\nbwlimit = '5 Mbit'\n")
    assert fault.startswith("transfer.bwlimit = '5 Mbit': expected bytes per second")
    found = faults(
        tmp_path, "[sync]\njobs = 0\n[transfer]\nbwlimit = {'8:00' = true, '25:00' = '5M', '9:00' = 1}\n"
    )
    assert [fault.partition(": expected")[0] for fault in found] == [
        "sync.jobs = 0",
        "transfer.bwlimit.'8:00' = True",
        "transfer.bwlimit.'25:00'",
        "transfer.bwlimit.'9:00' = 1",
    ]


def test_a_later_file_replaces_the_whole_table_of_limits(tmp_path: Path) -> None:
    first = write(tmp_path / "first.toml", "[transfer]\nbwlimit = {'08:00' = '5M', '18:00' = 0}\n")
    second = write(tmp_path / "second.toml", "[transfer]\nbwlimit = {'12:00' = '1M'}\n")
    found = load(second, {"HOME": "/", "ALPENHORN_CONFIG_FILE": str(first)})
    assert found.transfer.bwlimit == ((43200, 1_000_000),)


def test_a_section_that_is_not_a_table_is_refused(tmp_path: Path) -> None:
    assert faults(tmp_path, "sync = 3") == ["sync = 3: expected a table, headed [sync]"]
    assert faults(tmp_path, "[[sync]]\njobs = 1")[0].endswith("expected a table, headed [sync]")


def test_broken_files_are_named_with_the_line(tmp_path: Path) -> None:
    assert "at line 2" in faults(tmp_path, "[sync]\njobs = \n")[0]
    (tmp_path / "a.toml").write_bytes(b"[sync]\n\nhost = '\xff'\n")
    with pytest.raises(ConfigError, match=r"a\.toml: line 3: expected UTF-8, found the byte 0xff"):
        load(tmp_path / "a.toml", {"HOME": "/"})
    assert "nested too deeply" in faults(tmp_path, f"[sync]\njobs = {'[' * 50_000}")[0]


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "c.toml", {"HOME": "/", "ALPENHORN_CONFIG_FILE": str(tmp_path / "e.toml")})
    assert caught.value.faults == (
        f"{tmp_path / 'e.toml'}: no such file; ALPENHORN_CONFIG_FILE names this file: correct or unset it",
        f"{tmp_path / 'c.toml'}: no such file",
    )
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, {"HOME": "/"})


@pytest.mark.parametrize("home", ["/home/user:x@host", "/home/user?a=b"])
def test_default_index_in_a_directory_that_resembles_a_server_is_refused(home: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {"HOME": home})
    (fault,) = caught.value.faults
    assert "the path of the default one has : and @" in fault and "set ALPENHORN_DATABASE_URL" in fault
    assert load(None, {"HOME": home, "ALPENHORN_DATABASE_URL": "sqlite:////i.db"}).database.url


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, ": no such file"),
        (b"[sync", ": invalid TOML: Expected ']' at the end of a table declaration (at end of document)"),
        (b"\xff", ": line 1: expected UTF-8, found the byte 0xff"),
        (b"a = " + b"[" * 50_000, ": nested too deeply"),
    ],
)
def test_fault_of_the_file_named_by_the_variable_names_the_variable_and_the_remedy(
    tmp_path: Path, content: bytes | None, fault: str
) -> None:
    path = tmp_path / "x.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(None, {"HOME": "/", "ALPENHORN_CONFIG_FILE": str(path)})
    assert caught.value.faults == (
        f"{path}{fault}; ALPENHORN_CONFIG_FILE names this file: correct or unset it",
    )
    with pytest.raises(ConfigError) as caught:
        load(path, {"HOME": "/"})
    assert caught.value.faults == (f"{path}{fault}",)


def test_directory_named_by_the_variable_is_refused_with_the_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {"HOME": "/", "ALPENHORN_CONFIG_FILE": str(tmp_path)})
    assert str(caught.value) == (
        f"{tmp_path}: cannot be read: Is a directory; ALPENHORN_CONFIG_FILE names this file: correct or unset it"
    )


def test_durations_have_units() -> None:
    texts = ["90s", "50m", "2h", "1d", "1.5h", "7", " 3 m "]
    assert [parse_duration(text) for text in texts] == [90, 3000, 7200, 86400, 5400, 7, 180]
    assert parse_duration(12) == 12.0
    for wrong in ("", "m", "-3m", "1w", "1h30m", "9" * 400, "nan"):
        with pytest.raises(ValueError, match=r".*"):
            parse_duration(wrong)


def test_the_file_of_metrics_is_set_below_its_own_section(tmp_path: Path) -> None:
    config = read(tmp_path, "[metrics]\ntextfile = '/srv/textfiles/alpenhorn.prom'\n")
    assert config.metrics.textfile == Path("/srv/textfiles/alpenhorn.prom")
    assert read(tmp_path, "").metrics.textfile is None


def test_ignored_paths_are_regular_expressions(tmp_path: Path) -> None:
    found = read(tmp_path, "[import]\nignore = ['.*\\.tmp', '[^/]*']\n").import_
    assert [pattern.pattern for pattern in found.ignore] == [r".*\.tmp", "[^/]*"] and found.patterns == ()
    for wrong in ("'x'", "[1]", "['']", "[['x']]"):
        (fault,) = faults(tmp_path, f"[import]\nignore = {wrong}\n")
        assert fault.startswith("import.ignore = ") and "a list of regular expressions" in fault
    (fault,) = faults(tmp_path, "[import]\nignore = ['a', '(']\n")
    assert fault.startswith("import.ignore[2] = '(': this regular expression does not compile")
