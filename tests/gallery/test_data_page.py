"""The page of a data set: what it holds, and what a browser makes of it."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import draw_coco
from tests.gallery.conftest import HOSTILE, Browser

from showtell.data.__main__ import main
from showtell.gallery.data_page import DataPage, ShownCaption, ShownPicture, SplitFacts, write_data_page

NAMES = "#pictures .name"


def content(page: Path) -> dict[str, Any]:
    """What the page's script reads."""
    text = page.read_text()
    assert not re.search(r"(?:src|href)=['\"]?http|url\(", text)
    found: dict[str, Any] = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    return found


def shown(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["show", *map(str, words)]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


@pytest.fixture
def tiny(tiny_coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    page = tmp_path / "page.html"
    shown(capsys, "data.name=tiny", "data=custom", f"data.root={tiny_coco}", *PLACES, "--output", page)
    return page


PLACES = [
    *(f"data.{name}_annotations=annotations/captions_{name}.json" for name in ("train", "val")),
    *(f"data.{name}_images={name}" for name in ("train", "val")),
]


def test_everything_of_a_small_set_is_there(tiny: Path) -> None:
    found = content(tiny)
    assert [(split["name"], split["pictures"], split["shown"]) for split in found["splits"]] == [
        ("train", 24, 24), ("val", 6, 6),
    ]  # fmt: skip
    assert len(found["pictures"]) == 30
    assert all(picture["src"].startswith("data:image/jpeg;base64,") for picture in found["pictures"])
    first = found["pictures"][0]
    assert first["split"] == "train" and first["name"] == "train_000000000001.jpg" and len(first["captions"]) == 2
    counts = {word: count for word, count, _ in found["words"]}
    text, length, places = first["captions"][0]
    words = re.findall(r"\w+|\.", text.lower())
    assert length == len(words) == len(places) // 3
    assert [text[start:end].lower() for start, end in zip(places[::3], places[1::3], strict=True)] == words
    assert places[2::3] == [counts[word] for word in words]
    assert sum(count * many for count, many, _ in found["counts"]) == sum(counts.values())


def test_of_a_large_set_a_seeded_sample_is_shown(
    tiny_coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = []
    for seed in (0, 0, 1):
        words = ["data=custom", f"data.root={tiny_coco}", *PLACES, "--pictures", 10, "--seed", seed]
        told = shown(capsys, *words, "--output", tmp_path / "p.html")
        assert "train: 8 of 24 pictures shown, 48 captions" in told and "val: 2 of 6 pictures shown" in told
        pages.append([picture["name"] for picture in content(tmp_path / "p.html")["pictures"]])
    assert pages[0] == pages[1] != pages[2]
    assert all(names[:8] == sorted(names[:8]) for names in pages)


def test_what_cannot_be_used_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = draw_coco(tmp_path / "data", train=3, val=2)
    (root / "train" / "train_000000000001.jpg").unlink()
    (root / "train" / "train_000000000002.jpg").write_text("<html>")
    (root / "annotations" / "captions_val.json").unlink()
    page = tmp_path / "p.html"
    assert main(["show", "data=custom", f"data.root={root}", *PLACES, "--output", str(page)]) == 0
    said = capsys.readouterr()
    assert "train: 2 of 2 pictures shown, 4 captions, 1 left out, 1 unreadable" in said.out
    assert re.search(r"note: val left out: .*captions_val.json is not there", said.err)
    (split,) = content(page)["splits"]
    assert "train_000000000002.jpg" in split["lines"][0] and "train_000000000001.jpg" in split["lines"][1]
    assert ["src" in picture for picture in content(page)["pictures"]] == [False, True]


def test_one_split_alone(tiny_coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data=custom", f"data.root={tiny_coco}", *PLACES, "--output", tmp_path / "p.html", "--split"]
    assert "train: 0 of 24 pictures shown" in shown(capsys, *words, "val")  # its words are counted all the same
    assert {picture["split"] for picture in content(tmp_path / "p.html")["pictures"]} == {"val"}
    assert main(["show", *map(str, words), "test"]) == 2
    assert "data=custom has no test split" in capsys.readouterr().err


def test_shards_are_shown_too(tiny_coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["data=custom", f"data.root={tiny_coco}", *PLACES]
    assert main(["shards", *data, "--output", str(tmp_path / "s"), "--cache", str(tmp_path / "c")]) == 0
    capsys.readouterr()
    page = tmp_path / "p.html"
    told = shown(capsys, "data=shards", f"data.root={tmp_path / 's'}", "--pictures", 7, "--output", page)
    assert "of 24 pictures shown, 48 captions" in told
    assert len(content(page)["pictures"]) == 7
    assert all(len(picture["captions"]) == 2 and picture["width"] for picture in content(page)["pictures"])
    plain = tmp_path / "plain.html"
    shown(capsys, *data, "--output", plain)
    assert sorted(content(page)["words"]) == sorted(content(plain)["words"])


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in {
        ("--pictures", "0"): "--pictures 0 is out of range; it must be from 1 to 5,000",
        ("data=custom", f"data.root={tmp_path}/no"): "no is no folder; set it to the folder of your pictures",
        ("vocab.tokenizer=klingon",): "vocab.tokenizer='klingon' is not an option; choose one of bpe, characters",
    }.items():
        assert main(["show", *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert not list(tmp_path.iterdir())


def hostile_page(folder: Path) -> DataPage:
    texts = [HOSTILE, "a dog runs", "\U0001f600 two dogs sit there", "一只狗在跑", "category"]
    captions = [ShownCaption(text, [(0, 1, 1)] if text == "a dog runs" else [], len(text.split())) for text in texts]
    captions[2] = ShownCaption(texts[2], [(2, 5, 1), (6, 10, 9)], 5)
    pictures = [ShownPicture(f"p{i}.jpg{HOSTILE}", "train", [one], None) for i, one in enumerate(captions)]
    words = Counter({HOSTILE: 5, "a": 1, "two": 1, "dogs": 9})
    facts = SplitFacts("train", 5, 5, Counter({3: 4, 60: 1}), words, [HOSTILE], [])
    return DataPage(f"T {HOSTILE}", [facts], pictures, 4, "nltk", 50, [HOSTILE])


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    write_data_page(hostile_page(tmp_path), tmp_path / "hostile.html")
    return tmp_path / "hostile.html"


def test_hostile_text_is_shown_not_run(desktop: Browser, hostile: Path) -> None:
    desktop.open(hostile)
    assert desktop.run("return document.title").startswith("T </script>")
    assert HOSTILE in desktop.texts(".captions li") and desktop.texts("#warnings li") == [HOSTILE]
    assert HOSTILE in desktop.texts("#left-out li") and any(HOSTILE in word for word in desktop.texts("#words button"))
    assert desktop.run("return document.images.length") == 0


def test_filters_by_word_and_length(desktop: Browser, hostile: Path) -> None:
    desktop.open(hostile)

    def numbers() -> list[str]:
        return [name.partition("p")[2][0] for name in desktop.texts(NAMES)]

    queries = {"dog": "12", '"dog"': "1", "og": "", "狗": "3", "cat": "4", "two dog": "2", "p3.jpg": "3"}
    for query, found in queries.items():
        desktop.set("query", query, "input")
        assert numbers() == list(found), query
    desktop.set("query", "dog", "input")
    desktop.set("to", "4", "input")
    assert numbers() == ["1"]
    desktop.set("query", "", "input")
    desktop.set("from", "2", "input")
    assert numbers() == ["1"]


def test_another_threshold_drops_other_words(desktop: Browser, hostile: Path) -> None:
    desktop.open(hostile)
    marked = ".captions .unk"
    assert desktop.texts(marked) == ["a", "two"]  # behind a sign that is two of JavaScript's
    assert desktop.texts("#verdict") == ["2 words kept, 2 become <unk>"]
    desktop.set("threshold", "1", "input")
    assert desktop.texts(marked) == [] and desktop.texts("#verdict") == ["4 words kept, 0 become <unk>"]
    desktop.set("threshold", "10", "input")
    assert desktop.texts(marked) == ["a", "two", "dogs"]
    assert desktop.texts("#thresholds .chosen td")[2] == "100.0 %"
    desktop.set("threshold", "4", "input")
    desktop.set("which", "dropped", "change")
    assert desktop.texts("#words button") == ["a 1", "two 1"]


def test_fits_a_phone(phone: Browser, hostile: Path, tiny: Path) -> None:
    for page in (hostile, tiny):
        phone.open(page)
        assert phone.run("return document.documentElement.scrollWidth - window.innerWidth") == 0


def test_plots_tell_counts(desktop: Browser, tiny: Path) -> None:
    desktop.open(tiny)
    told = desktop.texts("#lengths title")
    assert sum(int(re.search(r"train: (\d+) captions", one)[1]) for one in told if "train" in one) == 48  # type: ignore[index]
    desktop.run("document.querySelector('#lengths .bar').dispatchEvent(new Event('click'))")
    assert desktop.texts("#count") == ["30 pictures"] and desktop.run("return document.getElementById('to').value")
    assert len(desktop.texts(".captions .off")) == 30
    assert len(desktop.texts("#ranks .curve")) == 1


def test_flickrs_pictures(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "p.html"
    told = shown(capsys, "data=custom", f"data.root={shared_data / 'flickr800'}", "--pictures", 20, "--output", page)
    assert "of 700 pictures shown, 3,500 captions, 0 left out" in told
    assert page.stat().st_size < 20 * 40_000 + 300_000
