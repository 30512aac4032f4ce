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


def add_picture_flags(parser: argparse.ArgumentParser) -> None:
    """Adds where pictures come from, and what is written about them."""
    parser.add_argument("--recursive", action="store_true", help="take the pictures of folders' sub-folders too")
    parser.add_argument(
        "--split",
        choices=("train", "val", "test"),
        help="caption and score this split of the data that the (first) run was trained on; data.root=DIR where it "
        "lies elsewhere now, data=NAME for other data",
    )
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="caption the pictures of a captions file")
    parser.add_argument("--images", type=Path, metavar="DIR", help="where the pictures of --annotations lie")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write COCO's result format: image_id, caption")
    parser.add_argument(
        "--scores", type=Path, metavar="FILE", help="write scores, of each picture too (RES.scores.json for RES.json)"
    )
    parser.add_argument("--gallery", type=Path, metavar="FILE", help="write one HTML page with pictures and captions")
    parser.add_argument(
        "--gallery-pictures", type=int, default=500, metavar="N", help="most pictures on the page (%(default)s)"
    )
    parser.add_argument("--ensemble", action="store_true", help="with --gallery: show the models' average as well")
    parser.add_argument("--save-pictures", type=Path, metavar="DIR", help="write each picture with its caption on it")
    parser.add_argument("--attention", type=Path, metavar="DIR", help="write where the model looked, word by word")


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


def add_sharing_flags(parser: argparse.ArgumentParser) -> None:
    """Adds what gives a model to other people."""
    group = parser.add_argument_group("sharing", "In the place of pictures; docs/sharing.md explains it.")
    group.add_argument("--pack", type=Path, metavar="FILE.zip", help="write the model as one file that travels")
    group.add_argument("--push", metavar="USER/NAME", help="send the pack to a model hub, by huggingface_hub")
    group.add_argument(
        "--export", type=Path, metavar="DIR", help="write it as ONNX files with a script: docs/export.md"
    )
    group.add_argument("--web", type=Path, metavar="DIR", help="write a page that captions in the browser")
    group.add_argument("--quantize", action="store_true", help="for both: 8-bit weights, a quarter of the size")
    group.add_argument("--runtime", type=Path, metavar="FILE|DIR", help="for --web: onnxruntime-web, where npm is not")
    group.add_argument(
        "--serve", type=int, nargs="?", const=8000, metavar="PORT", help="caption on a page of this machine (8000)"
    )
    group.add_argument("--host", metavar="ADDRESS", help="for --serve: let other machines in, by 0.0.0.0 say")


def shares(options: argparse.Namespace) -> bool:
    """Whether one of these is given."""
    given = options.pack, options.push, options.export, options.web, options.quantize, options.runtime, options.host
    return options.serve is not None or any(given)


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
