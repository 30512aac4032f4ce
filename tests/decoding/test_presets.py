from pathlib import Path

import pytest
from omegaconf import OmegaConf
from tests.decoding.toys import PrefixDecoder

from showtell.config import ConfigError, DecodingConfig, parse
from showtell.decoding import decode

PRESETS = sorted((Path(__file__).parents[2] / "conf" / "decoding").glob("*.yaml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_writes_captions(path: Path) -> None:
    config = parse({"decoding": OmegaConf.load(path)}).decoding
    decoder = PrefixDecoder(vocabulary=40)
    lists = decode(decoder, decoder.start(3), config)
    assert [len(captions) for captions in lists] == [config.num_captions] * 3


@pytest.mark.parametrize(
    ("method", "key", "value"),
    [("greedy", "beam_size", 5), ("greedy", "num_captions", 2), ("beam", "top_p", 0.9), ("sample", "beam_size", 2)],
)
def test_a_setting_of_another_method_is_refused(method: str, key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"decoding\.{key}={value} has no effect with decoding\.method={method}"):
        DecodingConfig(method=method, **{key: value})
