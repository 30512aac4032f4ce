"""One declaration per setting: its default, its limits, what it means, and what others make of it.

A section of the configuration is a dataclass whose fields are made by `setting` and `section`. What is declared here
once is what the gate checks, what `train.py --help KEY` and docs/settings.md tell, what a resume refuses, what names
the folders of a sweep, and what runs are compared by. A trait that a setting does not state is that of its section.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, ClassVar, Literal

from showtell.errors import ConfigError

OnResume = Literal["refuse", "switch", "say", "length", "ignore"]


@dataclass(frozen=True)
class Needs:
    """What another setting, `key`, must be for a setting to have an effect.

    One of `values`, none of `other_than`, more than `above`; without these, anything but 0, false or null.
    """

    key: str
    values: tuple[object, ...] = ()
    other_than: tuple[object, ...] = ()
    above: float | None = None

    def is_met(self, value: Any) -> bool:
        """Whether the other setting's value will do."""
        if self.values or self.other_than:
            return value in self.values if self.values else value not in self.other_than
        return bool(value) if self.above is None else value > self.above

    def __str__(self) -> str:
        if self.values:
            return f"{self.key}={' or '.join(map(str, self.values))}"
        if self.other_than:
            return f"another {self.key}"
        return self.key if self.above is None else f"{self.key} above {self.above:g}"


@dataclass(frozen=True)
class Setting:
    """What is known of a setting beyond its type and default.

    Attributes:
        meaning: in words, for people.
        low: the smallest value; `above` excludes it.
        high: the largest value.
        choices: the only values.
        on_resume: another value on resume is refused, said (the run is then not exactly the interrupted one), or free
            (`ignore`). `switch`: said, but turning it on or off is refused. `length`: free unless a schedule is
            stretched over it.
        identifies: whether another value makes another run; a sweep's folder holds one run only.
        named: whether it tells folders of a sweep apart; by default what identifies does.
        compared: whether a leaderboard compares runs by it.
        hyperparameter: whether TensorBoard lists it beside the best value.
        chosen_together: a choice changes many settings of this section at once, which tell the same.
        needs: it has an effect only where one of these is met; elsewhere another value than the default is refused.
    """

    meaning: str = ""
    low: float | None = None
    above: float | None = None
    high: float | None = None
    choices: tuple[object, ...] = ()
    on_resume: OnResume | None = None
    identifies: bool | None = None
    named: bool | None = None
    compared: bool | None = None
    hyperparameter: bool | None = None
    chosen_together: bool | None = None
    needs: tuple[Needs, ...] = ()

    def has_effect(self, values: Mapping[str, Any]) -> bool:
        """Whether it counts among these values, by full key; what they do not tell may be as it must."""
        return not self.needs or any(need.key not in values or need.is_met(values[need.key]) for need in self.needs)

    def within(self, outer: "Setting") -> "Setting":
        """With what its section says where it says nothing itself."""
        traits = ("on_resume", "identifies", "named", "compared", "hyperparameter", "chosen_together")
        return replace(self, **{name: getattr(outer, name) for name in traits if getattr(self, name) is None})

    def check(self, key: str, value: Any) -> None:
        """Refuses, by a ConfigError, a value outside of the limits; None is a value without limits."""
        if value is None:
            return
        if isinstance(value, str) and not value.strip():
            raise ConfigError(f"{key}={value!r} is empty; give it a value, or leave {key}= out")
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{key}={value} is out of range; it must be {self.limits() or 'finite'}")
        if self.choices and value not in self.choices:
            raise ConfigError(f"{key}={value!r} is not an option; choose one of {', '.join(map(str, self.choices))}")
        low_is_met = (self.low is None or value >= self.low) and (self.above is None or value > self.above)
        if not low_is_met or (self.high is not None and not value <= self.high):
            raise ConfigError(f"{key}={value} is out of range; it must be {self.limits()}")

    def limits(self) -> str:
        """The limits in words; empty where there are none."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        parts = [
            f"{word} {bound}"
            for word, bound in (("at least", self.low), ("greater than", self.above), ("at most", self.high))
            if bound is not None
        ]
        return " and ".join(parts)


ROOT = Setting(on_resume="say", identifies=True, compared=True, hyperparameter=False, chosen_together=False)
"""What holds for a setting when neither it nor its sections say otherwise."""

SCORED_ONLY: dict[str, Any] = {"on_resume": "ignore", "identifies": False, "compared": False}
"""Traits of a setting that is of no account for training: what is scored after it."""


def setting(
    default: Any,
    meaning: str,
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    choices: Collection[object] = (),
    **traits: Any,
) -> Any:
    """A field of a section; arguments as the attributes of `Setting`.

    Lists as defaults are copied; `dict` is a setting of any keys, which stand for themselves.
    """
    told = Setting(meaning, low, above, high, tuple(choices), **traits)
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"setting": told})
    if default is dict:
        return field(default_factory=dict, metadata={"setting": told})
    return field(default=default, metadata={"setting": told})


def section(build: Callable[[], Any], meaning: str, **traits: Any) -> Any:
    """A field that is a section of its own; its settings have these traits unless they say otherwise."""
    return field(default_factory=build, metadata={"setting": Setting(meaning, **traits)})


@dataclass(kw_only=True)
class Section:
    """A part of the configuration: limits are checked when it is made, then what `check` says."""

    key: ClassVar[str] = ""
    """Its name in the configuration, e.g. `training`."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not is_dataclass(value):
                declared(one).check(join(self.key, one.name), value)
        self.check()
        refuse_without_effect(walk(self, self.key), flat(asdict(self), f"{self.key}." if self.key else ""))

    def check(self) -> None:
        """Refuses, by a ConfigError, settings that contradict each other."""


def declared(one: "Field[Any]") -> Setting:
    """What a field says of itself."""
    found = one.metadata.get("setting", Setting())
    assert isinstance(found, Setting)
    return found


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`: the names of the command line."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return result


def spelled(value: object) -> str:
    """A plain value as YAML and the command line write it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def join(prefix: str, name: str) -> str:
    """`a` and `b` as `a.b`."""
    return f"{prefix}.{name}" if prefix else name


@dataclass(frozen=True)
class Declared:
    """A setting in its place: the full key, its field, and its traits with those of its sections."""

    key: str
    field: "Field[Any]"
    setting: Setting

    @property
    def default(self) -> Any:
        """The value where nobody says otherwise."""
        made = self.field.default_factory
        return made() if callable(made) else self.field.default


def walk(schema: Any, prefix: str = "", outer: Setting = ROOT) -> Iterator[Declared]:
    """All settings of a section, a class or an object of it, in the order of declaration."""
    for one in fields(schema):
        key, told = join(prefix, one.name), declared(one).within(outer)
        inner = one.default_factory() if isinstance(schema, type) and callable(one.default_factory) else None
        inner = inner if inner is not None else getattr(schema, one.name, None)
        if is_dataclass(inner):
            yield from walk(inner, key, told)
        else:
            yield Declared(key, one, told)


def refuse_without_effect(settings: Iterable[Declared], values: Mapping[str, Any]) -> None:
    """Refuses, by a ConfigError, a setting that is not at its default and does nothing among these values."""
    for one in settings:
        value = values.get(one.key, one.default)  # of a setting of any keys, these stand there
        if value == one.default or one.setting.has_effect(values):
            continue
        now = " and ".join(f"{need.key}={spelled(values[need.key])}" for need in one.setting.needs)
        wanted = ", or ".join(map(str, one.setting.needs))
        raise ConfigError(
            f"{one.key}={spelled(value)} has no effect with {now}; choose {wanted}, or set it to {spelled(one.default)}"
        )
