"""Two stages as one run, and settings by the size of the data: what a run's configuration says of later configurations.

`then=RECIPE` names a recipe that a second stage is trained by when the first has finished: on the same data, with the
same encoder and decoder. What the recipe says is written into `second` when the command line is read, so that the run
directory alone knows how it goes on, and what makes no sense is refused before the first stage begins.

`by_size` is a table of settings by the number of training captions; who knows that number takes the row. What the
command line says is taken out of the table. A row may have a `note`, told where it is taken.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from showtell.config.gate import overlaid, parse
from showtell.config.habits import unknown_option
from showtell.config.presets import conf_folder, preset
from showtell.config.registry import SECTIONS, settings
from showtell.config.schema import ADOPTED, Config
from showtell.config.setting import flat, join
from showtell.config.untrusted_yaml import load_yaml
from showtell.config.words import key_of
from showtell.errors import ConfigError

SHARED = ("name", "seed", "cache", "data", "device", "features", "decoding", *ADOPTED)
"""What a second stage has of its first one where neither its recipe nor `second` says otherwise."""

WATCHING = (
    "metrics", "test", "loggers", "log_every_steps", "sample_pictures", "val_pictures", "checkpoint_every_steps",
    "checkpoint_every_minutes", "limit_train_batches", "limit_val_batches", "overfit_batches",
)  # fmt: skip
"""The same of `training`: how it is watched and cut short, not how it learns."""

STARTS = ("best", "last")
_FIRST_ALONE = ("then", "second", "by_size", "resume")
_NOT_OF_A_RECIPE = ("name", "defaults", "decoder", "vocab")


def with_recipe_of_second(config: Config) -> Config:
    """With what the recipe `then` says in `second`, below what stands there already.

    Raises:
        ConfigError: no such recipe, or it cannot follow this first stage; one line.
    """
    if config.then is None:
        return config
    values = overlaid(_recipe(config.then, conf_folder()), config.second)
    checked = second_stage(replace(config, second=values), Path("RUN")).as_dict()
    return replace(config, second=_as_checked(values, checked | {"init_from": values.get("init_from", STARTS[0])}))


def _as_checked(values: Mapping[str, Any], checked: Mapping[str, Any]) -> dict[str, Any]:
    """The same keys with the values that the gate made of theirs: YAML reads 1e-3 as a word."""
    return {
        key: _as_checked(value, checked[key]) if isinstance(value, Mapping) else checked[key]
        for key, value in values.items()
    }


def second_stage(config: Config, checkpoints: Path) -> Config:
    """The configuration of the second stage.

    Args:
        config: of the first one.
        checkpoints: its folder of these.

    Raises:
        ConfigError: it cannot be used; one line that begins with `then=`.
    """
    values, first = deepcopy(config.second), config.as_dict()
    start = values.pop("init_from", STARTS[0])
    try:
        if idle := [key for key in _FIRST_ALONE if key in values]:
            raise ConfigError(f"second.{idle[0]} has no effect; leave it out")
        if start not in STARTS:
            raise ConfigError(
                f"second.init_from={start} is not an option; choose one of {', '.join(STARTS)}, "
                "the first stage's checkpoints"
            )
        inherited = {key: first[key] for key in SHARED}
        inherited["training"] = {key: first["training"][key] for key in WATCHING}
        return parse(overlaid(inherited, values, {"init_from": str(checkpoints / f"{start}.ckpt")}))
    except ConfigError as error:
        raise ConfigError(f"then={config.then}: {error}") from None


def _recipe(name: str, conf: Path) -> dict[str, Any]:
    """What `conf/experiment/NAME.yaml` says about another stage of a model that is there.

    A group that it chooses stands there in full: nothing of the first stage's choice is left in it.
    """
    files = {file.stem: file for file in (conf / "experiment").glob("*.yaml")}
    if name not in files:
        raise ConfigError(unknown_option("then", name, sorted(files)))
    values = load_yaml(files[name])
    chosen: dict[str, Any] = {}
    for entry in values.get("defaults", []):
        for words, option in entry.items() if isinstance(entry, Mapping) else ():
            group = str(words).removeprefix("override ").strip("/")
            if group not in ("data", "device", *ADOPTED):
                chosen[group] = _in_full(group, preset(group, str(option), conf))
    said = {key: value for key, value in values.items() if key not in _NOT_OF_A_RECIPE}
    encoder = said.pop("encoder", {})  # how many blocks are tuned is all that a second stage can change of it
    tuned = {"encoder": kept} if (kept := {k: v for k, v in encoder.items() if k == "finetune_blocks"}) else {}
    return overlaid(chosen, said, tuned)


def _in_full(group: str, values: dict[str, Any]) -> dict[str, Any]:
    kind, key = SECTIONS.get(group, (None, ""))
    return overlaid(asdict(settings(kind, values[key]) if kind else getattr(Config(), group)), values)


def settled(config: Config, words: Sequence[str]) -> Config:
    """The configuration of a new run: what follows from its command line without a look at the data.

    Raises:
        ConfigError: as `with_recipe_of_second`; or attention to one region, which older runs may have.
    """
    if config.decoder.chooses_regions and config.encoder.pooling in ("average", "grid:1", "multi:1"):
        raise ConfigError(
            f"encoder.pooling={config.encoder.pooling} leaves decoder={config.decoder.name} a single region to attend "
            "to; use encoder.pooling=grid, or encoder.pooling=average decoder=lstm"
        )
    return unless_given(config, words) if config.by_size else with_recipe_of_second(config)


def unless_given(config: Config, words: Sequence[str]) -> Config:
    """With a table `by_size` that says nothing about what the words of a command line say.

    Who names another recipe for the second stage, or none, needs no settings of the table's.
    """
    given = {key_of(word).replace("/", ".") for word in words}
    given |= {"second"} if "then" in given else set()
    for name in (word.partition("=")[2] for word in words if key_of(word) == "debug"):
        given |= flat(preset("debug", name, conf_folder())).keys()
    return replace(config, by_size=_without(config.by_size, given))


def _without(table: Mapping[str, Any], given: set[str]) -> dict[str, Any]:
    def pruned(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        kept = {}
        for name, value in values.items():
            key = join(prefix, name)
            parents = {key.rsplit(".", count)[0] for count in range(key.count(".") + 1)}
            if not parents & given:
                kept[name] = pruned(value, key) if isinstance(value, Mapping) else value
        return kept

    return {size: pruned(row) for size, row in table.items()}


def as_sized(config: Config, saved: Mapping[str, Any]) -> Config:
    """With the answers that a run of the same command got from its table, `saved`."""
    if not config.by_size or saved.get("by_size", True):
        return config
    told = flat(saved)
    values = {**config.as_dict(), "by_size": {}}
    for key in {key for row in config.by_size.values() for key in flat(row)} & told.keys():
        *sections, name = key.split(".")
        target = values
        for section in sections:
            target = target.setdefault(section, {})
        target[name] = told[key]
    return parse(overlaid(values, {"second": saved.get("second", {})}, {"second": config.second}))


def sized(config: Config, captions: int | None) -> tuple[Config, list[str], str]:
    """With the row of the table for so many training captions, or the last one where nobody knows.

    Returns:
        The configuration without the table, the words that would have said the same, and the row's note.

    Raises:
        ConfigError: the row cannot be used.
    """
    rows = {_most(size): row for size, row in config.by_size.items()}
    fitting = [most for most in sorted(rows) if captions is not None and captions <= most]
    row = dict(rows[fitting[0] if fitting else max(rows)])
    note = str(row.pop("note", ""))
    values = overlaid({**config.as_dict(), "by_size": {}}, row, {"second": config.second})
    return with_recipe_of_second(parse(values)), [f"{key}={value}" for key, value in flat(row).items()], note


def _most(size: str) -> float:
    """`to_10000` as 10000; `more` has no end."""
    number = size.removeprefix("to_")
    if size != "more" and not (size.startswith("to_") and number.isdigit()):
        raise ConfigError(f"by_size.{size}: a row is called to_NUMBER, of training captions, or more; rename it")
    return float("inf") if size == "more" else int(number)
