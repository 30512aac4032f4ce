"""A user's own parts: Python files beside ours, imported because somebody at the command line said so.

Code comes from the folder `plugins/` beside the script, from `--plugins DIR`, or from `showtell.use(FILE)`; never from
a path that a configuration, a checkpoint or a run directory names. A file that cannot be imported concerns only
the run that wants something of it, and then shows its traceback. Other processes of the same run or sweep are given
`plugin_arguments()` on their command line.
"""

import hashlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, get_args

from showtell import errors
from showtell.config import registry
from showtell.config.schema import Config
from showtell.distributed import RENDEZVOUS
from showtell.errors import ConfigError, UserError

FLAG = "--plugins"
MODEL: tuple[registry.Kind, ...] = ("encoder", "decoder", "tokenizer")
"""Kinds of parts without which a trained model cannot be used; the others concern its training."""
_sources: list[Path] = []
_loaded: dict[Path, str] = {}  # with the hash of what was imported


def take_plugins(words: Sequence[str], script: str | Path | None = None) -> list[str]:
    """Imports the plugins of a command line; the words without `--plugins`.

    Args:
        words: of the command line.
        script: beside which `plugins/` is looked for.

    Raises:
        UserError: no such folder or file, or a plugin that takes a name which is there.
    """
    rest, sources, words = [], [], list(words)
    while words:
        word = words.pop(0)
        flag, equals, value = word.partition("=")
        if flag != FLAG:
            rest.append(word)
        elif equals or words:
            sources.append(Path(value if equals else words.pop(0)))
        else:
            raise UserError(f"{FLAG}: name a folder of plugins, or a file")
    beside = Path(script).resolve().parent / "plugins" if script else None
    if beside is not None and beside.is_dir() and beside not in sources:
        sources.insert(0, beside)
    for source in sources:
        load(source)
    return rest


def load(source: Path) -> None:
    """Imports a file, or every `*.py` of a folder in the order of their names; again only where one has changed.

    Raises:
        UserError: it is not there, or takes a name which is there.
    """
    source = source.resolve()
    if not source.exists():
        raise UserError(f"{FLAG} {source}: there is no such folder or file")
    if source not in _sources:
        _sources.append(source)
    for file in sorted(source.glob("*.py")) if source.is_dir() else [source]:
        _import(file)


def plugin_arguments() -> list[str]:
    """What a process that does the same work finds on its command line."""
    return [word for source in _sources for word in (FLAG, str(source))]


def origins(config: Config) -> list[dict[str, str]]:
    """The plugins whose parts a configuration names; a run's `config.yaml` and its checkpoints say so."""
    named = [(kind, getattr(getattr(config, section), key)) for section, (kind, key) in registry.SECTIONS.items()]
    named += [("tokenizer", config.vocab.tokenizer), *(("metric", name) for name in config.training.metrics)]
    named += [("encoder", name) for name in getattr(config.encoder, "names", ())]  # of a pair
    used = [registry.find(kind, name) for kind, name in named]
    return [
        {"kind": part.kind, "name": part.name, "file": Path(part.origin).name, "sha256": part.sha256}
        for part in used
        if part.origin is not None
    ]


def check_origins(wanted: Any, path: object, kinds: Sequence[str] = get_args(registry.Kind)) -> list[str]:
    """Compares the plugins that a checkpoint was written with to those that are here. It says names, never code.

    Args:
        wanted: what `origins` said, from a foreign file.
        path: of the file.
        kinds: which parts must be here.

    Returns:
        A line for each whose file is another one now.

    Raises:
        ConfigError: one is missing, or the record is none.
    """
    keys = {"kind", "name", "file", "sha256"}
    if not isinstance(wanted, list) or not all(isinstance(one, dict) and set(one) == keys for one in wanted):
        raise ConfigError(f"{path}: its record of plugins is of a wrong kind; pass one that a run wrote")
    lines = []
    here = _here()
    for one in wanted:
        kind, name, file, sha256 = (str(one[key])[:200] for key in ("kind", "name", "file", "sha256"))
        part = here.get((kind, name))
        if part is None:
            if kind not in kinds:
                continue
            remedy = registry.broken() or f"; give {FLAG} with the folder that it lies in, or showtell.use(FILE)"
            raise ConfigError(f"{path} wants the {kind} {name!r} of the plugin {file!r}{remedy}")
        if part.sha256 != sha256:
            lines.append(f"{part.origin} is not the plugin that {path} was written with: its content differs")
    return lines


def without_missing(values: Mapping[str, Any], wanted: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """A checkpoint's configuration for who uses the model alone: without the plugins that only training needed.

    Their objectives and formats are replaced by the kind's default, and their metrics left out, where they are not
    here; `wanted` as `check_origins`.
    """
    kept, here = deepcopy(dict(values)), _here()
    missing = {(str(one["kind"]), str(one["name"])) for one in wanted} - here.keys()
    for section, (kind, key) in registry.SECTIONS.items():
        found, base = kept.get(section), registry.BASES[kind]
        if kind not in MODEL and isinstance(found, dict) and (kind, str(found.get(key))) in missing:
            shared = {one.name: found[one.name] for one in fields(base) if one.name in found}
            kept[section] = {**shared, key: getattr(base(), key)}
    training = kept.get("training")
    if isinstance(training, dict) and isinstance(training.get("metrics"), list):
        training["metrics"] = [name for name in training["metrics"] if ("metric", str(name)) not in missing]
    return kept


def _here() -> dict[tuple[str, str], registry.Part]:
    return {(part.kind, part.name): part for part in registry.parts() if part.origin is not None}


def _import(file: Path) -> None:
    name = f"showtell_plugins.{file.stem}"
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"{FLAG} {file}: a plugin is a Python file, its name ends in .py")
    module = module_from_spec(spec)
    errors.plugin_files.add(str(file))
    registry.failures.pop(str(file), None)
    try:
        content = file.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        if _loaded.get(file) == sha256:
            return
        _loaded.pop(file, None)
        sys.modules[name] = module  # dataclasses look their module up
        with registry.from_plugin(str(file), sha256):
            exec(compile(content, str(file), "exec", dont_inherit=True), vars(module))  # the bytes that were hashed
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        registry.failures[str(file)] = "".join(traceback.format_exception(error))
        _say(f"{file.name} cannot be imported ({type(error).__name__}: {errors.one_line(str(error))})")
        return
    _loaded[file] = sha256
    added = [f"{part.kind} {part.name}" for part in registry.parts() if part.origin == str(file)]
    _say(f"{file.name}: {', '.join(added) or 'registers nothing'}")


def _say(text: str) -> None:
    """Once per run: a launcher has said it before its ranks do."""
    if os.environ.get("RANK", "0") == "0" and RENDEZVOUS not in os.environ:
        print(f"plugin {text}", file=sys.stderr, flush=True)
