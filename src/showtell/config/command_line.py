"""What `train.py` needs around Hydra: errors as one line, and `resume=` with the run's own configuration.

Nothing here imports hydra or torch, so `--help`, `--cfg job` and a typo answer at once.
"""

import os
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from textwrap import shorten
from typing import Any

import yaml

from showtell.config.habits import refuse_unknown, unknown_option
from showtell.config.reference import all_settings, explained_setting
from showtell.config.registry import SECTIONS, lookup, names
from showtell.config.untrusted_yaml import check_folders, check_words, given_folders
from showtell.config.words import SWEEP, TYPES, check_flags, key_of, quoted, read_words, unquoted
from showtell.errors import ConfigError, one_line

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
        return unknown_option(group[2], group[1].rpartition("/")[2], [one.strip(",") for one in group[3].split()])
    wrong_type = re.search(r"Value (.+) (?:of type '\w+' could not be converted to|is not a valid) (\w+)", text)
    where = re.search(r"full_key: (\S+)|override ([^\s=]+)", text)
    if wrong_type and where:
        kind = TYPES.get(wrong_type[2].lower(), "another kind of value")
        return f"{where[1] or where[2]}={wrong_type[1]}: must be {kind}"
    if "hydra.cc/docs" in text:
        word = re.search(r"override '(.*?)'|input '(.*)' See", text)
        named = f"{word[1] or word[2]}: " if word else ""
        return f"{named}cannot be read as KEY=VALUE or GROUP=OPTION; quote what holds brackets or blanks"
    if missing := re.search(r"Cannot find primary config '(.+?)'", text):
        return f"--config-name {missing[1]}: there is no such file; leave it out, or give its folder as --config-dir"
    if twice := re.search(r"Multiple values for (\S+?)\.", text):
        return f"{twice[1]}= is given twice; leave one of them out"
    return re.sub(r"^Error merging override |(?: full_key: .*| Config search path.*)$", "", text)


def print_help(arguments: Sequence[str], conf: Path) -> bool:
    """Prints the help, or with `--help KEY` what a setting is, if nothing else is asked for; False otherwise.

    Hydra prints the same help, but takes a second: to list the options of a group it copies all configurations that it
    knows, once per group.

    Raises:
        ConfigError: `--help KEY`, and there is no such setting.
    """
    words = list(arguments)
    if len(words) == 2 and words[0] in ("--help", "-h") and "=" not in words[1] and not words[1].startswith("-"):
        options = options_of_groups(conf)
        key = "training.loggers" if words[1] == "logger" else words[1]
        text = "\n\n".join(filter(None, (explained_group(key, conf), explained_setting(key))))
        if not text:
            refuse_unknown(key, groups=options)
        print(text)
        return True
    if words not in (["--help"], ["-h"]):
        return False
    content = yaml.safe_load((conf / "config.yaml").read_text(encoding="utf-8"))
    print(content["hydra"]["help"]["template"].replace("$APP_CONFIG_GROUPS", config_groups(conf)), end="")
    return True


def config_groups(conf: Path) -> str:
    """One line for each group of options: `data: coco2014, coco2017, ...`; registered parts are options too."""
    return "".join(f"{group}: {', '.join(options)}\n" for group, options in options_of_groups(conf).items())


def explained_group(group: str, conf: Path) -> str:
    """What `group=` chooses from, a line for each option; empty if there is no such group."""
    options = options_of_groups(conf).get(group, [])
    width = max(map(len, options), default=0)
    told = {option: shorten(_explained_option(group, option, conf), 140, placeholder=" ...") for option in options}
    lines = [f"  {option:{width}}  {told[option]}".rstrip() for option in options]
    return "\n".join([f"{group}= chooses one of", *lines]) if options else ""


def _explained_option(group: str, option: str, conf: Path) -> str:
    """The comment that its file begins with, or its values; the first line about a registered part's settings."""
    file = conf / group / f"{option}.yaml"
    if not file.is_file():
        part = lookup(SECTIONS[group][0], option)
        return (getattr(part and part.settings, "__doc__", None) or "").partition("\n")[0].rstrip(".")
    text = re.sub(r"# @package.*\n", "", file.read_text(encoding="utf-8"))
    comment = re.match(r"(# .*\n)+", text)
    if comment:
        told = " ".join(line.removeprefix("# ").strip() for line in comment[0].splitlines())
        return re.split(r":? python |(?<=\w\w\w[.]) ", told)[0].rstrip(".")
    lines = [re.sub(r" +#.*", "", line) for line in text.splitlines()]
    return ", ".join(line.removeprefix("  - ") for line in lines if line != "defaults:")


def options_of_groups(*folders: Path) -> dict[str, list[str]]:
    """The options of each group, from folders like `conf` and of registered parts."""
    options: dict[str, set[str]] = {section: {*names(kind)} for section, (kind, _) in SECTIONS.items()}
    for path in (path for folder in folders for path in folder.glob("*/*.yaml")):
        options.setdefault(path.parent.name, set()).add(path.stem)
    return {group: sorted(found) for group, found in sorted(options.items())}


def checked_arguments(arguments: Sequence[str], folder: Path) -> list[str]:
    """The command line as Hydra gets it, once neither it nor a group file can make Hydra do more than read values.

    Raises:
        ConfigError: a word or a file that would call code, read the environment or unfold without end.
    """
    groups = options_of_groups(folder, *given_folders(arguments))
    check_flags(arguments, groups)
    check_words(arguments)
    check_folders(folder, arguments)
    _refuse_sweep_of_one(arguments)
    words = read_words(arguments, groups)
    return resume_arguments(words) if resumed_from(words) else with_recipe(with_groups(words))


def _refuse_sweep_of_one(arguments: Sequence[str]) -> None:
    """Refuses, by a ConfigError, words about a sweep without one; a single run would ignore them."""
    idle = [word for word in arguments if key_of(word).partition(".")[0] == "sweep" and not word.endswith("=null")]
    if idle and not {"-m", "--multirun", "--cfg", "-c"} & set(arguments):
        raise ConfigError(f"{idle[0]} has no effect on a single run; add -m for a sweep, or leave it out")


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


def resumed_from(arguments: Sequence[str]) -> Path | None:
    """What `resume=` names; None without it, and in a sweep, whose launcher refuses it."""
    words = [word.lstrip("+").partition("=") for word in arguments]
    path = next((unquoted(value) for key, _, value in reversed(words) if key == "resume"), "")
    return None if path in ("", "null") or {*SWEEP} & set(arguments) else Path(path)


def ready_directory(words: Sequence[str]) -> str:
    """The directory of `--run DIRECTORY`, which stands alone.

    Raises:
        ConfigError: other words stand beside it, or none; there is no such directory.
    """
    if len(words) != 2:
        raise ConfigError("--run DIRECTORY trains what the directory says; change it by resume=DIRECTORY key=value")
    _refuse_missing(Path(words[1]), " ".join(words))
    return words[1]


def resume_arguments(arguments: Sequence[str]) -> list[str]:
    """Sends a resumed run to its old directory.

    Raises:
        ConfigError: there is no such directory; Hydra would make it.
    """
    path = resumed_from(arguments)
    assert path is not None
    directory = path.parent.parent if path.suffix == ".ckpt" else path
    _refuse_missing(directory, f"resume={path}")
    return [*arguments, f"hydra.run.dir={quoted(str(directory))}"]


def _refuse_missing(directory: Path, named: str) -> None:
    if not directory.is_dir():
        what = "is a file, not a run directory" if directory.is_file() else "there is no such run directory"
        raise ConfigError(f"{named}: {what}; `ls -d runs/*/*` shows those that are")


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
    owners = dict.fromkeys(name for name, one in all_settings() if name and f"{one.key}.".startswith(f"{full}."))
    if owners:
        section, recipe = full.partition(".")[0], re.search(r"In '(experiment)/(\w+)'", text)
        setter, other = (f", which {recipe[1]}={recipe[2]} sets,", "another recipe") if recipe else ("", "leave it out")
        return f"{full}{setter} is a setting of {section}={', '.join(owners)} alone; choose one of them, or {other}"
    refuse_unknown(full)
    return f"{full}: there is no such setting here; `python train.py --cfg job` lists those that are"
