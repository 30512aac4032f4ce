"""The section `decoding`: how a caption is read off a decoder."""

from dataclasses import dataclass
from typing import ClassVar

from showtell.config.setting import Needs, Section, setting
from showtell.errors import ConfigError

_BEAM = (Needs("decoding.method", ("beam",)),)
_SAMPLE = (Needs("decoding.method", ("sample",)),)
_RANKED = (Needs("decoding.method", ("beam", "sample")),)


@dataclass(kw_only=True)
class DecodingConfig(Section):
    """How a caption is read off the decoder. A setting of another method is refused, not ignored."""

    key: ClassVar[str] = "decoding"
    METHODS: ClassVar[tuple[str, ...]] = ("greedy", "beam", "sample")

    method: str = setting("greedy", "greedy, beam or sample", choices=METHODS)
    max_length: int = setting(30, "most words of a caption", low=1, high=1000)
    min_length: int = setting(1, "fewest words of a caption", low=1, high=1000)
    beam_size: int = setting(1, "beam: hypotheses kept side by side", low=1, high=100, needs=_BEAM)
    length_penalty: float = setting(
        1.0, "power of the length that a score is divided by", low=0, high=10, needs=_RANKED
    )
    block_ngram: int = setting(0, "no so many words twice in a caption; 0: never mind", low=0, high=1000)
    groups: int = setting(1, "beam: groups that are kept apart", low=1, high=100, needs=_BEAM)
    diversity: float = setting(
        0.5, "beam: what a group pays for a word of an earlier group", low=0, high=1000,
        needs=(Needs("decoding.groups", above=1),),
    )  # fmt: skip
    temperature: float = setting(1.0, "sample: of the probabilities", low=0.01, high=100, needs=_SAMPLE)
    top_k: int = setting(0, "sample: among so many words; 0: all", low=0, high=1_000_000, needs=_SAMPLE)
    top_p: float = setting(1.0, "sample: among words that hold this much probability", above=0, high=1, needs=_SAMPLE)
    num_captions: int = setting(1, "captions per picture", low=1, high=1000, needs=_RANKED)

    def check(self) -> None:
        """Lengths and groups must fit; what the method does not use must not be set."""
        if self.max_length < self.min_length:
            raise ConfigError(
                f"decoding.max_length={self.max_length} is out of range; it must be at least {self.min_length}"
            )
        if self.groups > self.beam_size:
            raise ConfigError(f"decoding.groups={self.groups} is out of range; it must be at most {self.beam_size}")
        if self.beam_size % self.groups:
            raise ConfigError(
                f"decoding.groups={self.groups} does not divide decoding.beam_size={self.beam_size}; make it a divisor"
            )
        if self.method == "beam" and self.num_captions > self.beam_size:
            raise ConfigError(
                f"decoding.num_captions={self.num_captions} is more than decoding.beam_size={self.beam_size}; "
                "widen the beam"
            )
