"""The data sets of `conf/data`, and what `data=NAME data.key=value` means, without Hydra.

For tools that only look at a data set: the same files and the same gate as in training, so a data set that the check
accepts is the one that training sees.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from os.path import basename, expanduser, isdir, isfile
from pathlib import Path
from typing import Any

from showtell.config.gate import overlaid, parse
from showtell.config.habits import unknown_option
from showtell.config.registry import SECTIONS, names, parts, settings
from showtell.config.sections import DataConfig, VocabConfig
from showtell.config.words import unquoted
from showtell.errors import ConfigError


def data_config(arguments: Sequence[str], conf: Path | None = None, start: DataConfig | None = None) -> DataConfig:
    """The `data` section that `data=NAME` and `data.key=value` mean, without Hydra.

    `conf` holds `data/NAME.yaml`; by default it is that in the working directory, else in this repository. Without
    `data=NAME` the settings are those of `start`, else of shapes.

    Raises:
        ConfigError: an argument, a name or a value that is not to be used.
    """
    name, overrides = "", []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key == "data" and value:
            name = value
        elif equals and key.startswith("data."):
            value = unquoted(value)
            overrides.append((key, expanduser(value) if value.startswith("~") else value))
        else:
            raise ConfigError(f"{argument}: {_instead(argument)}")
    conf = conf or conf_folder()
    values = asdict(start) if start and not name else preset("data", name or "shapes", conf)
    for key, value in overrides:
        _set(values, key, None if value == "null" else value)
    return parse({"data": values}).data


def data_sets(conf: Path | None = None) -> dict[str, DataConfig]:
    """The data sets that `data=` takes without plugins; the one that takes any folder comes last."""
    conf = conf or conf_folder()
    files = {file.stem: file for file in (conf / "data").glob("*.yaml")}
    shipped = {part.name for part in parts("format") if part.origin is None} - {"shapes", "coco", "flickr", "folder"}
    found = {}
    for name in [*sorted((files.keys() | shipped) - {"custom"}), "custom" if "custom" in files else "folder"]:
        with suppress(ConfigError, TypeError):  # a faulty preset is told of where it is chosen
            values = preset("data", name, conf)
            found[name] = replace(settings("format", values["format"]), **values)
    return found


def data_and_vocab(arguments: Sequence[str], conf: Path | None = None) -> tuple[DataConfig, VocabConfig]:
    """What `data_config` reads, and the `vocab` section that `vocab.key=value` beside it means; errors as there.

    A folder stands for `data=custom data.root=FOLDER`.
    """
    if arguments and "=" not in arguments[0] and isdir(expanduser(arguments[0])):
        arguments = ["data=custom", f"data.root={arguments[0]}", *arguments[1:]]
    words = [argument.partition("=") for argument in arguments if argument.startswith("vocab.")]
    vocab = {key.removeprefix("vocab."): value for key, _, value in words}
    others = [argument for argument in arguments if not argument.startswith("vocab.")]
    found = data_config(others, conf)
    if found.extra_captions:
        raise ConfigError("data.extra_captions: what people wrote is looked at alone; leave it out")
    return found, parse({"vocab": vocab}).vocab


def _instead(word: str) -> str:
    """What to write for a word that is no setting of a data set."""
    if isdir(word):
        return f"is no setting of a data set; write data=custom data.root={word}"
    if isfile(word):
        return f"is a file; name its folder, or data=custom data.root=FOLDER data.train_annotations={basename(word)}"
    return "there is no such folder; name one that is there, or write data=NAME or data.key=value"


def conf_folder() -> Path:
    """The folder of presets: that in the working directory, else in this repository."""
    here = Path("conf")
    return here if (here / "data").is_dir() else Path(__file__).parents[3] / "conf"


def preset(group: str, name: str, conf: Path, outer: Sequence[str] = ()) -> dict[str, Any]:
    """The values of `conf/GROUP/NAME.yaml` and of the presets that it starts from, or a part as it comes.

    None starts from itself, or from those that start from it: `outer`.

    Raises:
        ConfigError: there is none of this name, or it holds no values.
    """
    files = {file.stem: file for file in (conf / group).glob("*.yaml") if file.stem not in outer}
    kind, key = SECTIONS.get(group, (None, ""))
    shipped = names(kind) if kind else []
    if name not in files:
        if name in shipped:
            return {key: name}
        missing = "" if files else f" (there are no presets: {conf}/{group} is missing; run it beside conf/)"
        raise ConfigError(unknown_option(group, name, sorted({*files, *shipped})) + missing)
    from showtell.config.untrusted_yaml import load_yaml  # here: reading a file of captions needs no YAML

    values = load_yaml(files[name])
    if not isinstance(values, dict):
        raise ConfigError(f"{files[name]}: holds no keys and values; correct the file")
    options = [option for option in values.pop("defaults", []) if option != "_self_"]
    return overlaid(*(preset(group, str(option), conf, [*outer, name]) for option in options), values)


def _set(values: dict[str, Any], key: str, value: str | None) -> None:
    """Sets `data.a.b` in the nested values of `data`."""
    *groups, last = key.split(".")[1:]
    for group in groups:
        values = values.setdefault(group, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{key}: there is no such setting; {group} is a value, not a section")
    values[last] = value
