"""Parts by name: decoders, objectives, encoders, annotation formats, metrics, loggers.

A part is a class and, where it has any, a dataclass with its settings. Shipped parts declare both in the torch-free
`settings.py` of their folder, so that a command line is checked without importing what trains; a plugin registers its
class in its own file, by `@showtell.register(...)`. Hydra gets the settings under the part's name.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, Literal, TypeVar

from showtell.config.setting import Section
from showtell.errors import ConfigError, UserError

Kind = Literal["decoder", "objective", "encoder", "format", "metric", "logger"]
_Class = TypeVar("_Class", bound=type)

SECTIONS: dict[str, tuple[Kind, str]] = {
    "data": ("format", "format"),
    "encoder": ("encoder", "name"),
    "decoder": ("decoder", "name"),
    "objective": ("objective", "name"),
}
"""Sections of the configuration that are a part's settings: which kind, and which of their keys names the part."""


@dataclass(frozen=True)
class Part:
    """A part by name.

    Attributes:
        kind: what it is.
        name: how a configuration calls it.
        settings: the dataclass of its section; None where it has none.
        implementation: its class, or `module:Class` of ours.
        origin: the plugin's file; None for a shipped part.
    """

    kind: Kind
    name: str
    settings: type[Section] | None
    implementation: type | str
    origin: str | None = None

    def load(self) -> Any:
        """The class, imported now."""
        if isinstance(self.implementation, type):
            return self.implementation
        module, _, name = self.implementation.partition(":")
        return getattr(import_module(module), name)


_parts: dict[tuple[Kind, str], Part] = {}
_any_other: dict[Kind, Part] = {}
_plugin: list[str] = []
failures: dict[str, str] = {}
"""Plugins that could not be imported, and their tracebacks: for whoever wants something of them."""


def declare(kind: Kind, settings: type[Section] | None, implementation: str, name: str = "") -> None:
    """Makes a shipped part known, by the name that its settings have as default."""
    _add(Part(kind, name or _name_of(kind, settings), settings, implementation))


def declare_any_other(kind: Kind, settings: type[Section], implementation: str, name: str) -> None:
    """A shipped part that stands for all names that nobody registered, like a library's many encoders."""
    declare(kind, settings, implementation, name)
    _any_other[kind] = _parts[kind, name]


def register(kind: Kind, settings: type[Section] | None = None, *, name: str = "") -> Callable[[_Class], _Class]:
    """Registers a class as a part, from a plugin's file.

    Args:
        kind: decoder, objective, encoder, format, metric or logger.
        settings: the dataclass of its settings; its default for `name` (of a format: `format`) is the part's name.
        name: for a part without settings.

    Raises:
        UserError: the name is taken.
    """

    def registered(cls: _Class) -> _Class:
        _add(Part(kind, name or _name_of(kind, settings), settings, cls, _plugin[-1] if _plugin else "this program"))
        return cls

    return registered


def find(kind: Kind, name: str) -> Part:
    """The part of this name.

    Raises:
        ConfigError: there is none; the line lists those that are there.
    """
    found = _parts.get((kind, name)) or _any_other.get(kind)
    if found is None:
        key = next((f"{section}.{key}" for section, (one, key) in SECTIONS.items() if one == kind), kind)
        broken = "".join(f"; {file} might have it, but cannot be imported" for file in failures)
        for file, trace in failures.items():
            print(f"{file}:\n{trace}", file=sys.stderr)
        raise ConfigError(
            f"{key}={name!r} is not an option; choose one of {', '.join(names(kind))}"
            f"{broken or ', or give --plugins with the folder of the plugin that has it'}"
        )
    return found


def names(kind: Kind) -> list[str]:
    """The registered names of a kind."""
    return sorted(name for one, name in _parts if one == kind)


def parts(kind: Kind | None = None) -> list[Part]:
    """All parts, or those of a kind."""
    return [part for part in _parts.values() if kind in (None, part.kind)]


def settings(kind: Kind, name: str, **values: Any) -> Any:
    """The settings of a part, with these values."""
    part = find(kind, name)
    assert part.settings is not None
    key = next(key for one, key in SECTIONS.values() if one == kind)
    return part.settings(**{key: name, **values})


class from_plugin:
    """A block in which what is registered belongs to a plugin's file."""

    def __init__(self, file: str) -> None:
        self.file = file

    def __enter__(self) -> None:
        _plugin.append(self.file)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        _plugin.pop()
        if error is not None:  # half a plugin is none
            for key in [key for key, part in _parts.items() if part.origin == self.file]:
                del _parts[key]


def _add(part: Part) -> None:
    taken = _parts.get((part.kind, part.name))
    if taken is not None:
        where = part.origin or part.implementation
        raise UserError(
            f"{where}: the {part.kind} {part.name!r} is taken ({taken.origin or 'shipped'}); give it another name"
        )
    _parts[part.kind, part.name] = part


def _name_of(kind: Kind, settings: type[Section] | None) -> str:
    key = next((key for one, key in SECTIONS.values() if one == kind), "name")
    found = [one.default for one in fields(settings) if one.name == key] if settings else []
    if not found or not isinstance(found[0], str):
        raise UserError(f"a {kind} needs a name: register({kind!r}, Settings) with a default for `{key}`, or name=...")
    return found[0]
