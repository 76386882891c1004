"""manifest.json: the mark of a finished corpus, and what it promises about every file."""

import hashlib
import json
from typing import Any

KEYS = ("format_version", "configuration", "model", "inputs", "counts", "languages", "files")


def to_json(content: Any) -> bytes:
    """Canonical JSON: sorted keys, one entry a line, UTF-8; equal content gives equal bytes."""
    return (json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def fingerprint(content: Any) -> str:
    """SHA-256 of canonical JSON, in hexadecimal digits."""
    return hashlib.sha256(to_json(content)).hexdigest()


def differences(stored: Any, wanted: Any, prefix: str = "") -> list[str]:
    """Dotted names of what differs between two JSON values, with both values; lists are compared as a whole."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        lines = []
        for key in sorted(stored.keys() | wanted.keys()):
            lines += differences(stored.get(key), wanted.get(key), f"{prefix}.{key}" if prefix else key)
        return lines
    return [] if stored == wanted else [f"{prefix}: {_short(stored)} there, {_short(wanted)} now"]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else text[:117] + "..."
