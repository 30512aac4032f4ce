"""What every section checks its values with: a refused value is one line that names key, value and remedy."""

from collections.abc import Collection

from showtell.errors import ConfigError


def one_of(key: str, value: object, choices: Collection[object]) -> None:
    """Refuses a value that is not among the choices."""
    if value not in choices:
        raise ConfigError(f"{key}={value!r} is not an option; choose one of {', '.join(map(str, choices))}")


def within(key: str, value: float, low: float, high: float = float("inf"), *, open_low: bool = False) -> None:
    """Refuses a value outside `low <= value <= high`; with `open_low`, `low` itself too."""
    if not (low < value if open_low else low <= value) or not value <= high:
        bound = f"greater than {low}" if open_low else f"at least {low}"
        limit = "" if high == float("inf") else f" and at most {high}"
        raise ConfigError(f"{key}={value} is out of range; it must be {bound}{limit}")
