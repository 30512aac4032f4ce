"""The gate: what enters becomes a checked `Config`, or one line that names key, value and remedy."""

from collections.abc import Mapping
from typing import Any

from showtell.config.habits import refuse_unknown
from showtell.config.migration import migrated
from showtell.config.registry import BASES, SECTIONS, find, meant, parts
from showtell.config.schema import Config
from showtell.errors import ConfigError


def parse(values: Mapping[str, Any]) -> Config:
    """Turns composed values (a DictConfig or a plain mapping) into a checked `Config`.

    A section that is a part's is parsed in two steps: its name, then that part's settings.

    Raises:
        ConfigError: a key that does not exist, a wrong type or an impossible value, as one line.
    """
    from omegaconf import OmegaConf  # late: processes that only watch need none of it
    from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

    given = plain(values)
    _refuse_interpolations(given, "")
    try:
        base = OmegaConf.structured(Config)
        for section in SECTIONS:
            base[section] = OmegaConf.structured(_settings_class(section, given.get(section)))
        config = OmegaConf.to_object(OmegaConf.merge(base, given))
    except ConfigKeyError as error:
        refuse_unknown(str(error.full_key))
        raise ConfigError(f"{error.full_key}: there is no such setting here; docs/settings.md lists them") from None
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from None
    assert isinstance(config, Config)
    return config


def plain(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A DictConfig as plain containers; what is plain stays."""
    from omegaconf import OmegaConf

    found: Any = OmegaConf.to_container(values) if OmegaConf.is_config(values) else values
    return found  # type: ignore[no-any-return]


def overlaid(*values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values over each other, the last on top."""
    from omegaconf import OmegaConf

    return dict(plain(OmegaConf.merge(*values)))  # type: ignore[arg-type]


def restore(values: Mapping[str, Any]) -> Config:
    """`parse` for a configuration that was stored, perhaps by an older version; errors as there."""
    return parse(migrated(values))


def register_with_hydra() -> None:
    """Tells Hydra the schema, and each part's settings under its name as an option of its group."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    store = ConfigStore.instance()
    schema = OmegaConf.structured(Config)
    for section, (kind, _) in SECTIONS.items():
        schema[section] = OmegaConf.structured(BASES[kind])  # an option of the group brings what it has besides
    store.store("schema", schema)
    for section, (kind, _) in SECTIONS.items():
        for part in parts(kind):
            store.store(group=section, name=part.name, node=part.settings)


def _settings_class(section: str, values: Any) -> Any:
    kind, key = SECTIONS[section]
    default = getattr(Config(), section)
    if not isinstance(values, Mapping) or values.get(key) is None:
        return type(default)
    part = meant(kind, str(values[key]), values) or find(kind, str(values[key]))
    return part.settings


def _refuse_interpolations(value: Any, key: str) -> None:
    """`${oc.env:NAME}` in a recipe or a foreign checkpoint would carry the environment into names and files."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _refuse_interpolations(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_interpolations(inner, key)
    elif isinstance(value, str) and "${" in value:
        raise ConfigError(f"{key}={value[:80]!r}: interpolations are not resolved; write the value itself")
