"""Convert the configuration of the alpenhorn daemon (YAML) into that of this program.

The keys are those of the daemon, version 2, as its module `alpenhorn.common.config` describes them; before 2.0.0, the
section `daemon` was called `service`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from alpenhorn import address
from alpenhorn.config import KEYS
from alpenhorn.errors import ConfigError
from alpenhorn.outside import text

PASSWORD_FILE = "~/.config/alpenhorn/password"
EXTRA = "pip install 'alpenhorn[convert]'"


class Converted(NamedTuple):
    """`sections`: the values of the new configuration.  `notes`: a line for each key without an equivalent."""

    sections: dict[str, dict[str, Any]]
    notes: list[str]


def read(path: Path) -> dict[str, Any]:
    """Parse a configuration file of the daemon.  Raises ConfigError if it cannot be used, or without PyYAML."""
    try:
        import yaml  # an optional package
    except ImportError:
        raise ConfigError(f"the Python package PyYAML, which reads YAML, is not installed: {EXTRA}") from None
    try:
        document = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        # Its text quotes the file, in which there may be a password.
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        raise ConfigError(f"{path}: invalid YAML{where}") from None
    except (RecursionError, ValueError):
        raise ConfigError(f"{path}: invalid YAML") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: not a configuration of the alpenhorn daemon: expected sections of keys")
    return document


def convert(document: Mapping[str, Any]) -> Converted:
    """Return the equivalent of a parsed configuration."""
    done = Converted({section: {} for section in KEYS}, [])
    for section, content in document.items():
        if section == "extensions":
            done.notes.extend(_extensions(content))
        elif section == "logging":
            _logging(content, done)
        elif section not in _KEYS:
            done.notes.append(f"{text(str(section))}: not a section that the daemon uses; not converted")
        elif not isinstance(content, dict):
            if content is not None:
                done.notes.append(f"{section}: not a section with keys; not converted")
        else:
            for key, value in content.items():
                _KEYS[section].get(key, _unknown)(f"{section}.{text(str(key))}", value, done)
    return done


Rule = Callable[[str, Any, Converted], None]


def _to(section: str, key: str) -> Rule:
    """Return a rule that takes a value over as it is, if this program accepts it."""

    def rule(name: str, value: Any, done: Converted) -> None:
        kind = KEYS[section][key]
        try:
            kind.read(value)
        except ValueError as error:
            fault = error.args[0] if error.args else f": expected {kind.expected}"
            done.notes.append(
                f"{name}: not converted, because {section}.{key} does not accept its value{fault}"
            )
        else:
            done.sections[section][key] = value

    return rule


def _none(what: str) -> Rule:
    def rule(name: str, value: Any, done: Converted) -> None:
        done.notes.append(f"{name}: no equivalent; {what}")

    return rule


def _unknown(name: str, value: Any, done: Converted) -> None:
    done.notes.append(f"{name}: not a key that the daemon uses; not converted")


def _url(name: str, value: Any, done: Converted) -> None:
    _to("database", "url")(name, value, done)
    url = done.sections["database"].get("url")
    server = None if url is None or address.sqlite_path(url) is not None else address.server(url)
    if server is not None and server.password:
        done.sections["database"]["url"] = server.shown()
        done.sections["database"]["password_file"] = PASSWORD_FILE
        done.notes.append(
            f"{name}: its password is not printed; write it to {PASSWORD_FILE}, and make that file readable for its"
            " owner only (chmod 600)"
        )


def _workers(name: str, value: Any, done: Converted) -> None:
    if value == 0:
        done.notes.append(
            f"{name}: no equivalent of 0; runs always use worker processes, by default one for each processor"
        )
    else:
        _to("sync", "jobs")(name, value, done)


_BY_CRON = "cron or a systemd timer starts runs; to print a line for it: alpenhorn crontab --every MINUTES"
_DAEMON: dict[str, Rule] = {
    "num_workers": _workers,
    "auto_verify_min_days": _to("sync", "auto_verify_min_days"),
    "pull_timeout_base": _to("transfer", "pull_timeout_base"),
    "pull_bytes_per_second": _to("transfer", "pull_bytes_per_second"),
    "update_interval": _none(_BY_CRON),
    "auto_import_interval": _none(f"each run searches the nodes for new files; {_BY_CRON}"),
    "serial_io_timeout": _none("to limit the time of a run, set [sync] time_limit"),
    "prom_client_port": _none(
        "a run serves no port; set [metrics] textfile, which the node exporter of Prometheus passes on"
    ),
}
_KEYS: dict[str, dict[str, Rule]] = {
    "base": {"hostname": _to("sync", "host")},
    "database": {"url": _url},
    "daemon": _DAEMON,
    "service": _DAEMON,
}


def _extensions(content: Any) -> list[str]:
    names = content if isinstance(content, list) else [content]
    return [
        f"extensions: {text(str(name))}: no equivalent; extensions are found when their package is installed (see:"
        " alpenhorn plugins); one that only names acquisitions can be replaced by [[import.pattern]]; to port another:"
        " alpenhorn help extensions"
        for name in names
        if name is not None
    ]


def _logging(content: Any, done: Converted) -> None:
    for key, value in (content if isinstance(content, dict) else {}).items():
        name = f"logging.{text(str(key))}"
        if key == "level":
            _to("log", "level")(name, value, done)
        elif key == "module_levels":
            done.notes.append(f"{name}: no equivalent; one level holds for all modules: [log] level")
        elif key == "file":
            _log_file(name, value, done)
        elif key == "syslog":
            _syslog(name, value, done)
        else:
            _unknown(name, value, done)


def _log_file(name: str, content: Any, done: Converted) -> None:
    for key, value in (content if isinstance(content, dict) else {}).items():
        if key == "name":
            _to("log", "file")(f"{name}.{key}", value, done)
        elif key == "watch":
            continue  # a log file that was renamed is always reopened
        else:
            done.notes.append(f"{name}.{text(str(key))}: no equivalent; rotate the log file with logrotate")


def _syslog(name: str, content: Any, done: Converted) -> None:
    settings = content if isinstance(content, dict) else {}
    if settings.get("enable", True) is not True:
        return
    done.sections["log"]["syslog"] = True
    for key, value in settings.items():
        if key != "enable" and (key, value) not in (("address", "/dev/log"), ("port", 0)):
            done.notes.append(
                f"{name}.{text(str(key))}: no equivalent; messages go to the system log of this host, /dev/log"
            )
