"""Situation 26: a mistyped URL is never shown with its password, wherever that is in the URL."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alpenhorn import address
from alpenhorn.cli.main import main
from alpenhorn.config import load
from alpenhorn.errors import ConfigError, IndexUnusable
from alpenhorn.index.connection import Index

SECRET = "S3CRET"
MISTYPED = [
    f"mysql:/u:{SECRET}@h",
    f"mysql:u:{SECRET}@h/db",
    f"mysql//u:{SECRET}@h/db",
    f"my sql://u:{SECRET}@h/db",
    f"u:{SECRET}@h/db",
    f"{SECRET}",
    f"mysql://u:{SECRET}@h",
    f"mysql://u:{SECRET}@h/",
    f"mysql://u:{SECRET}@h/a/b",
    f"mysql://u:{SECRET}/x@h/db",
    f"mysql://u:12/{SECRET}@h/db",
    f"mysql://u:12?{SECRET}@h/db",
    f"mysql://u:12#{SECRET}@h/db",
    f"mysql://u:{SECRET}#x@h/db",
    f"mysql://u@h:{SECRET}/db",
    f"mysql://u@h/db:{SECRET}",
    f"mysql://u@h/db@{SECRET}",
    f"mysql://u@h/db?password={SECRET}",
    f"mysql://u@h/db?{SECRET}",
    f"mysql://u@h/db?unix_socket=/run/s&password={SECRET}",
    f"mysql://u@h/db#{SECRET}",
    f"mysql://u{SECRET}@127.0.0.1:1/db",
    f"mysql://{SECRET}:@127.0.0.1:1/db",
    f"postgresql://u:{SECRET}@h/db",
    f"{SECRET}://u@h/db",
    f"sqlite://u:{SECRET}@h/db",
    f"sqlite:///u:{SECRET}@h/db",
    f"sqlite:////u:{SECRET}@h/db",
    f"sqlite:////u:x/{SECRET}@h/db",
    f"sqlite:////db?password={SECRET}",
]


@st.composite
def mistyped(draw: st.DrawFn) -> str:
    """Generate a URL that contains the password, with up to three typing errors around it."""
    before, after = draw(
        st.sampled_from(
            [tuple(url.split(SECRET)) for url in MISTYPED if url.count(SECRET) == 1]
            + [("mysql://u:", "@h/db"), ("mariadb://u:", "@h:3306/db"), ("mysql://u:", "@/db?unix_socket=/s")]
        )
    )
    url = [*before, SECRET, *after]
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(url) - 1))
        slip = draw(st.sampled_from(":/@?#&=%[] .1a\t"))
        match draw(st.sampled_from(("insert", "delete", "replace", "swap"))):
            case "insert":
                url.insert(place, slip)
            case "swap" if place:
                url[place - 1 : place + 1] = url[place - 1 : place + 1][::-1]
            case "delete" if url[place] != SECRET:
                del url[place]
            case "replace" if url[place] != SECRET:
                url[place] = slip
    return "".join(url)


def is_something_else(url: str) -> bool:
    """Whether the URL says plainly that this is not a password but a host, a database, a path, or the user beside a
    password."""
    try:
        if address.sqlite_path(url) is not None:
            return True
        found = address.server(url)
    except ValueError:
        return False
    return SECRET in found.host + found.name + found.socket or (
        SECRET in found.user and found.user_is_sure(False)
    )


@settings(max_examples=400, deadline=None)
@given(mistyped())
@example(f"mysql://u:{SECRET}@h/db")
@example(f"mysql://u:a@{SECRET}:x@h/db")
def test_situation_26_no_slip_shows_the_password(url: str) -> None:
    if is_something_else(url):
        return
    assert SECRET not in address.printable(url)
    try:
        load(None, {"HOME": "/nowhere", "ALPENHORN_DATABASE_URL": url})
    except ConfigError as error:
        assert SECRET not in "".join(traceback.format_exception(error))
        with pytest.raises(IndexUnusable) as refused:
            Index.open(url)
        assert SECRET not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("url", MISTYPED)
def test_situation_26_no_command_shows_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    conf = tmp_path / "alpenhorn.toml"
    conf.write_text(f'[log]\nfile = "{log}"\nlevel = "debug"\n[database]\nurl = "{url}"\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("ALPENHORN_DATABASE_URL", "ALPENHORN_CONFIG_FILE"):
        monkeypatch.delenv(variable, raising=False)
    for command in (["doctor"], ["db", "check"], ["db", "init"], ["crontab"]):
        status = main(["-vv", "-c", str(conf), *command])
        assert status or command == ["crontab"]
    monkeypatch.setenv("ALPENHORN_DATABASE_URL", url)
    for command in (["doctor"], ["db", "upgrade"], ["crontab"]):
        main(["-vv", *command])
    out, err = capfd.readouterr()
    assert "Error" in err
    assert SECRET not in out + err
    assert not log.exists() or SECRET not in log.read_text()


@pytest.mark.parametrize(
    "text",
    [
        '[database]\nurl = "mysql://u:{0}@h/db"\npassword_file = "{0}"\n',
        'database = "mysql://u:{0}@h/db"\n',
        '[database]\npassword = "{0}"\n',
        '[sync]\nhost = ["mysql://u:{0}@h/db"]\n',
        '["mysql://u:{0}@h/db"]\n',
        '[database]\n"mysql://u:{0}@h/db" = 1\n',
        '"mysql://u:{0}@h/db" = 1\n"mysql://u:{0}@h/db" = 2\n',
        "[database]\nurl = mysql://u:{0}@h/db\n",
        '[database]\nurl = "mysql://u:{0}@h/db\n',
    ],
)
def test_situation_26_no_fault_of_a_configuration_shows_it(tmp_path: Path, text: str) -> None:
    conf = tmp_path / "alpenhorn.toml"
    conf.write_text(text.format(SECRET))
    with pytest.raises(ConfigError) as refused:
        load(conf, {"HOME": "/nowhere"})
    assert SECRET not in str(refused.value)
    assert str(conf) in str(refused.value)


def test_situation_26_a_url_where_a_file_belongs_is_not_shown() -> None:
    with pytest.raises(ConfigError) as refused:
        load(Path(f"mysql://u:{SECRET}@h/db"), {"HOME": "/nowhere"})
    assert str(refused.value) == "the file named by -c: no such file"
    with pytest.raises(ConfigError) as refused:
        load(None, {"HOME": "/nowhere", "ALPENHORN_CONFIG_FILE": f"mysql://u:{SECRET}@h/{'x' * 300}"})
    assert str(refused.value) == (
        "the file named by ALPENHORN_CONFIG_FILE: no such file; ALPENHORN_CONFIG_FILE names this file: correct or"
        " unset it"
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql://u:p@h/db", "mysql://u@h/db"),
        ("mysql://u:p@h:33/db", "mysql://u@h:33/db"),
        ("mysql://a%40p:p@[::1]:33/d%2Db", "mysql://a%40p@[::1]:33/d-b"),
        ("mysql://u:p@q:r%2F@h/db", "mysql://u@h/db"),
        ("mariadb://u@/db?unix_socket=/run/s", "mariadb://u@/db?unix_socket=/run/s"),
        ("mysql://u@h/db", "mysql://h/db"),
        ("mysql:///db", "mysql:///db"),
        ("sqlite:////a/b c@d.db", "sqlite:////a/b c@d.db"),
    ],
)
def test_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert address.printable(url) == shown
    assert address.printable(shown, credentials=True) == shown


def test_user_in_a_url_is_shown_when_the_password_is_configured_elsewhere() -> None:
    assert address.printable("mysql://u@h/db", credentials=True) == "mysql://u@h/db"


@pytest.mark.parametrize(
    "url", ["mysql://h:0/db", "mysql://h:70000/db", "mysql://h:33/db?unix_socket=/s", "mysql://u%2F@h/db"]
)
def test_url_with_an_invalid_port_or_user_or_with_port_and_socket_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"port|invalid user, host or database name"):
        address.server(url)
