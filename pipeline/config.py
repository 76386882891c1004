"""Configuration: YAML file and `--set section.key=value` -> frozen settings; unknown keys are refused."""

import dataclasses
import difflib
import pathlib
import re
import types
import typing
from typing import Any

import yaml

from cc100.shards.errors import ConfigurationError
from cc100.transforms.settings import CorpusSettings

_DECIMAL = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(?:0b[01_]+|0x[0-9A-Fa-f_]+|0[0-7_]*|[1-9][0-9_]*)$"),
    "tag:yaml.org,2002:float": re.compile(
        r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
    ),
}
SECTIONS: dict[str, type] = typing.get_type_hints(CorpusSettings)
NO_CORPUS_SECTIONS = ("remote", "runner", "tokenizer", "tokens", "run")
"""Sections that cannot change the corpus."""


class _Loader(yaml.SafeLoader):
    """YAML without the numbers to base 60 of YAML 1.1: `2:4` is text, not 124."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, _DECIMAL.get(tag, pattern)) for tag, pattern in resolvers]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_settings(path: str | None, overrides: list[str]) -> CorpusSettings:
    """Settings from a YAML file and overrides.

    Args:
        path: YAML file with sections, or None for defaults.
        overrides: `section.key=value` with YAML values; they win over the file.

    Raises:
        ConfigurationError: unknown section or key, or a value that is not allowed.
    """
    values = _read_yaml(path) if path else {}
    for text in overrides:
        name, equals, value = text.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and section and key):
            raise ConfigurationError(f"--set {text}: expected section.key=value, such as language.threshold=0.6")
        values.setdefault(section, {})[key] = _parse(value, f"--set {text}")
    return make_settings(values)


def _read_yaml(path: str) -> dict[str, dict[str, Any]]:
    try:
        content = yaml.load(pathlib.Path(path).read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ConfigurationError(
            f"--config {path}: {error.strerror}. Name a YAML file, such as configs/laptop.yaml"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--config {path} is no YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(section, dict) for section in content.values()):
        raise ConfigurationError(f"--config {path}: expected sections with settings below them, such as `language:`")
    return content


def _parse(value: str, where: str) -> Any:
    try:
        return yaml.load(value, _Loader)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{where}: the value is no YAML") from error


def make_settings(values: dict[str, dict[str, Any]]) -> CorpusSettings:
    """Settings from nested dictionaries.

    Raises:
        ConfigurationError: unknown section or key, or a value that is not allowed.
    """
    made = {}
    for section, entries in values.items():
        if section not in SECTIONS:
            raise ConfigurationError(f"unknown section {section!r}{_suggest(section, list(SECTIONS))}")
        made[section] = _make_section(section, entries)
    return CorpusSettings(**made)


def _make_section(section: str, entries: dict[str, Any]) -> Any:
    kind = SECTIONS[section]
    hints = typing.get_type_hints(kind)
    for key in entries:
        if key not in hints:
            known = [f"{section}.{name}" for name in hints]
            raise ConfigurationError(f"unknown setting {section}.{key}{_suggest(f'{section}.{key}', known)}")
    return kind(**{key: _convert(f"{section}.{key}", value, hints[key]) for key, value in entries.items()})


def _suggest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def _convert(name: str, value: Any, hint: Any) -> Any:
    """A YAML value as the type, or one of the types, that a setting has."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for kind in kinds:
        if kind is type(None):
            if value is None:
                return None
        elif typing.get_origin(kind) is tuple:
            if isinstance(value, list | tuple):
                return tuple(value)
        elif isinstance(value, bool) == (kind is bool) and isinstance(value, kind | int if kind is float else kind):
            return kind(value)
    allowed = [{tuple: "list", type(None): "null"}.get(typing.get_origin(kind) or kind, kind) for kind in kinds]
    named = " or ".join(kind if isinstance(kind, str) else kind.__name__ for kind in allowed)
    raise ConfigurationError(f"{name} = {value!r} is not allowed: it must be a {named}")


def configuration(settings: CorpusSettings) -> dict[str, Any]:
    """The settings that can change the result, as they stand in the manifest: no runner settings, no paths."""
    content: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        if field.name not in NO_CORPUS_SECTIONS:
            content[field.name] = dataclasses.asdict(getattr(settings, field.name))
    del content["language"]["model"]
    for name in ("kind", "base", "files", "sample", "sample_seed", "max_quarantined"):  # they show in `inputs`
        del content["input"][name]
    content["language"]["languages"] = list(settings.language.languages)
    return content


def document_settings() -> str:
    """docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        "Settings come from a YAML file (`--config`; presets in `configs/`) and from `--set section.key=value`, which wins. Unknown",
        "names are refused. This page is made from the code by `python -m cc100.pipeline.config`; a test compares the two.",
        "",
    ]
    for section, kind in SECTIONS.items():
        lines += [f"## {section}", "", (kind.__doc__ or "").strip().splitlines()[0], ""]
        lines += ["| setting | default | unit | what it does | why this default |", "| --- | --- | --- | --- | --- |"]
        for field in dataclasses.fields(kind):
            default = yaml.safe_dump(
                list(field.default) if isinstance(field.default, tuple) else field.default, default_flow_style=True
            ).split("\n")[0]
            cells = (
                f"`{section}.{field.name}`",
                f"`{default}`",
                *(field.metadata[key] for key in ("unit", "doc", "reason")),
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    lines += [
        "Everything but `remote.*`, `runner.*`, `tokenizer.*`, `tokens.*`, `run.*`, the path of the model, and what chooses the files of a",
        "crawl (`input.kind`, `base`, `files`, `sample`, `sample_seed`, `max_quarantined`) is part of the `configuration` in",
        "`manifest.json`, by which a run recognises its output folder; `tokenizer.*` and `tokens.*` stand in the manifests of tokenizer/",
        "and tokens/. `remote.*`, `runner.*`, `--workers` and Beam's own flags change no byte of the result.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(document_settings(), end="")
