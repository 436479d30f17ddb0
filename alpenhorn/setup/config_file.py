"""A new configuration file of the user, written as a whole."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from alpenhorn.errors import Refused
from alpenhorn.setup import toml
from alpenhorn.setup.directories import is_writable


class NewFile(NamedTuple):
    path: Path
    text: str

    def command(self) -> str:
        """Return a command for the shell that writes the file."""
        lines = " ".join(shlex.quote(line) for line in self.text.removesuffix("\n").split("\n"))
        directory, path = shlex.quote(str(self.path.parent)), shlex.quote(str(self.path))
        return f"mkdir -p {directory} && printf '%s\\n' {lines} > {path}"

    def write(self) -> None:
        """Write the file.  Raises Refused if it exists or cannot be written."""
        aside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            aside.write_text(self.text, encoding="utf-8")
            try:
                os.link(aside, self.path)  # fails if the file has appeared
            finally:
                aside.unlink()
        except OSError as error:
            raise Refused(f"{self.path}: cannot be written: {error.strerror}") from None


def new_file(path: Path | None, settings: Mapping[str, Mapping[str, Any]]) -> NewFile:
    """Return the file with these settings, by section and key.

    Raises Refused if there is a file already, which is not edited, or no directory for it.
    """
    text = toml.document(settings)
    if path is None:
        raise Refused("no home directory for a configuration file; nothing was changed; set HOME")
    if path.exists():
        keys = ", ".join(
            f"{key} = {toml.value(content)} in [{section}]"
            for section, values in settings.items()
            for key, content in values.items()
        )
        raise Refused(f"{path}: exists already, and is not edited; nothing was changed; set in it: {keys}")
    above = next(parent for parent in path.parents if parent.exists())
    if not is_writable(above):
        raise Refused(f"{path}: cannot be written: {above} is not a writable directory; nothing was changed")
    return NewFile(path, text)
