"""`data=NAME data.key=value` on a command line without Hydra, for tools that only look at a data set.

Reads the same `conf/data/NAME.yaml` that training reads and passes the same gate, so a data set that the check accepts
is the one that training sees.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from showtell.config.gate import parse
from showtell.config.registry import names
from showtell.config.sections import DataConfig
from showtell.config.untrusted_yaml import load_yaml
from showtell.errors import ConfigError


def data_config(arguments: Sequence[str], conf: Path | None = None) -> DataConfig:
    """Composes the `data` section of a configuration.

    Args:
        arguments: `data=NAME` (default shapes) and `data.key=value`.
        conf: the folder with `data/NAME.yaml`; by default `conf` in the working directory, else in this repository.

    Raises:
        ConfigError: an argument, a name or a value that is not to be used.
    """
    name, overrides = "shapes", []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key == "data" and value:
            name = value
        elif equals and key.startswith("data."):
            overrides.append((key, value))
        else:
            raise ConfigError(f"{argument!r} is no setting of a data set; write data=NAME or data.key=value")
    values = _preset(name, conf or _conf_folder())
    for key, value in overrides:
        _set(values, key, None if value == "null" else value)
    return parse({"data": values}).data


def _conf_folder() -> Path:
    here = Path("conf")
    return here if (here / "data").is_dir() else Path(__file__).parents[3] / "conf"


def _preset(name: str, conf: Path) -> dict[str, Any]:
    """The values of `conf/data/NAME.yaml`, or a format of this name as it comes."""
    files = {file.stem: file for file in (conf / "data").glob("*.yaml")}
    if name not in files:
        if name in names("format"):
            return {"format": name}
        known = sorted({*files, *names("format")})
        missing = "" if files else f" (there are no presets: {conf}/data is missing; run it beside conf/)"
        raise ConfigError(f"data={name!r} is not an option; choose one of {', '.join(known)}{missing}")
    values = load_yaml(files[name])
    if not isinstance(values, dict):
        raise ConfigError(f"{files[name]}: holds no keys and values; correct the file")
    base = [option for option in values.pop("defaults", []) if option != "_self_"]
    return {**({"format": base[0]} if base else {}), **values}


def _set(values: dict[str, Any], key: str, value: str | None) -> None:
    """Sets `data.a.b` in the nested values of `data`."""
    *groups, last = key.split(".")[1:]
    for group in groups:
        values = values.setdefault(group, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{key}: there is no such setting; {group} is a value, not a section")
    values[last] = value
