"""What each setting says of itself: for `train.py --help KEY`, and `python -m showtell.config > docs/settings.md`."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from showtell.config.registry import SECTIONS, parts
from showtell.config.schema import Config
from showtell.config.setting import ROOT, Declared, Setting, declared, spelled, walk

_ON_RESUME = {
    "refuse": "another value is refused",
    "switch": "another value is said, turning it on or off is refused",
    "say": "another value is said: the run is then not exactly the interrupted one",
    "length": "may change; said where a schedule is stretched over it",
    "ignore": "may change",
}
_HEAD = """\
# Settings

Written by `python -m showtell.config > docs/settings.md`; `python train.py --help KEY` explains one of them.

On resume: another value is refused (refuse), accepted with a line that says that the run is no longer exactly the
interrupted one (say), or free. Names: tells the folders of a sweep apart. Compared: leaderboards compare runs by it."""
_COLUMNS = "| key | default | limits | meaning | on resume | names | compared |\n|---|---|---|---|---|---|---|"


def all_settings() -> Iterator[tuple[str, Declared]]:
    """Every setting with the name of the part it belongs to; an empty name for those that all runs have."""
    for one in fields(Config):
        outer = declared(one).within(ROOT)
        if one.name in SECTIONS:
            for part in parts(SECTIONS[one.name][0]):
                assert part.settings is not None
                yield from ((part.name, found) for found in walk(part.settings, one.name, outer))
        elif callable(one.default_factory) and is_dataclass(inner := one.default_factory()):
            yield from (("", found) for found in walk(inner, one.name, outer))
        else:
            yield "", Declared(one.name, one, outer)


def traits(keys: Iterable[str], values: Mapping[str, Any] | None = None) -> dict[str, Setting]:
    """What settings say of themselves, by key; a section for what is in it, ROOT for what nobody declared.

    Args:
        keys: of the settings.
        values: by key, a configuration whose parts are asked; without it the first part that has a key answers.
    """
    told = {one.name: declared(one).within(ROOT) for one in fields(Config)}
    chosen = {(values or {}).get(f"{section}.{key}") for section, (_, key) in SECTIONS.items()}
    for _, found in sorted(all_settings(), key=lambda pair: pair[0] not in chosen):
        told.setdefault(found.key, found.setting)
    return {key: told.get(key) or told.get(key.partition(".")[0], ROOT) for key in keys}


def names_folders(key: str) -> bool:
    """Whether a setting tells the folders of a sweep apart."""
    told = traits([key])[key]
    return bool(told.identifies if told.named is None else told.named) and key.partition(".")[0] != "hydra"


def known_keys() -> list[str]:
    """Every key that some configuration has."""
    return list(dict.fromkeys(found.key for _, found in all_settings()))


def close(word: str, known: Iterable[str]) -> str | None:
    """The known word that an unknown one is most like, if any is."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), None)


def explained_setting(key: str) -> str:
    """A setting in words, once for each part that has it with another default; empty where there is none."""
    owners: dict[str, list[str]] = {}
    for name, found in all_settings():
        if found.key == key:
            owners.setdefault(_in_words(found), []).append(name)
    inner = [known for known in known_keys() if known.startswith(f"{key}.")]
    if not owners and inner:
        return "\n  ".join([f"{key} is a section:", *inner])
    section = key.partition(".")[0]
    heads = (f"{key}  ({section}={', '.join(names)})" if any(names) else key for names in owners.values())
    return "\n\n".join(f"{head}\n{text}" for head, text in zip(heads, owners, strict=True))


def settings_page() -> str:
    """docs/settings.md: a table per section; what all parts of a kind share stands once."""
    tables: dict[str, list[str]] = {}
    for name, found in all_settings():
        section = found.key.partition(".")[0] if "." in found.key else "the run"
        tables.setdefault(f"{section}={name}" if name else section, []).append(_row(found))
    for section, (kind, _) in SECTIONS.items():
        titles = [f"{section}={part.name}" for part in parts(kind)]
        shared = [row for row in tables[titles[0]] if all(row in tables[title] for title in titles)]
        for title in titles:
            tables[title] = [row for row in tables[title] if row not in shared]
        tables = _inserted(tables, titles[0], f"{section}, all of them", shared)
    return "\n".join([_HEAD, *(_table(title, rows) for title, rows in tables.items() if rows)])


def _inserted(tables: dict[str, list[str]], before: str, title: str, rows: list[str]) -> dict[str, list[str]]:
    places = list(tables)
    place = places.index(before)
    order = [*places[:place], title, *places[place:]]
    return {name: rows if name == title else tables[name] for name in order}


def _table(title: str, rows: Iterable[str]) -> str:
    return "\n".join(["", f"## {title}", "", _COLUMNS, *rows])


def _row(found: Declared) -> str:
    told = found.setting
    marks = ["yes" if flag else "" for flag in (names_folders(found.key), told.compared)]
    resume = "" if told.on_resume == "ignore" else str(told.on_resume)
    meaning = told.meaning + (f" (needs {_needed(told)})" if told.needs else "")
    cells = [f"`{found.key}`", f"`{spelled(found.default)}`", told.limits(), meaning, resume, *marks]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _needed(told: Setting) -> str:
    return " or ".join(map(str, told.needs))


def _in_words(found: Declared) -> str:
    told, annotation = found.setting, found.field.type
    kind = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    limits = f", {told.limits()}" if told.limits() else ""
    needed = f"  has an effect only with {_needed(told)}\n" if told.needs else ""
    names = "tells the folders of a sweep apart" if names_folders(found.key) else "does not name the folders of a sweep"
    return (
        f"  {told.meaning}\n{needed}  {kind}{limits}; default {spelled(found.default)}\n"
        f"  on resume: {_ON_RESUME[str(told.on_resume)]}\n"
        f"  {names}; {'compared' if told.compared else 'not compared'} in leaderboards"
    )
