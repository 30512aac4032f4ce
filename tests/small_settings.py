"""Settings of a decoder from a bag of them: each decoder takes those that it has."""

from dataclasses import fields

from showtell.config import DecoderConfig, find, names
from showtell.config.setting import Section

NEUTRAL = {"dropout": 0.0, "region_size": 0}
DECODERS = [
    name for name in names("decoder") if name != "prefix"
]  # which is built by files: tests/models/test_prefix.py


def settings_class(name: str) -> type[Section]:
    found = find("decoder", name).settings
    assert found is not None
    return found


REGION_DECODERS = [name for name in DECODERS if settings_class(name).reads_regions]  # type: ignore[attr-defined]


def decoder_settings(name: str = "lstm", **bag: object) -> DecoderConfig:
    """Without dropout and projected regions, unless they are asked for."""
    known = {one.name for one in fields(settings_class(name))}
    values = {key: value for key, value in {**NEUTRAL, **bag}.items() if key in known}
    return settings_class(name)(**{**values, "name": name})  # type: ignore[return-value]
