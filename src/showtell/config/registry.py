"""Parts by name: decoders, objectives, encoders, annotation formats, tokenizers, metrics, loggers.

A part is a class or a function that builds it and, where it has any, a dataclass with its settings. Shipped parts
declare both where nothing imports torch, in the `settings.py` or `__init__.py` of their folder, so that a command line
is checked without importing what trains; a plugin registers its class in its own file, by `@showtell.register(...)`.
Hydra gets the settings under the part's name.
"""

import hashlib
import inspect
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, fields, make_dataclass
from importlib import import_module
from typing import Any, Literal, TypeVar, get_args

from showtell.config.sections import DataConfig, DecoderConfig, EncoderConfig, ObjectiveConfig
from showtell.config.setting import Section, declared, setting
from showtell.errors import ConfigError, UserError

Kind = Literal["decoder", "objective", "encoder", "format", "tokenizer", "metric", "logger"]
_Built = TypeVar("_Built", bound=Callable[..., Any])

SECTIONS: dict[str, tuple[Kind, str]] = {
    "data": ("format", "format"),
    "encoder": ("encoder", "name"),
    "decoder": ("decoder", "name"),
    "objective": ("objective", "name"),
}
"""Sections of the configuration that are a part's settings: which kind, and which of their keys names the part."""

THIS_PROGRAM = "this program"
"""The origin of what a script or a notebook registers; there, a cell that runs again replaces its part."""

BASES: dict[Kind, type[Section]] = {
    "format": DataConfig,
    "encoder": EncoderConfig,
    "decoder": DecoderConfig,
    "objective": ObjectiveConfig,
}
"""What all settings of a kind are built on; a part that has none of its own has these."""

NAMED: dict[str, Kind] = {"vocab.tokenizer": "tokenizer", "training.metrics": "metric", "training.loggers": "logger"}
"""Settings that name a part without settings, or a list of such."""


@dataclass(frozen=True)
class Part:
    """A part by name.

    Attributes:
        kind: what it is.
        name: how a configuration calls it.
        settings: the dataclass of its section; None for a tokenizer, a metric or a logger.
        implementation: what builds it, or `module:Class` of ours.
        origin: the plugin's file; None for a shipped part.
        sha256: of that file as it was imported, or of the part's own text where it stands in a notebook; else empty.
    """

    kind: Kind
    name: str
    settings: type[Section] | None
    implementation: Callable[..., Any] | str
    origin: str | None = None
    sha256: str = ""

    def load(self) -> Any:
        """The class or function, imported now."""
        if not isinstance(self.implementation, str):
            return self.implementation
        module, _, name = self.implementation.partition(":")
        return getattr(import_module(module), name)

    @property
    def place(self) -> str:
        """Where it is written down, for messages."""
        return self.origin or f"Showtell's own {self.implementation}"


_parts: dict[tuple[Kind, str], Part] = {}
_any_other: dict[tuple[Kind, str], Part] = {}
_plugin: list[tuple[str, str]] = []  # file and hash of what is being imported
failures: dict[str, str] = {}
"""Plugins that could not be imported, and their tracebacks: for whoever wants something of them."""


def declare(kind: Kind, settings: type[Section] | None, implementation: str, name: str = "") -> None:
    """Makes a shipped part known, by the name that its settings have as default."""
    called = name or _name_of(kind, settings)
    _add(Part(kind, called, _named(kind, settings, called), implementation))


def declare_any_other(kind: Kind, settings: type[Section], implementation: str, name: str, prefix: str = "") -> None:
    """A shipped part that stands for all names that start so and nobody registered, like a library's many encoders."""
    declare(kind, settings, implementation, name)
    _any_other[kind, prefix] = _parts[kind, name]


def register(kind: Kind, settings: type[Section] | None = None, *, name: str = "") -> Callable[[_Built], _Built]:
    """Registers a class, or a function that builds it, as a part, from a plugin's file.

    Args:
        kind: decoder, objective, encoder, format, tokenizer, metric or logger.
        settings: the dataclass of its settings, built on the kind's base; a part without has the base's.
        name: how a configuration calls it; by default what `settings` have as default for `name` (of a format:
            `format`).

    Raises:
        UserError: the name is taken, there is no such kind, or the settings are of another one.
    """
    origin, sha256 = _plugin[-1] if _plugin else (THIS_PROGRAM, "")
    if kind not in get_args(Kind):
        raise UserError(f"{origin}: {kind!r} is no kind of part; register one of {', '.join(get_args(Kind))}")
    if settings is not None and not _fits(kind, settings):
        base = (
            f"write @dataclass(kw_only=True) class Settings({BASES[kind].__name__})" if kind in BASES else "it has none"
        )
        raise UserError(f"{origin}: {settings.__name__} cannot be the settings of a {kind}; {base}")
    called = name or _name_of(kind, settings, origin)

    def registered(built: _Built) -> _Built:
        _add(Part(kind, called, _named(kind, settings, called), built, origin, sha256 or _text_sha256(built)))
        return built

    return registered


def find(kind: Kind, name: str, option: str = "") -> Part:
    """The part of this name; `option` is what of a command line named it, where no setting did.

    Raises:
        ConfigError: there is none; the line lists those that are there.
    """
    found = lookup(kind, name)
    if found is None:
        keys = [f"{section}.{key}" for section, (one, key) in SECTIONS.items() if one == kind]
        key = (keys or [key for key, one in NAMED.items() if one == kind])[0]
        said = f"{option} {name}" if option else f"{key}={name!r}"
        raise ConfigError(
            f"{said} is not an option; choose one of {', '.join(names(kind))}"
            f"{broken() or ', or give --plugins with the folder of the plugin that has it'}"
        )
    return found


def lookup(kind: Kind, name: str) -> Part | None:
    """The part of this name, if there is one."""
    prefix, slash, _ = name.partition("/")
    return _parts.get((kind, name)) or _any_other.get((kind, prefix + slash)) or _any_other.get((kind, ""))


def meant(kind: Kind, name: str, keys: Collection[str]) -> Part | None:
    """`lookup`; where another library's part stands for any name, the one that has these settings."""
    found = lookup(kind, name)
    libraries = [part for (one, _), part in _any_other.items() if one == kind]
    fitting = [part for part in libraries if part.settings and set(keys) <= {one.name for one in fields(part.settings)}]
    return fitting[0] if found in libraries and fitting and found not in fitting else found


def broken() -> str:
    """The end of a line that misses a part: plugins that could not be imported. Prints their tracebacks."""
    for file, trace in failures.items():
        print(f"{file}:\n{trace}", file=sys.stderr)
    return "".join(f"; {file} might have it, but cannot be imported" for file in failures)


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
    return part.settings(**{_key_of(kind): name, **values})


class from_plugin:
    """A block in which what is registered belongs to a plugin's file, and replaces what an older content of it had."""

    def __init__(self, file: str, sha256: str) -> None:
        self.file, self.sha256 = file, sha256

    def __enter__(self) -> None:
        self._drop()
        _plugin.append((self.file, self.sha256))

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        _plugin.pop()
        if error is not None:  # half a plugin is none
            self._drop()

    def _drop(self) -> None:
        for key in [key for key, part in _parts.items() if part.origin == self.file]:
            del _parts[key]


def _text_sha256(built: Any) -> str:
    with suppress(OSError, TypeError):
        return hashlib.sha256(inspect.getsource(built).encode()).hexdigest()
    return ""


def _add(part: Part) -> None:
    taken = _parts.get((part.kind, part.name))
    if taken is not None and not taken.origin == part.origin == THIS_PROGRAM:
        raise UserError(f"{part.place}: the {part.kind} {part.name!r} is taken by {taken.place}; give it another name")
    _parts[part.kind, part.name] = part


def _name_of(kind: Kind, settings: type[Section] | None, origin: str = "") -> str:
    key = _key_of(kind)
    found = [one.default for one in fields(settings) if one.name == key] if settings else []
    if not found or not isinstance(found[0], str):
        raise UserError(f"{origin}: a {kind} needs a name; write register({kind!r}, name=...)")
    return found[0]


def _key_of(kind: Kind) -> str:
    return next((key for one, key in SECTIONS.values() if one == kind), "name")


def _fits(kind: Kind, settings: type[Section]) -> bool:
    return kind in BASES and issubclass(settings, BASES[kind]) and "__dataclass_fields__" in vars(settings)


def _named(kind: Kind, settings: type[Section] | None, name: str) -> type[Section] | None:
    """The settings with the part's name as default; the base of the kind where it has none of its own."""
    base = settings or BASES.get(kind)
    if base is None or (settings and name == _name_of(kind, settings)):
        return settings
    told = {one.name: declared(one) for one in fields(base)}
    keys = {"name", _key_of(kind)}  # a format's name also names its data set in caches
    own = [(key, str, setting(name, **vars(told[key]))) for key in sorted(keys)]
    return make_dataclass(base.__name__, own, bases=(base,), namespace={"__doc__": base.__doc__}, kw_only=True)
