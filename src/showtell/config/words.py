"""The words of train.py's command line, before Hydra reads them.

A value that can only mean a string (a path with brackets, blanks, `=` or letters beyond ASCII, `~` for the home folder)
is quoted for Hydra here, so that it simply works. What people type by mistake or from the habit of other programs (an
option's dashes, a setting's usual other name, a list without `-m`) is refused with the word to type instead.
"""

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import zip_longest
from os.path import exists, expanduser, isdir, isfile
from pathlib import Path
from shlex import quote

from showtell.config.habits import HABITS, Groups, instead_of, refuse_unknown, typed, unknown_option
from showtell.config.reference import all_settings, close, known_keys
from showtell.errors import ConfigError
from showtell.files import PICTURE_SUFFIXES

# Hydra's own
FLAGS_WITH_VALUE = (
    "--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd"
)  # fmt: skip
SWEEP = ("--multirun", "-m")
COMMANDS = ("--run", "-r", *SWEEP, "--shell-completion", "-sc", "--info", "-i", "--cfg", "-c")
FLAGS = ("--help", "-h", "--hydra-help", "--version", "--resolve", *COMMANDS, *FLAGS_WITH_VALUE)

_FREE_KEYS = r"hydra\.(?:sweeper\.params|job\.env_set)\."  # below them any word may be new, by a +

TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a name"}
# what Hydra reads as this very string without quotes
_NUMBER = r"[+-]?[\d._]+(?:e[+-]?\d+)?|inf|nan"
_PLAIN = re.compile(rf"(?!(?:{_NUMBER}|true|false|null)$)[\w/.][\w/\-.%@?|+:*$]*|0|[1-9]\d*", re.ASCII | re.IGNORECASE)
_QUOTED = re.compile(r"""(['"]).*\1""", re.DOTALL)
_SWEPT = re.compile(r"(?:choice|range|interval|glob|shuffle|sort|tag|int|float|str|bool)\s*\(.*\)", re.DOTALL)


def read_words(words: Sequence[str], groups: Groups) -> list[str]:
    """The words as Hydra gets them; options stay as they are.

    Args:
        words: of the command line; their options are checked.
        groups: the options of each group.

    Raises:
        ConfigError: a word that is no setting, or not to be read; the line says what to type instead.
    """
    sweep, read, rest = bool({*SWEEP} & {*words}), list[str](), list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            read.append(word)
            if word in FLAGS_WITH_VALUE and rest:
                read.append(rest.pop(0))
        elif re.match(r"hydra\.job(\.chdir=(?!false|null)|=.*chdir)", word.lstrip("+"), re.IGNORECASE):
            raise ConfigError(f"{word}: paths are those of the folder that train.py is started in; leave it out")
        elif re.match(r"hydra\b[^=]*=", word.lstrip("+")):
            read.append(
                word if re.match(_FREE_KEYS, word.lstrip("+")) else word.lstrip("+")
            )  # what is unknown, Hydra tells
        else:
            read.append(_setting(word, read[-1] if read else "", rest, groups, sweep))
    return read


def key_of(word: str) -> str:
    """The setting or group that a word of the command line names."""
    return re.split(r"[=@]", word.lstrip("+~"), maxsplit=1)[0]


def check_flags(words: Sequence[str], groups: Groups) -> None:
    """Refuses, by a ConfigError, an option that Hydra does not know, or without its value; it would print its usage."""
    for word, following in zip_longest(words, words[1:], fillvalue="-"):
        flag, equals, value = word.partition("=")
        value = value if equals else following
        if flag in FLAGS_WITH_VALUE and (not value or value.startswith("-")):
            raise ConfigError(f"{flag}: its value is missing; write it after {flag}")
        if flag in ("--config-name", "-cn") and re.search(r"\.\.|^/", value):
            raise ConfigError(f"{flag} {value}: is a name, not a path; give its folder as --config-dir")
        if flag in ("--config-path", "-cp", "--config-dir", "-cd") and not isdir(value):
            raise ConfigError(f"{flag} {value}: there is no such folder; correct the path")
        if flag in ("--cfg", "-c") and value not in ("job", "hydra", "all"):
            raise ConfigError(f"{flag} {value}: there is no such configuration; choose one of job, hydra, all")
        if equals and flag in FLAGS and flag not in FLAGS_WITH_VALUE:
            raise ConfigError(f"{word}: {flag} takes no value; write {flag} alone")
        if flag.startswith("-") and flag not in FLAGS:
            given = value if equals or not re.match(r"-|[\w.]+=", following) else ""
            raise ConfigError(f"{flag}: there is no such option; {_instead_of_flag(flag, given, groups)}")
    asked = [word for word in words if word.partition("=")[0] in COMMANDS]
    if len(asked) > 1 and len({*asked} - {*SWEEP}) + bool({*asked} & {*SWEEP}) > 1:
        raise ConfigError(f"{asked[0]} and {asked[1]} do not go together; leave one of them out")


def flags_first(words: Sequence[str]) -> list[str]:
    """In Hydra's order: flags with their values, then all settings in one piece."""
    flags: list[str] = []
    settings: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        (flags if word.startswith("-") else settings).append(word)
        if word in FLAGS_WITH_VALUE and rest:
            flags.append(rest.pop(0))
    return [*flags, *settings]


def quoted(text: str) -> str:
    """A string between quotes, as Hydra reads it back: backslashes before a quote are doubled, no others."""
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text) + "'"


def unquoted(value: str) -> str:
    """What `quoted` made a value of; a value without quotes stays."""
    if not _QUOTED.fullmatch(value):
        return value
    mark = value[0]
    inner = re.sub(rf"(\\*)\\{mark}", lambda found: found[1][: len(found[1]) // 2] + mark, value[1:-1])
    return re.sub(r"(\\+)$", lambda found: found[1][: len(found[1]) // 2], inner)


def _setting(word: str, before: str, rest: Sequence[str], groups: Groups, sweep: bool) -> str:
    """`key=value` as Hydra reads it."""
    key, equals, value = word.lstrip("+").partition("=")
    if word.startswith("~"):
        raise ConfigError(f"{word}: settings cannot be removed; leave this word out")
    if not equals or not key:
        raise ConfigError(_no_setting(word, before, rest, groups))
    if not value and rest and "=" not in rest[0] and not rest[0].startswith("-"):
        raise ConfigError(f"{word} {rest[0]}: write it without blanks around the =: {typed(key, rest[0])}")
    if key == "logger" and value:
        return _setting(f"training.loggers=[{value.strip('[]')}]", before, rest, groups, sweep)
    known = known_keys()
    if key.startswith("second.") and value:
        return f"++second.{_of_second(key.removeprefix('second.'), value, sweep)}"
    if key not in known and "/" not in key and "@" not in key and key not in groups:
        refuse_unknown(key, value, groups)
    if not value:
        raise ConfigError(f"{word}: its value is missing; write it after the =, or leave {word} out")
    read = _value(key, value, sweep) if key in known else _option(key, value, groups.get(key, ()), sweep)
    return f"{key}={read}"


def _of_second(key: str, value: str, sweep: bool) -> str:
    """`KEY=VALUE` of the second stage, read as the setting KEY is."""
    try:
        refuse_unknown(key, value)
        return f"{key}={_value(key, value, sweep)}"
    except ConfigError as error:
        raise ConfigError(f"second stage: {error}") from None


def _option(group: str, value: str, options: Sequence[str], sweep: bool) -> str:
    if not sweep and re.fullmatch(r"[\w-]+(?:,[\w-]+)+", value):
        raise ConfigError(f"{group}={value} names several options; add -m to train with each of them")
    if value == "null" or value.startswith("{"):
        raise ConfigError(f"{group}={value}: choose one of {', '.join(options)}, or leave {group}= out")
    for one in re.findall(r"[\w-]+", value) if options and re.fullmatch(r"[\w,-]+", value) else ():
        if one not in options:
            raise ConfigError(unknown_option(group, one, options))
    return value


def _value(key: str, value: str, sweep: bool) -> str:
    """A value as Hydra reads it; strings between quotes where they need it."""
    kinds = _kinds()[key]
    in_brackets = re.match(r"[\[{]", value) is not None
    if _QUOTED.fullmatch(value) or (value == "null" and "None" in kinds) or (sweep and _SWEPT.fullmatch(value)):
        return value
    if "list" in kinds:
        if not in_brackets and not sweep:
            raise ConfigError(f"{key}={value}: a list is written in brackets; give {typed(key, f'[{value}]')}")
        return value
    if "str" in kinds and value != "null":
        return _string(key, value, sweep)
    if "," in value and not in_brackets and not sweep:
        number = value.replace(",", ".") if "float" in kinds and re.fullmatch(r"[+-]?\d+,\d+", value) else ""
        one = f"write {key}={number} for one number, or " if number else ""
        raise ConfigError(f"{key}={value} is a list of values; {one}add -m to train with each of them")
    if sweep and "(" in value:  # functions of Hydra's among other values
        return value
    if sweep and in_brackets:
        raise ConfigError(f"{key}={value}: values of a sweep have no brackets; write {key}={value.strip('[]')}")
    for one in value.split(","):
        _refuse_wrong_type(key, one.strip(), kinds)
    return value


def _refuse_wrong_type(key: str, value: str, kinds: str) -> None:
    number = None
    with suppress(ValueError):
        number = float(value) if math.isfinite(float(value)) else None
    if "int" in kinds and not re.fullmatch(r"[+-]?[\d_]+", value):
        instead = f"; write {key}={number:.0f}" if number is not None and number.is_integer() else ""
        raise ConfigError(f"{key}={value}: must be {TYPES['int']}{instead}")
    if "float" in kinds and number is None:
        raise ConfigError(f"{key}={value}: must be {TYPES['float']}")
    if "str" in kinds and value == "null":
        raise ConfigError(f"{key}={value}: must be {TYPES['str']}")


def _string(key: str, value: str, sweep: bool) -> str:
    several = "," in value and not exists(expanduser(value))
    if several and sweep:
        return ",".join(_string(key, one.strip(), sweep) if one.strip() else one for one in value.split(","))
    if several:
        one = typed(key, quoted(value))
        raise ConfigError(f"{key}={value} is a list of values; add -m to train with each, or quote what is one: {one}")
    value = expanduser(value) if value.startswith("~") else value
    return value if _PLAIN.fullmatch(value) or _QUOTED.fullmatch(value) else quoted(value)


def _kinds() -> dict[str, str]:
    """The type of each setting, as text."""
    return {one.key: getattr(one.field.type, "__name__", "") + str(one.field.type) for _, one in all_settings()}


def _no_setting(word: str, before: str, rest: Sequence[str], groups: Groups) -> str:
    """What to do about a word without `=`."""
    following = list(rest[:2])
    if following and following[0].startswith("=") and word != "=":
        value = following[0][1:] or (following[1] if len(following) > 1 else "VALUE")
        return f"{word} {' '.join(following)}: write it without blanks around the =: {typed(word, value)}"
    colon = re.fullmatch(r"([A-Za-z_.]+):(.*)", word)
    if colon and not word.startswith("http"):
        value = colon[2] or (following[0] if following else "VALUE")
        return f"{word}: a setting is written with =, as {typed(instead_of(colon[1], groups) or colon[1], value)}"
    path = Path(word)
    if path.suffix in (".yaml", ".yml"):
        group = path.parent.name if path.parent.name in groups else "experiment"
        return f"{word}: configuration files are chosen by name; write {group}={path.stem}"
    if path.suffix == ".ckpt" or isfile(path / "config.yaml"):
        run = quote(word)
        return f"{word}: say what it is for; resume={run} goes on with it, init_from={run} starts a new run from it"
    if isdir(word):
        return f"{word}: say what it is for; a folder of data is given as data=custom data.root={quote(word)}"
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return f"{word}: pictures are captioned by predict.py; write python predict.py RUN {quote(word)}"
    owners = [group for group, options in groups.items() if word in options]
    if owners:
        return f"{word}: which group is it of? Write {' or '.join(f'{group}={word}' for group in owners)}"
    if word in groups:
        return f"{word}: its option is missing; write {word}= and one of {', '.join(groups[word])}"
    if word in known_keys():
        return f"{word}: its value is missing; write {word}=VALUE"
    if f"--{word}" in FLAGS:
        return f"{word}: did you mean --{word}?"
    if "=" in before and re.fullmatch(r"[\w.+-]+", word):
        return f"{word}: values of a sweep are joined by commas; write {before},{word}"
    meant = instead_of(word, groups)
    return f"{word}: cannot be read as KEY=VALUE or GROUP=OPTION" + (f"; did you mean {meant}=...?" if meant else "")


def _instead_of_flag(flag: str, value: str, groups: Groups) -> str:
    """What to write instead of an option that is none."""
    name = flag.lstrip("-").replace("-", "_")
    if name in known_keys() or name in groups or name.rpartition(".")[2] in HABITS:
        key = name if name in known_keys() or name in groups else HABITS[name.rpartition(".")[2]]
        if key in groups and not value:
            return f"settings have no dashes; write {key}= and one of {', '.join(groups[key])}"
        return f"settings have no dashes; write {typed(key, value or 'VALUE')}"
    if found := close(flag, FLAGS):
        return f"did you mean {found}?"
    meant = instead_of(name, groups)
    return f"settings have no dashes; write {typed(meant or 'KEY', value or 'VALUE')}"
