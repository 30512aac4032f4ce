"""The options of every command but train.py: argparse, with each mistake as one line that names the remedy."""

import argparse
import re
import shutil
from collections.abc import Sequence
from functools import partial
from os.path import expanduser
from typing import Any, NoReturn

from showtell.config.reference import close
from showtell.config.words import TYPES
from showtell.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """Options as argparse reads them; what it would answer by its usage is a `ConfigError`.

    `needs` says what must stand on the command line, with an example; `instead` what to write for an option that
    other programs have.
    """

    def __init__(self, *, needs: str = "", instead: dict[str, str] | None = None, **settings: Any) -> None:
        width = shutil.get_terminal_size((120, 24)).columns - 2  # in a pipe as wide as its examples
        settings = {"formatter_class": partial(argparse.RawDescriptionHelpFormatter, width=width), **settings}
        super().__init__(allow_abbrev=False, **settings)  # an abbreviation means another option in the next version
        self.needs, self.instead = needs, instead or {}

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse does; `--output=~/x`, which no shell expands, starts in the home folder."""
        words = [re.sub(r"^(--[\w-]+=)(~.*)", lambda found: found[1] + expanduser(found[2]), word) for word in args]
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        """Raises what argparse complains about as one line, by a ConfigError."""
        raise ConfigError(self._explained(message))

    def _explained(self, message: str) -> str:
        if found := re.fullmatch(r"unrecognized arguments: (.*)", message):
            return self._unknown(found[1].split())
        if message.startswith("the following arguments are required"):
            return self.needs or f"{message.rpartition(': ')[2]} is missing; --help shows an example"
        if found := re.fullmatch(r"argument (\S+): not allowed with argument (\S+)", message):
            return f"{found[1]} and {found[2]} do not go together; leave one of them out"
        if found := re.fullmatch(r"argument ([^:]+): (.*)", message):
            return self._wrong_value(found[1].split("/")[-1], found[2])
        return f"{message}; --help explains"

    def _wrong_value(self, option: str, reason: str) -> str:
        if found := re.match(r"invalid (\w+) value: '(.*)'", reason):
            return f"{option} {found[2]}: must be {TYPES.get(found[1], found[1])}"
        if found := re.match(r"invalid choice: '?(.*?)'? \(choose from (.*)\)", reason):
            choices = found[2].replace("'", "").split(", ")
            alike = {"gpu": "cuda"}.get(found[1], close(found[1], choices))
            hint = f"did you mean {alike}? The choices are" if alike in choices else "choose one of"
            return f"{option} {found[1]}: there is no such choice; {hint} {', '.join(choices)}"
        if found := re.match(r"ignored explicit argument '?(.*?)'?$", reason):
            return f"{option}={found[1]}: {option} takes no value; write {option} alone"
        return f"{option}: its value is missing; write it after {option}"

    def _unknown(self, words: Sequence[str]) -> str:
        option, equals, value = words[0].partition("=")
        if not option.startswith("-"):
            return f"{words[0]}: nothing is expected here; leave it out"
        if remedy := self.instead.get(option.replace("_", "-")):
            return f"{option}: there is no such option; {remedy}"
        known = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", self.format_help()))
        alike = close(option.replace("_", "-"), sorted(known))
        value = f"{equals}{value}" if equals else ""
        return f"{option}: there is no such option; " + (
            f"did you mean {alike}{value}?" if alike else "--help lists them"
        )
