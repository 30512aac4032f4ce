"""The one place that knows how configurations of older versions looked.

Stored configurations, of run directories and checkpoints, are brought up to date; a command line that uses an old word
gets one line that names the new one.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any

from showtell.config.registry import SECTIONS, lookup, parts, settings
from showtell.config.schema import Config
from showtell.config.setting import flat, walk

_OBJECTIVES = (
    "label_smoothing", "scheduled_sampling", "drawn_captions", "baseline", "draw_temperature", "reward_dropout",
    "cross_entropy_weight",
)  # fmt: skip
MOVED = {"training.objective": "objective.name", **{f"training.{name}": f"objective.{name}" for name in _OBJECTIVES}}
"""Old key -> new key."""
_CUSTOM: dict[str, Any] = {
    "train_annotations": "captions_train.json", "val_annotations": "captions_val.json",
    "train_images": "images", "val_images": "images",
}  # fmt: skip


def migrated(values: Mapping[str, Any]) -> dict[str, Any]:
    """A stored configuration, nested, as this version writes it; what is up to date stays as it is."""
    kept: dict[str, Any] = deepcopy(dict(values))
    for old, new in MOVED.items():
        section, _, key = old.partition(".")
        if isinstance(kept.get(section), dict) and key in kept[section]:
            target, _, name = new.partition(".")
            kept.setdefault(target, {}).setdefault(name, kept[section].pop(key))
    for section in SECTIONS:
        if isinstance(kept.get(section), dict):
            _drop_foreign(section, kept[section])
    if isinstance(kept.get("training"), dict):
        kept["training"].setdefault("monitor_mean", 1)  # no other was known
    _answer_pooling(kept)
    _update_custom(kept)
    return _without_idle_settings(_completed(kept))


def _without_idle_settings(values: dict[str, Any]) -> dict[str, Any]:
    """With the defaults of settings that had no effect in that run, and are refused today."""
    told = flat(values)
    for one in fields(Config):
        inner = one.default_factory() if callable(one.default_factory) else None
        if one.name in SECTIONS:
            kind, key = SECTIONS[one.name]
            part = lookup(kind, str(told.get(f"{one.name}.{key}")))
            inner = part.settings if part else None
        for found in walk(inner, one.name) if is_dataclass(inner) else ():
            *sections, name = found.key.split(".")
            if found.key in told and not found.setting.has_effect(told):
                target = values
                for section in sections:
                    target = target[section]
                target[name] = found.default
    return values


def _completed(values: dict[str, Any]) -> dict[str, Any]:
    """With the defaults of settings that the older version did not have."""
    whole = Config().as_dict()
    for section, (kind, key) in SECTIONS.items():
        name = values.get(section, {}).get(key) if isinstance(values.get(section), dict) else None
        if name is not None and lookup(kind, str(name)):  # else the gate says so
            whole[section] = asdict(settings(kind, name))
    return dict(_over(whole, values))


def _over(default: Any, value: Any) -> Any:
    if not (isinstance(default, dict) and isinstance(value, dict)):
        return value
    return {name: _over(default.get(name), value.get(name, default.get(name))) for name in {**default, **value}}


def moved_hint(key: str) -> str | None:
    """What became of a setting that had another name."""
    new = MOVED.get(key)
    if new is None:
        return None
    group = " (or objective=NAME)" if new == "objective.name" else ""
    return f"{key} is called {new} now{group}; docs/settings.md lists all settings"


def _drop_foreign(section: str, values: dict[str, Any]) -> None:
    """Settings of other parts of the kind, which used to share one section; a typo stays, and is refused."""
    kind, key = SECTIONS[section]
    known = {one.name for part in parts(kind) if part.settings for one in fields(part.settings)}
    own = lookup(kind, str(values[key])) if key in values else None
    if own is not None and own.settings is not None:  # else the gate says so
        for name in known - {one.name for one in fields(own.settings)}:
            values.pop(name, None)


def _answer_pooling(values: dict[str, Any]) -> None:
    """`auto` follows from the decoder; every run records the answer."""
    encoder, decoder = values.get("encoder"), values.get("decoder")
    if isinstance(encoder, dict) and isinstance(decoder, dict) and encoder.get("pooling") == "auto":
        own = lookup("decoder", str(decoder.get("name")))
        if own is not None:
            encoder["pooling"] = "grid" if getattr(own.settings, "reads_regions", False) else "average"


def _update_custom(values: dict[str, Any]) -> None:
    """`data=custom` was two files in COCO's format, and is any folder by now; the files keep their names."""
    data = values.get("data")
    if isinstance(data, dict) and (data.get("name"), data.get("format")) == ("custom", "coco"):
        data["format"] = "folder"


def as_started(config: Config, saved: Mapping[str, Any]) -> Config:
    """What is asked for, with the names that an old run of `data=custom` was started with in place of `auto`.

    So a sweep's command, whose words are the same as ever, finds the runs that it made before names were found.
    """
    before, asked = saved.get("data"), asdict(config.data)
    is_old = isinstance(before, dict) and all(before.get(key) == name for key, name in _CUSTOM.items())
    if is_old and config.data.format == "folder" and all(asked[key] == "auto" for key in _CUSTOM):
        return replace(config, data=replace(config.data, **_CUSTOM))
    return config
