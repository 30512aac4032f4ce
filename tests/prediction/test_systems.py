"""Several checkpoints: which words name them, their short names, averaged or side by side."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.prediction.conftest import Said, load

from showtell.config import ConfigError, DecodingConfig, ImageTransform
from showtell.data.images import load_picture
from showtell.evaluation.diversity import caption_variety
from showtell.evaluation.report import Evaluation, table
from showtell.prediction.captioner import Captioner
from showtell.prediction.ensemble import Ensemble
from showtell.prediction.inputs import short_labels, split_arguments
from showtell.text import START, Vocabulary

Call = Callable[..., Said]


def test_checkpoints_are_told_from_pictures(tiny_run: Path, tiny_coco: Path) -> None:
    words = [str(tiny_run), "a.jpg", str(tiny_run / "checkpoints/last.ckpt"), str(tiny_coco / "val"), "gone.ckpt"]
    checkpoints, pictures = split_arguments(words)
    folder = tiny_run / "checkpoints"
    assert checkpoints == [folder / "best.ckpt", folder / "last.ckpt", Path("gone.ckpt")]
    assert pictures == ["a.jpg", str(tiny_coco / "val")]


def test_pictures_may_stand_before_the_run(tiny_run: Path) -> None:
    assert split_arguments(["a.jpg", str(tiny_run)]) == ([tiny_run / "checkpoints/best.ckpt"], ["a.jpg"])


@pytest.mark.parametrize(
    ("files", "labels"),
    [
        (["r/demo/1/checkpoints/best.ckpt"], ["demo/1"]),
        (["r/demo/1/checkpoints/best.ckpt", "r/demo/2/checkpoints/best.ckpt"], ["1", "2"]),
        (["r/a/1/checkpoints/best.ckpt", "r/b/1/checkpoints/best.ckpt"], ["a", "b"]),
        (["r/a/1/checkpoints/best.ckpt", "r/a/1/checkpoints/last.ckpt"], ["best", "last"]),
        (["x/model.ckpt", "x/other.ckpt"], ["model", "other"]),
        (["a/1/checkpoints/last.ckpt", "b/2/checkpoints/last.ckpt"], ["a/1", "b/2"]),
        (
            [
                f"s/data.shapes.train_pictures-60__decoder.dropout-{d}__seed-1/checkpoints/best.ckpt"
                for d in (0.25, 0.5)
            ],
            ["dropout-0.25", "dropout-0.5"],
        ),
        (["s/decoder-lstm__seed-1/checkpoints/best.ckpt", "s/decoder-lstm/checkpoints/best.ckpt"], None),
    ],
)
def test_labels_are_what_tells_them_apart(files: list[str], labels: list[str] | None) -> None:
    whole = [Path(file).parent.parent.name for file in files]  # where a word is only there or not
    assert short_labels([Path(file) for file in files]) == (labels or whole)


@pytest.mark.parametrize("width", [80, 140])
def test_the_table_of_several_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    names = [f"hidden_size-{size} embedding_size-256" for size in (64, 128, 256)]
    variety = caption_variety(["a dog runs", "a cat"], None)
    lines = table({name: Evaluation({}, {}, variety, []) for name in names}).splitlines()
    assert max(map(len, lines)) <= width
    if width == 80:
        assert lines[0].split() == ["A", "B", "C"]
        assert lines[-3:] == [f"{letter}: {name}" for letter, name in zip("ABC", names, strict=True)]
    else:
        assert all(name in lines[0] for name in names) and not lines[-1].startswith("C")


def test_a_checkpoint_given_twice_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"a/m\.ckpt is given twice; name each checkpoint once"):
        short_labels([Path("a/m.ckpt"), Path("a/m.ckpt")])


@pytest.fixture(scope="module")
def two(tiny_run: Path, other_run: Path) -> list[Captioner]:
    found = [Captioner.from_checkpoint(run / "checkpoints/best.ckpt", "cpu") for run in (tiny_run, other_run)]
    # an encoder of its own would bring a transform of its own
    found[1].transform = ImageTransform(size=96)
    return found


def test_an_ensemble_averages_probabilities_and_transforms_for_each_member(
    two: list[Captioner], tiny_coco: Path
) -> None:
    ensemble = Ensemble([("a", two[0]), ("b", two[1])])
    assert [look.transform.size for look in ensemble.looks()] == [224, 96]
    picture = min((tiny_coco / "val").iterdir())
    (captioned,) = ensemble.stream([picture], DecodingConfig(), 1, 0)
    start = torch.tensor([START])
    first = captioned.hypotheses[0].tokens[0]
    with torch.inference_mode():
        begun = [one.start(one.encode([load_picture(picture, one.transform)[None]])) for one in two]
        probabilities = [step(start, state)[0].softmax(1)[0, first] for step, state in begun]
    mean = sum(probabilities) / 2
    assert captioned.hypotheses[0].word_log_probs[0] == pytest.approx(float(mean.log()), abs=1e-5)
    assert abs(float(probabilities[0] - probabilities[1])) > 1e-3


def test_two_checkpoints_are_averaged(call: Call, tiny_run: Path, other_run: Path, tiny_coco: Path) -> None:
    said = call(tiny_run, other_run, tiny_coco / "val", "--beam", 2)
    assert all(line.count("\t") == 1 for line in said.out.splitlines())
    assert len(said.out.splitlines()) == 6


def test_other_words_cannot_be_averaged(two: list[Captioner]) -> None:
    words = two[0].vocabulary.words
    swapped = copy.copy(two[1])
    swapped.vocabulary = Vocabulary([*words[:3], *reversed(words[3:])])
    with pytest.raises(
        ConfigError, match=r"^b and a have different vocabularies .* or compare them by --gallery FILE alone$"
    ):
        Ensemble([("a", two[0]), ("b", swapped)])


def test_side_by_side_every_system_has_its_files(
    call: Call,
    tiny_run: Path,
    other_run: Path,
    val: list[object],
    tmp_path: Path,
    no_java: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = tmp_path / "page.html"
    monkeypatch.setenv("COLUMNS", "400")  # wide enough for names instead of letters, whatever the folder is called
    said = call(tiny_run, other_run, *val, "--ensemble", "--gallery", page, "--output", tmp_path / "r.json")
    labels = said.out.splitlines()[1].split()
    assert [label.rpartition("/")[2] for label in labels] == ["tiny", "other", "ensemble"]
    for label in labels:
        name = label.replace("/", "_")
        assert load(tmp_path / f"r-{name}.scores.json")["system"] == label
        assert len(load(tmp_path / f"r-{name}.json")) == 6
    assert page.stat().st_size > 10_000
