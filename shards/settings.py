"""How a setting is declared: a field of a frozen dataclass that carries its documentation, and refuses values by name."""

import dataclasses
from typing import Any

from cc100.shards.errors import ConfigurationError

MIB = 1 << 20


def setting(default: Any, unit: str, doc: str, reason: str) -> Any:
    """A field with what its documentation says."""
    metadata = {"unit": unit, "doc": doc, "reason": reason}
    return dataclasses.field(default=default, metadata=metadata)


def require(holds: bool, name: str, value: Any, allowed: str) -> None:
    """Refuse a value of a setting, naming what is allowed."""
    if not holds:
        raise ConfigurationError(f"{name} = {value!r} is not allowed: it must be {allowed}")
