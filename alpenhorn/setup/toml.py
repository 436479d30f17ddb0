"""Write TOML 1.0 documents of sections with plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def document(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the text of a document; sections without keys are left out."""
    return "\n".join(
        "".join((f"[{name}]\n", *(f"{key} = {value(content)}\n" for key, content in keys.items())))
        for name, keys in sections.items()
        if keys
    )


def value(content: Any) -> str:
    """Return a string, number, switch, or a list or table of these, as a TOML value."""
    if isinstance(content, list):
        return f"[{', '.join(map(value, content))}]"
    if isinstance(content, dict):
        return "{" + ", ".join(f"{value(str(key))} = {value(one)}" for key, one in content.items()) + "}"
    # Strings, numbers and switches are written as in JSON, except for this control character.
    return json.dumps(content, ensure_ascii=False).replace("\x7f", "\\u007f")
