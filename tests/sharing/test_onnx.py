"""An exported model says what torch says, and needs no torch for it."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.small_settings import DECODERS, REGION_DECODERS, decoder_settings
from torch import nn

import showtell
from showtell.config import Config, ConfigError, DecodingConfig, ImageTransform
from showtell.config.registry import settings
from showtell.data.images import pixels_of, resized
from showtell.models.decoders.base import build_decoder
from showtell.models.encoders.base import Encoder, build_encoder
from showtell.prediction.captioner import Captioner
from showtell.text import SPECIAL_TOKENS, Vocabulary, build_tokenizer
from showtell.text.subwords import BytePairs

pytest.importorskip("onnxruntime")
from showtell.sharing.export import caption, graphs
from showtell.sharing.export import folder as folders
from showtell.sharing.export.description import bytes_of_letters, glued, shown_otherwise

GREEDY = DecodingConfig(max_length=8)
BEAM = DecodingConfig(method="beam", beam_size=5, num_captions=5, max_length=8, min_length=2, block_ngram=2)
WITHOUT_TORCH = """
import runpy, sys
for name in ("torch", "showtell", "transformers"):
    sys.modules[name] = None  # importing it fails
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="session")
def exported(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run as ONNX files; nobody may write into the folder."""
    import predict

    folder = tmp_path_factory.mktemp("onnx") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["predict.py", str(tiny_run), "--export", str(folder), "--beam", "3"])
        assert predict.main() == 0
    return folder


@pytest.fixture
def pictures(tiny_coco: Path, tmp_path: Path) -> list[Path]:
    """Files of all kinds that are read in some way of their own."""
    photo = Image.open(next((tiny_coco / "val").glob("*.jpg"))).resize((90, 61))
    gray = (np.asarray(photo.convert("L")).astype(np.uint16) << 8) + 77
    files = {
        "rgb.png": photo,
        "gray.png": photo.convert("L"),
        "palette.gif": photo.quantize(8),
        "sixteen.png": Image.fromarray(gray),
        "inks.jpg": photo.convert("CMYK"),
        "bits.png": photo.convert("1"),
    }
    for name, image in files.items():
        image.save(tmp_path / name)
    glass = photo.convert("RGBA")
    glass.putalpha(Image.linear_gradient("L").resize(photo.size))
    glass.save(tmp_path / "glass.png")
    for orientation in (3, 6, 7):
        exif = Image.Exif()
        exif[0x0112] = orientation
        photo.save(tmp_path / f"turned{orientation}.jpg", exif=exif)
    return sorted(tmp_path.iterdir())


def assert_same(captioner: Captioner, folder: Path, pictures: Sequence[Any], *decodings: DecodingConfig) -> None:
    """All n-best captions, and the log-probability of each word."""
    exported = caption.Captioner(folder)
    for decoding in decodings:
        exported.told["decoding"] = asdict(decoding)
        for found, picture in zip(captioner.caption(pictures, decoding), pictures, strict=True):
            told = exported.caption(picture)
            assert [one.text for one in told] == list(found.captions)
            for one, other in zip(told, found.hypotheses, strict=True):
                np.testing.assert_allclose(one.log_probs, other.word_log_probs, rtol=1e-4, atol=1e-4)
                assert one.score == pytest.approx(other.score, abs=1e-4)


def test_captions_and_probabilities_are_those_of_torch(tiny_run: Path, exported: Path, pictures: list[Path]) -> None:
    assert_same(showtell.load(tiny_run), exported, pictures, GREEDY, BEAM)


def test_the_script_needs_no_torch(tiny_run: Path, exported: Path, tiny_coco: Path, tmp_path: Path) -> None:
    good = sorted((tiny_coco / "val").glob("*.jpg"))
    (bad := tmp_path / "bad.jpg").write_text("no picture")
    command = [sys.executable, "-c", WITHOUT_TORCH, exported / "caption.py", *good, bad]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wanted = showtell.load(tiny_run).caption(good, DecodingConfig(method="beam", beam_size=3))
    assert done.stdout.splitlines() == [f"{one.path}\t{one.captions[0]}" for one in wanted]
    assert done.returncode == 1 and done.stderr.startswith(f"skipped: {bad}: ") and done.stderr.count("\n") == 1


def test_the_description_tells_where_the_model_comes_from(exported: Path) -> None:
    told = json.loads((exported / "captioner.json").read_text(encoding="utf-8"))
    assert told["words"][:3] == list(SPECIAL_TOKENS)
    assert told["decoding"]["beam_size"] == 3
    assert told["model"]["encoder"] == "resnet18 (none)"


def test_resizing_is_to_the_bit_torchs() -> None:
    random = np.random.default_rng(0)
    for number in range(60):
        height, width = random.integers(1, 500, 2)
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        pixels = np.where(pixels > 127, 255, 0).astype(np.uint8) if number % 3 else pixels
        transform = ImageTransform(
            size=int(random.choice([32, 64, 224])), interpolation=("bilinear", "bicubic")[number % 2]
        )
        wanted = resized(torch.from_numpy(pixels).permute(2, 0, 1), transform).permute(1, 2, 0).numpy()
        assert np.array_equal(caption.fitted(Image.fromarray(pixels), asdict(transform)), wanted)


@pytest.mark.parametrize("fit", ["stretch", "center", "squash", "pad"])
def test_pictures_become_the_same_bytes(fit: str, pictures: list[Path]) -> None:
    for path in pictures:
        transform = ImageTransform(size=48, fit=fit, crop=0.9, interpolation="bicubic")
        wanted = resized(pixels_of(path), transform).permute(1, 2, 0).numpy()
        assert np.array_equal(caption.fitted(caption.upright_rgb(path), asdict(transform)), wanted), path.name


def joining(vocabulary: Vocabulary) -> dict[str, Any]:
    """What `captioner.json` says of words."""
    glue, shown = glued(vocabulary), shown_otherwise(vocabulary)
    return {"bytes": bytes_of_letters(vocabulary), "glued": glue, "shown": shown, "words": vocabulary.words}


@pytest.mark.parametrize("tokenizer", ["nltk", "words", "characters"])
def test_words_are_joined_as_the_tokenizer_joins_them(tokenizer: str) -> None:
    text = "a dog's (small) ball, it can't run. 狗在跑。 2 ``x'' \"y\" « un chien » ! ? ... ; the 5 % ¿qué? 3.5"
    words = dict.fromkeys(build_tokenizer(tokenizer).split(text))
    vocabulary = Vocabulary([*SPECIAL_TOKENS, *words], build_tokenizer(tokenizer))
    exported = object.__new__(caption.Captioner)
    exported.told = joining(vocabulary)
    tokens = range(3, len(vocabulary))
    for pair in [[left, right] for left in tokens for right in tokens]:
        assert exported.text(pair) == vocabulary.decode(pair)


def pieces_vocabulary() -> tuple[Vocabulary, list[list[int]]]:
    """Of nltk's words cut into letters, and captions with contractions, quotation marks and rows of marks in it."""
    said = ["a dog's ball, it can't run", 'the "big" one isn\'t his ...', "they're cats. constructor: 3.5 %"]
    tokenizer = BytePairs()
    counts = Counter(word for text in said for word in tokenizer.split(text))
    trained = tokenizer.trained(counts, 100, 3)
    vocabulary = Vocabulary.from_counts(Counter(), 1, trained)
    return vocabulary, [vocabulary.look_up(trained.split(text)) for text in said]


def test_pieces_are_joined_to_words_first() -> None:
    pytest.importorskip("tokenizers")
    vocabulary, said = pieces_vocabulary()
    exported = object.__new__(caption.Captioner)
    exported.told = joining(vocabulary)
    assert [exported.text(tokens) for tokens in said] == [vocabulary.decode(tokens) for tokens in said]
    assert exported.text(said[0]) == "a dog's ball, it can't run"


def small_captioner(name: str, encoder: Encoder, config: Config) -> Captioner:
    """With random weights, made opinionated."""
    torch.manual_seed(0)
    sizes = dict(embedding_size=8, hidden_size=8, attention_size=5, num_heads=2, num_layers=2)
    config.decoder = decoder_settings(name, **sizes)
    decoder = build_decoder(config.decoder, encoder.feature_shape(), 14)
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    return Captioner(encoder, decoder, Vocabulary([*SPECIAL_TOKENS, *"abcdefghijk"]), config, "cpu")


def encoder_of(config: Config, name: str, **values: Any) -> Encoder:
    config.encoder = settings("encoder", name, weights="none", **values)
    config.features.precision = "float32"
    return build_encoder(config.encoder)


def check_small(name: str, encoder: Encoder, config: Config, folder: Path, pictures: list[Path]) -> None:
    captioner = small_captioner(name, encoder, config)
    folders.write_model(captioner, BEAM, folder, quantized=False)
    assert_same(captioner, folder, pictures, GREEDY, BEAM)


@pytest.mark.slow
def test_a_transformer_and_two_encoders(pictures: list[Path], tmp_path: Path) -> None:
    """Its state grows; two pictures go in, of two sizes."""
    config = Config()
    parts = {"first": "efficientnet_lite0", "second": "resnet18", "image_size": 64}
    encoder = encoder_of(config, "pair", pooling="grid:2", **parts)
    (folder := tmp_path / "onnx").mkdir()
    check_small("transformer", encoder, config, folder, pictures[:4])


@pytest.mark.slow
@pytest.mark.parametrize("name", DECODERS)
def test_each_decoder(name: str, pictures: list[Path], tmp_path: Path) -> None:
    config = Config()
    pooling = "grid" if name in REGION_DECODERS else "average"
    (folder := tmp_path / "onnx").mkdir()
    check_small(name, encoder_of(config, "resnet18", pooling=pooling, image_size=64), config, folder, pictures)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        ("efficientnet_lite0", "cells"), ("efficientnet_lite1", "quarters"), ("efficientnet_lite2", "multi"),
        ("mobilenet_v3_small", "tokens"), ("vit_b_32", "average"), ("swin_t", "grid:3"), ("googlenet", "multi:2"),
        ("timm/vit_tiny_patch16_224.augreg_in21k", "tokens:2"), ("timm/convnext_atto.d2_in1k", "grid"),
        ("timm/resnet18.a1_in1k", "multi"),
    ],
)  # fmt: skip
def test_encoder_families(name: str, pooling: str, pictures: list[Path], tmp_path: Path) -> None:
    config = Config()
    decoder = "lstm" if pooling == "average" else "attention"
    (folder := tmp_path / "onnx").mkdir()
    check_small(decoder, encoder_of(config, name, pooling=pooling), config, folder, pictures[:3])


def test_a_decoder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    class Counting(nn.Module):
        def initial_state(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (features, features.new_zeros(len(features), dtype=torch.long))

        def step(self, tokens: torch.Tensor, state: Any) -> Any:
            # a branch on a number: an export knows one of its ways alone
            logits = state[0] if int(state[1].max()) < 2 else -state[0]
            return logits, (state[0], state[1] + 1)

        def attention(self, state: Any) -> None:
            return None

        attends = False

    line = r"^decoder=counting cannot be written as ONNX \(.*\); .*"
    with torch.no_grad(), pytest.raises(ConfigError, match=line), graphs._named("decoder=counting"):
        graphs._write_decoder(Counting().eval(), torch.randn(3, 5), tmp_path)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["photo.jpg"], "photo.jpg: --export captions nothing; leave pictures out"),
        (["--split", "val"], "--split has no effect with --export; leave it out"),
        (["--views", "2"], "--views 2 has no effect with --export; leave it out"),
    ],
)
def test_what_has_no_part_in_an_export_is_refused(
    words: list[str], line: str, tiny_run: Path, tmp_path: Path, call: Callable[..., Any]
) -> None:
    with pytest.raises(ConfigError, match=line):
        call(tiny_run, *words, "--export", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_things_is_left_alone(tiny_run: Path, tmp_path: Path, call: Callable[..., Any]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other files; name a new folder"):
        call(tiny_run, "--export", tmp_path)
    with pytest.raises(ConfigError, match=r"mine.txt: is a file"):
        call(tiny_run, "--export", tmp_path / "mine.txt")
    with pytest.raises(ConfigError, match="--quantize belongs to --export"):
        call(tiny_run, "photo.jpg", "--quantize")


def test_a_missing_package_is_named(tiny_run: Path, tmp_path: Path, call: Callable[..., Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "find_spec", lambda name: None if name == "onnxscript" else name)
        with pytest.raises(ConfigError, match=r"--export: onnxscript is not installed; pip install '\.\[export\]'"):
            call(tiny_run, "--export", tmp_path / "out")


def test_8_bit_weights_take_a_quarter_and_change_little(exported: Path, tmp_path: Path, pictures: list[Path]) -> None:
    from showtell.sharing.export.quantize import quantize

    (tmp_path / "small").mkdir()
    small = tmp_path / "small" / "encoder.onnx"
    small.write_bytes((exported / "encoder.onnx").read_bytes())
    quantize(small)
    assert small.stat().st_size < 0.27 * (exported / "encoder.onnx").stat().st_size
    pixels = np.stack([caption.fitted(caption.upright_rgb(pictures[0]), asdict(ImageTransform()))])
    both = [
        caption.answers(caption.session(file), {"picture_0": pixels})["features"]
        for file in (small, exported / "encoder.onnx")
    ]
    assert np.abs(both[0] - both[1]).max() < 0.05 * np.abs(both[1]).max()


@pytest.mark.slow
def test_a_fresh_environment(exported: Path, tiny_run: Path, tiny_coco: Path, tmp_path: Path) -> None:
    """With onnxruntime, numpy and pillow alone."""
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "onnxruntime", "numpy", "pillow"], check=True)
    picture = next((tiny_coco / "val").glob("*.jpg"))
    done = subprocess.run([python, exported / "caption.py", picture], capture_output=True, text=True, check=True)
    wanted = showtell.load(tiny_run).caption(picture, DecodingConfig(method="beam", beam_size=3))
    assert done.stdout == f"{picture}\t{wanted[0].captions[0]}\n"
