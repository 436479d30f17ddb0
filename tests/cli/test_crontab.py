"""What `alpenhorn crontab` prints does runs, as cron and systemd would start it."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.archive import Archive, stand_in
from tests.fixtures.systemd import SYSTEMCTL, under_systemd

BARE = {"SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}


@pytest.fixture
def pair(sqlite_archive: Archive) -> Archive:
    sqlite_archive.node("field")
    sqlite_archive.node("safe")
    sqlite_archive.request(sqlite_archive.file("acq/one", None, "field"), "field", "safe")
    return sqlite_archive


def crontab(
    *arguments: str, cwd: Path, program: tuple[str, ...] = (sys.executable, "-m", "alpenhorn"), **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program, *arguments],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), "LANG": "C.UTF-8"} | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def line(printed: str) -> tuple[str, str]:
    """When and what: the one line that is no comment."""
    (found,) = (line for line in printed.splitlines() if not line.startswith("#"))
    *fields, command = found.split(" ", 5)
    return " ".join(fields), command


def as_cron_reads(command: str) -> str:
    """crontab(5): an unescaped % begins standard input, \\% is %.  A backslash before another character keeps
    it from beginning an escape."""
    assert not re.search(r"(?<!\\)%", command)
    return re.sub(r"\\(.)", lambda found: "%" if found[1] == "%" else found[0], command)


def start_as_cron(printed: str, home: Path) -> subprocess.CompletedProcess[str]:
    _, command = line(printed)
    return subprocess.run(
        ["/bin/sh", "-c", as_cron_reads(command)],
        cwd=home,
        env=BARE | {"HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def assert_does_a_run(archive: Archive, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    printed = start_as_cron(done.stdout, archive.base)
    assert (printed.returncode, printed.stdout, printed.stderr) == (0, "", "")
    assert archive.pending() == 0 and archive.tree("safe") == archive.tree("field")


def test_the_line_does_a_run_in_the_bare_environment_of_cron(pair: Archive) -> None:
    conf = pair.configure()
    done = crontab("-c", os.path.relpath(conf, pair.base), "crontab", cwd=pair.base)
    when, command = line(done.stdout)
    assert when == "*/5 * * * *"
    assert command == f"{sys.executable} -m alpenhorn -c {conf} sync"
    assert_does_a_run(pair, done)


def test_the_installed_program_is_named_by_its_absolute_path(pair: Archive) -> None:
    script = Path(sys.executable).with_name("alpenhorn")
    done = crontab("-c", str(pair.configure()), "crontab", cwd=script.parent, program=("./alpenhorn",))
    assert line(done.stdout)[1].startswith(f"{script} -c ")
    assert_does_a_run(pair, done)


def test_a_file_named_by_the_environment_is_carried_over(pair: Archive) -> None:
    pair.configure()
    done = crontab("crontab", cwd=pair.base, ALPENHORN_CONFIG_FILE="here.toml")
    assert line(done.stdout)[1].startswith(f"env ALPENHORN_CONFIG_FILE={pair.base}/here.toml ")
    assert_does_a_run(pair, done)


def test_the_index_named_by_the_environment_is_carried_over(pair: Archive) -> None:
    conf = pair.configure(database={"url": "sqlite:////nowhere/index.db"})
    done = crontab("-c", str(conf), "crontab", cwd=pair.base, ALPENHORN_DATABASE_URL=pair.url)
    assert_does_a_run(pair, done)


def test_a_place_below_another_xdg_directory_is_carried_over(pair: Archive) -> None:
    user = pair.base / "config" / "alpenhorn"
    user.mkdir(parents=True)
    pair.configure().rename(user / "alpenhorn.toml")
    assert_does_a_run(pair, crontab("crontab", cwd=pair.base, XDG_CONFIG_HOME=str(pair.base / "config")))


@pytest.mark.parametrize(
    "name", ["a b", "100%", "it's", 'a"b', "$HOME", r"back\%slash", r"two\\%", "a;b&c", "ü", "*"]
)
def test_odd_names_survive_cron_and_its_shell(pair: Archive, name: str) -> None:
    conf = pair.configure().rename(pair.base / name)
    assert_does_a_run(pair, crontab("-c", str(conf), "crontab", cwd=pair.base))


def test_a_checkout_that_is_started_in_its_own_directory_is_found_from_anywhere(pair: Archive) -> None:
    checkout = pair.base / "checkout"
    checkout.mkdir()
    (checkout / "alpenhorn").symlink_to(Path(__file__).parents[2] / "alpenhorn")
    done = crontab("-c", str(pair.configure()), "crontab", cwd=checkout)
    assert f"PYTHONPATH={checkout} " in line(done.stdout)[1]
    assert_does_a_run(pair, done)


def test_tools_that_cron_would_not_find_bring_their_directory(pair: Archive) -> None:
    tools = pair.base / "tools"
    stand_in(tools, "own-rsync", 'exec rsync "$@"')
    path = f"{tools}:{os.environ['PATH']}"
    conf = str(pair.configure(transfer={"rsync": "own-rsync"}))
    done = crontab("-c", conf, "crontab", cwd=pair.base, PATH=path)
    assert f"env PATH={tools}:/usr/bin:/bin " in done.stdout
    assert_does_a_run(pair, done)
    assert "PATH=" not in crontab("-c", str(pair.configure()), "crontab", cwd=pair.base, PATH=path).stdout


@pytest.mark.parametrize("systemd", [(), ("--systemd",)])
@pytest.mark.parametrize("password", ["s3cret", "p@s3cret:x", "s3cret%2F"])
def test_a_password_is_not_printed_and_the_remedy_is_told(
    tmp_path: Path, systemd: tuple[str, ...], password: str
) -> None:
    done = crontab(
        "crontab", *systemd, cwd=tmp_path, ALPENHORN_DATABASE_URL=f"mysql://ann:{password}@db.org/index"
    )
    assert done.returncode == 0
    assert "s3cret" not in done.stdout + done.stderr
    assert "ALPENHORN_DATABASE_URL=mysql://ann@db.org/index" in done.stdout
    assert "password_file" in done.stderr
    assert any("password_file" in line for line in done.stdout.splitlines() if line.startswith("#"))


def test_a_url_without_a_password_is_printed_as_it_is(tmp_path: Path) -> None:
    url = "mysql://ann@/index?unix_socket=/run/m.sock"
    done = crontab("crontab", cwd=tmp_path, ALPENHORN_DATABASE_URL=url)
    assert f"'ALPENHORN_DATABASE_URL={url}'" in done.stdout and done.stderr == ""


@pytest.mark.parametrize(
    ("every", "fields"),
    [
        ("1", "* * * * *"),
        ("2", "*/2 * * * *"),
        ("30", "*/30 * * * *"),
        ("60", "0 * * * *"),
        ("180", "0 */3 * * *"),
        ("1440", "0 0 * * *"),
    ],
)
def test_crontab_line_has_the_fields_of_the_interval(tmp_path: Path, every: str, fields: str) -> None:
    assert line(crontab("crontab", "--every", every, cwd=tmp_path).stdout)[0] == fields


@pytest.mark.parametrize(
    ("every", "below", "above"),
    [("7", 6, 10), ("45", 30, 60), ("59", 30, 60), ("90", 60, 120), ("1000", 720, 1440)],
)
def test_interval_that_does_not_divide_an_hour_or_day_is_refused_with_the_nearest_ones(
    tmp_path: Path, every: str, below: int, above: int
) -> None:
    done = crontab("crontab", "--every", every, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--every {below} or --every {above}" in done.stderr
    assert (
        f"OnUnitActiveSec={every}min"
        in crontab("crontab", "--every", every, "--systemd", cwd=tmp_path).stdout
    )


@pytest.mark.parametrize("every", ["0", "-5", "1441", "x"])
def test_interval_that_is_not_a_number_of_minutes_up_to_a_day_is_refused(tmp_path: Path, every: str) -> None:
    assert crontab("crontab", "--every", every, cwd=tmp_path).returncode == 2


def test_a_configuration_that_cannot_be_used_brings_no_line(tmp_path: Path) -> None:
    done = crontab("-c", "none.toml", "crontab", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")


def test_a_name_with_a_line_end_is_refused(pair: Archive) -> None:
    conf = pair.configure().rename(pair.base / "two\nlines")
    done = crontab("-c", str(conf), "crontab", cwd=pair.base)
    assert (done.returncode, done.stdout) == (1, "")
    assert "; rename it" in done.stderr


def test_the_comments_say_how_to_install_it(tmp_path: Path) -> None:
    for arguments, wanted in (
        ((), ("crontab -e", "mails", "the next one starts")),
        (("--systemd",), ("systemctl daemon-reload", "systemctl enable --now alpenhorn.timer", "journalctl")),
    ):
        comments = [
            line
            for line in crontab("crontab", *arguments, cwd=tmp_path).stdout.splitlines()
            if line.startswith("#")
        ]
        assert all(word in "\n".join(comments) for word in wanted)


# --- systemd -------------------------------------------------------------------------------------------


def units(printed: str, directory: Path) -> dict[str, Path]:
    """The two parts in files of their names, as the comments say."""
    found = {}
    parts = re.split(r"^# /etc/systemd/system/(\S+)$", printed, flags=re.MULTILINE)
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        found[name] = directory / name
        found[name].write_text(text)
    return found


def parsed(path: Path) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(
        interpolation=None, comment_prefixes=("#",), delimiters=("=",), strict=False
    )
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path)
    return unit


def test_the_units_are_a_service_that_ends_and_a_timer_that_starts_it(pair: Archive) -> None:
    conf = pair.configure().rename(pair.base / '50% of "it" $now')
    done = crontab("-c", str(conf), "crontab", "--systemd", "--every", "7", cwd=pair.base)
    files = units(done.stdout, pair.base)
    assert set(files) == {"alpenhorn.service", "alpenhorn.timer"}
    service, timer = parsed(files["alpenhorn.service"]), parsed(files["alpenhorn.timer"])
    assert set(service.sections()) == {"Unit", "Service"}
    assert service["Service"]["Type"] == "oneshot" and service["Service"]["User"]
    escaped = str(conf).replace("%", "%%").replace('"', '\\"').replace("$", "$$")
    assert service["Service"]["ExecStart"] == f'"{sys.executable}" "-m" "alpenhorn" "-c" "{escaped}" "sync"'
    assert dict(timer["Timer"]) == {"OnBootSec": "1min", "OnUnitActiveSec": "7min"}
    assert timer["Install"]["WantedBy"] == "timers.target"


def test_systemd_itself_finds_no_fault_in_the_units(pair: Archive) -> None:
    done = crontab(
        *("-c", str(pair.configure().rename(pair.base / "50%")), "crontab", "--systemd"),
        cwd=pair.base,
        ALPENHORN_DATABASE_URL=pair.url,
    )
    files = units(done.stdout, pair.base)
    assert f'Environment="ALPENHORN_DATABASE_URL={pair.url}"' in done.stdout
    analyze = shutil.which("systemd-analyze")
    if analyze is not None:
        checked = subprocess.run(
            [analyze, "verify", *map(str, files.values())],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"SYSTEMD_LOG_LEVEL": "warning"},
        )
        assert (checked.returncode, checked.stderr) == (0, "")


# --- installation --------------------------------------------------------------------------------------

TAB = """
case "$1" in
    -l) test -e "$HOME/tab" || { echo "no crontab for you" >&2; exit 1; }; exec cat "$HOME/tab" ;;
    -) exec cat > "$HOME/tab" ;;
esac
"""


def with_cron(home: Path, script: str = TAB) -> dict[str, str]:
    """The environment with a program `crontab` that keeps the table in a file of the test."""
    stand_in(home / "bin", "crontab", script)
    return {"PATH": f"{home / 'bin'}:{os.environ['PATH']}"}


def test_the_line_is_added_once_and_other_lines_stay(pair: Archive) -> None:
    conf, environ = str(pair.configure()), with_cron(pair.base)
    tab = pair.base / "tab"
    done = crontab("-c", conf, "crontab", "--install", cwd=pair.base, **environ)
    assert (done.returncode, done.stdout) == (
        0,
        "Added a line to the crontab: `alpenhorn sync` every 5 minutes.\n",
    )
    printed = crontab("-c", conf, "crontab", cwd=pair.base, **environ)
    assert tab.read_text() == printed.stdout.splitlines()[-1] + "\n"
    assert_does_a_run(pair, printed)
    other = b"# mine: \xe9\nMAILTO=ann\n0 1 * * * backup"
    tab.write_bytes(other)
    crontab("-c", conf, "crontab", "--install", cwd=pair.base, **environ)
    assert tab.read_bytes() == other + b"\n" + printed.stdout.splitlines()[-1].encode() + b"\n"
    before = tab.read_bytes()
    done = crontab("-c", conf, "crontab", "--install", cwd=pair.base, **environ)
    assert (done.returncode, done.stdout) == (0, "No change: already installed.\n")
    done = crontab("-c", conf, "crontab", "--install", "--every", "10", cwd=pair.base, **environ)
    assert done.returncode == 1 and "crontab -e" in done.stderr
    assert tab.read_bytes() == before


def test_a_crontab_that_cannot_be_read_is_not_overwritten(tmp_path: Path) -> None:
    environ = with_cron(tmp_path, 'test "$1" = - && touch "$HOME/written"; echo "not allowed" >&2; exit 1')
    done = crontab("crontab", "--install", cwd=tmp_path, **environ)
    assert done.returncode == 1 and "not allowed" in done.stderr and "nothing was changed" in done.stderr
    assert not (tmp_path / "written").exists()


def test_installation_without_cron_or_with_a_password_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = crontab("crontab", "--install", cwd=tmp_path, PATH=str(tmp_path / "empty"))
    assert done.returncode == 1 and "cron is not installed" in done.stderr
    environ = with_cron(tmp_path) | {"ALPENHORN_DATABASE_URL": "mysql://ann:s3cret@db.org/index"}
    for more in ((), ("--systemd",)):
        done = crontab("crontab", "--install", *more, cwd=tmp_path, **environ)
        assert done.returncode == 1 and "password_file" in done.stderr and "s3cret" not in done.stderr
    assert not (tmp_path / "tab").exists()


def with_systemd(home: Path, user: str = "") -> subprocess.CompletedProcess[str]:
    """Install the timer where systemd seems to run."""
    command = f"{user} {sys.executable} -m alpenhorn crontab --systemd --install"
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        ["/bin/sh", "-c", under_systemd(home, command)],
        env={"PATH": path, "HOME": str(home), "LANG": "C.UTF-8"},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_the_timer_is_installed_once_and_a_changed_unit_is_not_replaced(tmp_path: Path) -> None:
    done = with_systemd(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Started alpenhorn.timer: `alpenhorn sync` every 5 minutes.\n"
    printed = crontab("crontab", "--systemd", cwd=tmp_path)
    again = tmp_path / "again"
    again.mkdir()
    for name, path in units(printed.stdout, again).items():
        assert (tmp_path / "units" / name).read_text().strip() == path.read_text().strip()
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[-2:] == ["daemon-reload", "enable --now alpenhorn.timer"]
    assert with_systemd(tmp_path).stdout == "No change: already installed.\n"
    # Killed before the timer was enabled.
    (tmp_path / "enabled").unlink()
    assert with_systemd(tmp_path).stdout.startswith("Started")
    mine = tmp_path / "units" / "alpenhorn.timer"
    mine.write_text("mine")
    done = with_systemd(tmp_path)
    assert done.returncode == 1 and "exists with other contents" in done.stderr and mine.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_another_user_than_root_gets_a_timer_of_its_own(tmp_path: Path) -> None:
    done = with_systemd(tmp_path, user="unshare --user --map-user=15001")
    assert done.returncode == 0 and "loginctl enable-linger" in done.stderr, done.stderr
    assert not list((tmp_path / "units").iterdir())
    files = {path.name: path for path in (tmp_path / ".config/systemd/user").iterdir()}
    assert set(files) == {"alpenhorn.service", "alpenhorn.timer"}
    # The manager of a user refuses to change the user, and has no network targets.
    assert not {"User", "Wants"} & {key for one in parsed(files["alpenhorn.service"]).values() for key in one}
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[-2:] == ["--user daemon-reload", "--user enable --now alpenhorn.timer"]


def test_a_timer_is_refused_where_systemd_does_not_run(tmp_path: Path) -> None:
    stand_in(tmp_path / "bin", "systemctl", SYSTEMCTL)
    if Path("/run/systemd/system").exists():
        pytest.skip("systemd runs here")
    done = crontab(
        "crontab", "--install", "--systemd", cwd=tmp_path, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    )
    assert done.returncode == 1 and "systemd is not running" in done.stderr
    assert not (tmp_path / "asked").exists()
