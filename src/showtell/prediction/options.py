"""The configuration group `decoding` as flags of `predict.py`, by their own names but for `--beam`.

Only what is given changes the decoding that the checkpoint was trained with. Naming a method, or a beam's width,
starts from that method's own defaults, so that what belongs to the old method (its groups, its temperature) is not
carried along. Nothing here imports torch.
"""

import argparse
import re
from dataclasses import asdict, fields
from pathlib import Path

from showtell.config import ConfigError, DecodingConfig
from showtell.config.registry import find
from showtell.config.setting import declared

NEEDS = "name a run or a checkpoint, then pictures: python predict.py runs/NAME/STAMP photo.jpg"
_RUN = "name the run first, without an option"
_PICTURE = "name pictures after the run, without an option"
INSTEAD = {
    **dict.fromkeys(("--checkpoint", "--ckpt", "--model", "--run", "--weights", "-c", "-m"), _RUN),
    **dict.fromkeys(("--beam-size", "--beams", "--num-beams"), "did you mean --beam?"),
    **dict.fromkeys(("--image", "--picture", "--pictures", "--input", "--file", "-i"), _PICTURE),
}
"""What to write for options that other programs have."""
_SAMPLING = ("temperature", "top_k", "top_p")
_EVERY_METHOD = ("max_length", "min_length", "length_penalty", "block_ngram")


def add_score_flags(parser: argparse.ArgumentParser) -> None:
    """Adds what is scored besides."""
    parser.add_argument(
        "--metrics",
        default="",
        metavar="NAME,...",
        help="score these too: clipscore (pip install '.[clip]'), a plugin's",
    )
    parser.add_argument("--clip-model", metavar="NAME/WEIGHTS|DIR", help="of open_clip, for clipscore")


def add_decoding_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags; one that is not given is None."""
    group = parser.add_argument_group(
        "decoding",
        "What is not given is as in training. --beam implies --method beam; --temperature, --top-k and --top-p imply "
        "--method sample.",
    )
    for field in fields(DecodingConfig):
        told, kind = declared(field), field.type
        assert isinstance(kind, type)
        choices, metavar = (told.choices, None) if told.choices else (None, "N")
        flag = _flag(field.name)
        group.add_argument(flag, dest=field.name, type=kind, choices=choices, metavar=metavar, help=told.meaning)
    group.add_argument(
        "--views", type=int, default=1, metavar="N",
        help="average over N views of each picture: as it is, and changed as training changed pictures (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--seed", type=int, metavar="N", help="of sampling and of views (0): the same seed, the same captions"
    )


def add_analysis_flags(parser: argparse.ArgumentParser) -> None:
    """Adds `--analysis` and what belongs to it."""
    group = parser.add_argument_group("what went wrong", "A page for each model; docs/analysis.md explains it.")
    group.add_argument("--analysis", type=Path, metavar="FILE.html", help="write it: bins, words, things, memory")
    group.add_argument("--instances", type=Path, metavar="FILE", help="what is in the pictures: COCO's instances JSON")
    group.add_argument("--things", type=Path, metavar="FILE", help="words for things of your own: `dog: dog, puppy`")


def decoding_from_flags(trained: DecodingConfig, options: argparse.Namespace) -> DecodingConfig:
    """The decoding of the training run, changed by the flags.

    Raises:
        ConfigError: an impossible value, or flags that contradict each other.
    """
    flags = {field.name: getattr(options, field.name) for field in fields(DecodingConfig)}
    given = {name: value for name, value in flags.items() if value is not None}
    method = given.get("method") or _implied_method(given)
    before = asdict(trained)
    if method:
        given["method"] = method
        before = {key: before[key] for key in _EVERY_METHOD}
        if method == "greedy":  # it ranks nothing
            del before["length_penalty"]
        if method == "beam" and "beam_size" not in given:
            given["beam_size"] = _known_width(trained)
    if "diversity" in given and {**before, **given}.get("groups", 1) == 1:
        raise ConfigError("--diversity has no effect without groups; add --groups N, or leave it out")
    try:
        decoding = DecodingConfig(**{**before, **given})
    except ConfigError as error:
        raise ConfigError(_in_flags(str(error))) from None
    if options.seed is not None and decoding.method != "sample" and options.views == 1:
        method = f"--method {decoding.method}"
        raise ConfigError(f"--seed has no effect with {method}; add --method sample or --views N, or leave it out")
    return decoding


def _implied_method(given: dict[str, object]) -> str | None:
    sampling = next((key for key in _SAMPLING if key in given), None)
    if "beam_size" in given and sampling:
        raise ConfigError(f"{_flag(sampling)} belongs to sampling and --beam to beam search; leave one of them out")
    if sampling:
        return "sample"
    return "beam" if "beam_size" in given else None


def _known_width(trained: DecodingConfig) -> int:
    if trained.method != "beam":
        raise ConfigError("--method beam: say how wide the beam is, such as --beam 5")
    return trained.beam_size


def _flag(field: str) -> str:
    return "--beam" if field == "beam_size" else f"--{field.replace('_', '-')}"


def _in_flags(message: str) -> str:
    """`decoding.beam_size=0 is ...` as `--beam 0 is ...`."""
    message = re.sub(r"decoding\.(\w+)=", lambda found: f"{_flag(found[1])} ", message)
    return re.sub(r"decoding\.(\w+)", lambda found: _flag(found[1]), message)


def is_data_setting(word: str) -> bool:
    """Whether a word of the command line is `data=NAME` or `data.KEY=VALUE`."""
    key, equals, _ = word.partition("=")
    return bool(equals) and (key == "data" or key.startswith("data."))


def named_metrics(options: argparse.Namespace) -> list[str]:
    """What `--metrics` names, each of which is there."""
    names = [name for name in options.metrics.split(",") if name]
    for name in names:
        find("metric", name, "--metrics")
    return names
