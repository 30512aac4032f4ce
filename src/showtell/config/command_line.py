"""What `train.py` needs around Hydra: errors as one line, and `resume=` with the run's own configuration.

`data_config` is for tools that only look at a data set: the same files and the same gate, so a data set that the check
accepts is the one that training sees. Nothing here imports hydra or torch, so `--help`, `--cfg job` and a typo answer
at once.
"""

import os
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml

from showtell.config.gate import overlaid, parse
from showtell.config.migration import moved_hint
from showtell.config.reference import all_settings, explained_setting, known_keys, nearest
from showtell.config.registry import SECTIONS, broken, names, parts
from showtell.config.sections import DataConfig, VocabConfig
from showtell.config.untrusted_yaml import check_folders, check_words, load_yaml
from showtell.errors import ConfigError, one_line

TYPES = {"Integer": "a whole number", "Float": "a number", "bool": "true or false"}
# Hydra's own
FLAGS_WITH_VALUE = (
    "--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd"
)  # fmt: skip
FLAGS = (
    "--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m", "--shell-completion",
    "-sc", "--info", "-i", *FLAGS_WITH_VALUE,
)  # fmt: skip
FIXED_ON_RESUME = ("experiment", "debug", "sweep")
IMPLIED = "experiment=demo"  # where neither data nor recipe is named


@contextmanager
def composing() -> Iterator[None]:
    """A block in which Hydra composes: what it and OmegaConf raise is the user's mistake, in one line.

    Raises:
        ConfigError: instead of their own errors.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hands us the exception instead of printing it
    try:
        yield
    except Exception as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        raised_in = frame.f_globals.get("__name__", "")  # Hydra says by a ValueError which flags do not go together
        if not any(name.startswith(("hydra.", "omegaconf.")) for name in (type(error).__module__, raised_in)):
            raise
        raise ConfigError(explain(error)) from None


def explain(error: Exception) -> str:
    """An error as one line: what, where, and what to do instead."""
    text = " ".join(map(one_line, (str(error), str(error.__cause__ or "")))).strip()
    unknown = re.search(r"Key '([^']+)' (?:is )?not in '([^']+)'", text)
    if unknown:
        return _unknown_key(text, unknown[1])
    group = re.search(
        r"Could not find '([^']+)'.*?Available options in '([^']+)': (.*?)(?: Config search path.*)?$", text
    )
    if group:
        chosen = group[1].rpartition("/")[2]
        return f"{group[2]}={chosen}: there is no such option; choose one of {', '.join(group[3].split())}{broken()}"
    wrong_type = re.search(r"Value (.+) (?:of type '\w+' could not be converted to|is not a valid) (\w+)", text)
    where = re.search(r"full_key: (\S+)|override ([^\s=]+)", text)
    if wrong_type and where:
        return f"{where[1] or where[2]}={wrong_type[1]}: {TYPES.get(wrong_type[2], wrong_type[2])} is wanted here"
    if "hydra.cc/docs" in text:
        word = re.search(r"override '(.*?)'|input '(.*)' See", text)
        named = f"{word[1] or word[2]}: " if word else ""
        return f"{named}cannot be read as KEY=VALUE or GROUP=OPTION; quote what holds brackets or blanks"
    return re.sub(r"(?: full_key: .*| Config search path.*)$", "", text)


def print_help(arguments: Sequence[str], conf: Path) -> bool:
    """Prints the help, or with `--help KEY` what a setting is, if nothing else is asked for; False otherwise.

    Hydra prints the same help, but takes a second: to list the options of a group it copies all configurations that it
    knows, once per group.

    Raises:
        ConfigError: `--help KEY`, and there is no such setting.
    """
    words = list(arguments)
    if len(words) == 2 and words[0] in ("--help", "-h") and "=" not in words[1] and not words[1].startswith("-"):
        print(explained_setting(words[1]))
        return True
    if words not in (["--help"], ["-h"]):
        return False
    content = yaml.safe_load((conf / "config.yaml").read_text(encoding="utf-8"))
    print(content["hydra"]["help"]["template"].replace("$APP_CONFIG_GROUPS", config_groups(conf)), end="")
    return True


def config_groups(conf: Path) -> str:
    """One line for each group of options: `data: coco2014, coco2017, ...`; registered parts are options too."""
    options = {
        folder.name: {path.stem for path in folder.glob("*.yaml")} for folder in conf.iterdir() if folder.is_dir()
    }
    for section, (kind, _) in SECTIONS.items():
        options.setdefault(section, set()).update(part.name for part in parts(kind))
    return "".join(f"{group}: {', '.join(sorted(names))}\n" for group, names in sorted(options.items()) if names)


def checked_arguments(arguments: Sequence[str], folder: Path) -> list[str]:
    """The command line as Hydra gets it, once neither it nor a group file can make Hydra do more than read values.

    Raises:
        ConfigError: a word or a file that would call code, read the environment or unfold without end.
    """
    check_flags(arguments)
    check_words(arguments)
    check_folders(folder, arguments)
    return resume_arguments(arguments) if resumed_from(arguments) else with_recipe(with_groups(arguments))


def with_groups(arguments: Sequence[str]) -> list[str]:
    """`decoder.name=lstm` chooses the part as `decoder=lstm` does, with its own settings."""
    given = {word.partition("=")[0] for word in arguments}
    words = []
    for section, (kind, key) in SECTIONS.items():
        chosen = [word.partition("=")[2] for word in arguments if word.startswith(f"{section}.{key}=")]
        if chosen and section not in given and chosen[-1] in names(kind):
            words.append(f"{section}={chosen[-1]}")
    return [*arguments, *words]


def with_recipe(arguments: Sequence[str]) -> list[str]:
    """The demo's recipe where the command line names neither data nor recipe."""
    given = {key_of(word) for word in arguments}
    return list(arguments) if given & {"data", "experiment"} else [*arguments, IMPLIED]


def key_of(word: str) -> str:
    """The setting or group that a word of the command line names."""
    return re.split(r"[=@]", word.lstrip("+~"), maxsplit=1)[0]


def check_flags(arguments: Sequence[str]) -> None:
    """Refuses, by a ConfigError, an option that Hydra does not know, or without its value; it would print its usage."""
    for word, following in zip_longest(arguments, arguments[1:], fillvalue="-"):
        flag, equals, value = word.partition("=")
        value = value if equals else following
        if flag in FLAGS_WITH_VALUE and (not value or value.startswith("-")):
            raise ConfigError(f"{flag}: its value is missing; write it behind {flag}")
        if flag in ("--config-name", "-cn") and re.search(r"\.\.|^/", value):
            raise ConfigError(f"{flag} {value}: is a name, not a path; give its folder as --config-path")
        if flag in ("--cfg", "-c") and value not in ("job", "hydra", "all"):
            raise ConfigError(f"{flag} {value}: there is no such configuration; choose one of job, hydra, all")
        if flag.startswith("-") and flag not in FLAGS:
            hint = nearest(flag, FLAGS, "settings are written KEY=VALUE, without dashes")
            raise ConfigError(f"{flag}: there is no such option; {hint}")


def flags_first(arguments: Sequence[str]) -> list[str]:
    """In Hydra's order: flags with their values, then all settings in one piece."""
    flags: list[str] = []
    settings: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        (flags if word.startswith("-") else settings).append(word)
        if word in FLAGS_WITH_VALUE and words:
            flags.append(words.pop(0))
    return [*flags, *settings]


def resumed_from(arguments: Sequence[str]) -> Path | None:
    """What `resume=` names; None without it, and in a sweep, whose launcher refuses it."""
    words = [word.lstrip("+").partition("=") for word in arguments]
    path = next((value.strip("'\"") for key, _, value in reversed(words) if key == "resume"), "")
    return None if path in ("", "null") or {"-m", "--multirun"} & set(arguments) else Path(path)


def resume_arguments(arguments: Sequence[str]) -> list[str]:
    """Sends a resumed run to its old directory.

    Raises:
        ConfigError: there is no such directory; Hydra would make it.
    """
    path = resumed_from(arguments)
    assert path is not None
    directory = path.parent.parent if path.suffix == ".ckpt" else path
    if not directory.is_dir():
        raise ConfigError(f"resume={path}: there is no such run directory; `ls runs/*` shows those that are")
    quoted = str(directory).replace("\\", "\\\\").replace("'", "\\'")
    return [*arguments, f"hydra.run.dir='{quoted}'"]


def overridden(started: Mapping[str, Any], composed: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A nested configuration, `started`, changed where a command line's words, composed in `composed`, say so.

    Raises:
        ConfigError: a recipe as a whole is given again.
    """
    values = deepcopy(dict(started))
    for override in overrides:
        key = key_of(override)
        if key in FIXED_ON_RESUME:
            raise ConfigError(f"{override}: a resumed run keeps its recipe; leave it out, or change single values")
        *sections, name = key.replace("/", ".").split(".")
        source, target = composed, values
        for section in sections:
            source, target = source[section], target.setdefault(section, {})
        target[name] = source[name]
    return values


def _unknown_key(text: str, key: str) -> str:
    where = re.search(r"full_key: (\S+)", text) or re.search(r"Could not override '([^']+)'", text)
    full = where[1] if where else key
    if hint := moved_hint(full):
        return hint
    owners = dict.fromkeys(name for name, one in all_settings() if name and f"{one.key}.".startswith(f"{full}."))
    if owners:
        section = full.partition(".")[0]
        return f"{full} is a setting of {section}={', '.join(owners)} alone; choose one of them, or leave it out"
    hint = nearest(full, known_keys(), "`python train.py --cfg job` lists the settings")
    return f"{full}: there is no such setting; {hint}"


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
            overrides.append((key, value))
        else:
            raise ConfigError(f"{argument!r} is no setting of a data set; write data=NAME or data.key=value")
    conf = conf or _conf_folder()
    files = {file.stem: file for file in (conf / "data").glob("*.yaml")}
    values = asdict(start) if start and not name else _preset(name or "shapes", files, conf)
    for key, value in overrides:
        _set(values, key, None if value == "null" else value)
    return parse({"data": values}).data


def data_and_vocab(arguments: Sequence[str], conf: Path | None = None) -> tuple[DataConfig, VocabConfig]:
    """What `data_config` reads, and the `vocab` section that `vocab.key=value` beside it means; errors as there."""
    words = [argument.partition("=") for argument in arguments if argument.startswith("vocab.")]
    vocab = {key.removeprefix("vocab."): value for key, _, value in words}
    others = [argument for argument in arguments if not argument.startswith("vocab.")]
    return data_config(others, conf), parse({"vocab": vocab}).vocab


def _conf_folder() -> Path:
    here = Path("conf")
    return here if (here / "data").is_dir() else Path(__file__).parents[3] / "conf"


def _preset(name: str, files: Mapping[str, Path], conf: Path) -> dict[str, Any]:
    """The values of `conf/data/NAME.yaml` and of the presets that it starts from, or a format as it comes."""
    if name not in files:
        if name in names("format"):
            return {"format": name}
        known = sorted({*files, *names("format")})
        missing = "" if files else f" (there are no presets: {conf}/data is missing; run it beside conf/)"
        raise ConfigError(f"data={name!r} is not an option; choose one of {', '.join(known)}{missing}")
    values = load_yaml(files[name])
    if not isinstance(values, dict):
        raise ConfigError(f"{files[name]}: holds no keys and values; correct the file")
    others = {other: file for other, file in files.items() if other != name}  # none starts from itself
    bases = [_preset(str(option), others, conf) for option in values.pop("defaults", []) if option != "_self_"]
    return overlaid(*bases, values)


def _set(values: dict[str, Any], key: str, value: str | None) -> None:
    """Sets `data.a.b` in the nested values of `data`."""
    *groups, last = key.split(".")[1:]
    for group in groups:
        values = values.setdefault(group, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{key}: there is no such setting; {group} is a value, not a section")
    values[last] = value
