"""YAML from files that somebody else may have written: read with limits, and never with code in it.

A run's `config.yaml` comes with a run directory from anywhere, and a group file with a recipe from a
colleague. Neither needs aliases that unfold to millions of nodes (seven lines keep OmegaConf busy for minutes), tags
that name Python objects, or `_target_`, by which Hydra would import and call what it names; its list of forbidden
names lets 8 of 29 hostile ones through.
"""

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from showtell.config.reference import known_keys
from showtell.config.setting import flat
from showtell.errors import ConfigError

MAX_BYTES = 1 << 20
MAX_NODES = 20_000
MAX_DEPTH = 50
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is there
FORBIDDEN_KEYS = ("_target_", "_partial_", "_args_", "_convert_", "_recursive_")
LOGGING_CALLS = ("()", "class")  # by these keys a logging configuration calls what it names
LOGGINGS = ("default", "disabled", "none", "stdout", "hydra_debug")  # those that Hydra ships


def load_yaml(path: Path) -> Any:
    """The content of a file.

    Raises:
        ConfigError: not an ordinary file, too big, no YAML, or more than plain values; one line.
    """
    return _loaded(check_yaml(path), path)


def _loaded(text: str, path: Path) -> Any:
    try:
        return yaml.load(text, _LOADER)
    except (yaml.YAMLError, ValueError, TypeError) as error:  # two documents, a list as a key, 2026-13-01
        raise ConfigError(f"{path}: no YAML ({' '.join(str(error).split())[:200]}); mend the file") from None


def check_yaml(path: Path, *, interpolations: bool = False) -> str:
    """The text of a file that can be loaded without harm; a ConfigError says why not. `interpolations` are `${...}`."""
    try:
        kind = os.stat(path)
        if not stat.S_ISREG(kind.st_mode) or kind.st_size > MAX_BYTES:
            raise ConfigError(f"{path}: not an ordinary file of at most {MAX_BYTES} bytes; give another one")
        text = path.read_text(encoding="utf-8")
        _check_events(text, path, interpolations)
        for document in yaml.compose_all(text, _LOADER):
            size = _size(document, path, {})
            if size > MAX_NODES:
                raise ConfigError(f"{path}: its aliases unfold to more than {MAX_NODES} values; write them out")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); look at the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path}: no YAML ({reason}); mend the file") from None
    return text


def _check_events(text: str, path: Path, interpolations: bool) -> None:
    depth = 0
    for event in yaml.parse(text, _LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ConfigError(f"{path}: nested more than {MAX_DEPTH} deep; write it flat")
        if isinstance(event, yaml.ScalarEvent) and "${" in event.value and not interpolations:
            raise ConfigError(f"{path}: interpolations such as {event.value[:80]!r} are not resolved; write the value")


def _size(node: yaml.Node | None, path: Path, known: dict[int, int]) -> int:
    """Number of values below a node when its aliases are unfolded; a node within itself counts as too many."""
    if node is None:
        return 0
    if id(node) not in known:
        known[id(node)] = MAX_NODES  # until it is known: only a node within itself is asked before
        if not node.tag.startswith("tag:yaml.org,2002:") or ":python" in node.tag:
            raise ConfigError(f"{path}: the tag {node.tag[:80]} names more than plain values; remove it")
        known[id(node)] = 1 + sum(_size(inner, path, known) for inner in _inner(node, path))
    return known[id(node)]


def _inner(node: yaml.Node, path: Path) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, _ in node.value:
            if key.value in (*FORBIDDEN_KEYS, *LOGGING_CALLS):
                raise ConfigError(
                    f"{path}: {key.value} would call code by its name; Showtell's settings are values only"
                )
        return [inner for pair in node.value for inner in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def check_words(words: Sequence[str]) -> None:
    """Refuses, by a ConfigError, words by which Hydra would call code or read the environment or unchecked files."""
    settings = known_keys()
    for word in words:
        key, _, value = word.partition("=")
        if any(name in word for name in FORBIDDEN_KEYS):
            raise ConfigError(f"{word[:80]}: would call code by its name; Showtell's settings are values only")
        if "${" in value and not key.startswith("hydra."):
            raise ConfigError(f"{word[:80]}: interpolations are not resolved in settings; write the value itself")
        if "${" in value and "oc." in value:
            raise ConfigError(f"{word[:80]}: resolvers would put your environment into names and logs; write the value")
        group, _, package = key.lstrip("+~").partition("@")
        if group == "hydra.searchpath":
            raise ConfigError(f"{word[:80]}: give the folder as --config-dir, so that it is checked")
        is_value = "." in group or group in settings or word.startswith("-")
        if group == "data" and re.match(r"[~./]", value):
            folder = f"data=custom data.root={value[:80]}"
            raise ConfigError(f"{word[:80]}: an option is a name; a folder of data is given as {folder}")
        if not is_value and re.search(r"\.\.|(?<![\w-])/", value):
            raise ConfigError(f"{word[:80]}: an option is a name, not a path; give its folder as --config-dir")
        logging = re.fullmatch(r"hydra|hydra[./](?:job|hydra)_logging\b.*", group)
        shipped = "/" in group and value in LOGGINGS
        if (logging and not shipped) or re.search(r"\bhydra\b", package):
            raise ConfigError(f"{word[:80]}: would call code by its name; choose one of {', '.join(LOGGINGS)}")


def check_folders(root: Path, words: Sequence[str]) -> None:
    """Checks every group file that Hydra may read: those of `root`, and of a --config-dir or --config-path.

    Only `root/config.yaml` may set Hydra up, and name run directories by interpolations.

    Raises:
        ConfigError: a file that is more than plain values.
    """
    for folder in (root, *given_folders(words)):
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() and path.is_dir():
                raise ConfigError(f"{path}: links to a folder whose files are not checked; copy them")
            if path.match("*.y*ml"):
                own = path == root / "config.yaml"
                text = check_yaml(path, interpolations=own)
                if not own:
                    _check_group_file(text, path, path.relative_to(folder))


def given_folders(words: Sequence[str]) -> list[Path]:
    """The folders of group files that a command line names."""
    folders = []
    for number, word in enumerate(words):
        flag, separator, value = word.partition("=")
        if flag in ("--config-dir", "-cd", "--config-path", "-cp"):
            folders.append(Path(value if separator else words[number + 1] if number + 1 < len(words) else "."))
    return folders


def _check_group_file(text: str, path: Path, name: Path) -> None:
    """Refuses, by a ConfigError, what sets Hydra up, by which it calls code, and paths to unchecked files."""
    values = _loaded(text, path)
    values = values if isinstance(values, dict) else {}
    defaults = re.sub(r"override /?hydra/sweeper(?=')", "", str(values.get("defaults", "")))
    package = " ".join(re.findall(r"@\s*package.*", text))
    keys = [key for key in flat(values) if key.startswith("hydra") and not key.startswith("hydra.sweeper.params.")]
    if any(re.search(r"\bhydra\b", where) for where in (defaults, package, *keys, str(name))):
        raise ConfigError(f"{path}: sets Hydra up, which may call code; only hydra.sweeper.params may be set")
    if ".." in defaults:
        raise ConfigError(f"{path}: its defaults name a file outside the folder; name options of a group")
