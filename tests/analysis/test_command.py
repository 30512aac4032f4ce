"""`python -m showtell.score ... --analysis`: the page, the terminal, and files that cannot be used."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.gallery.conftest import HOSTILE
from tests.score.test_score import BLOCKED

from showtell.data.settings import ShapesConfig
from showtell.data.shapes import ensure_shapes, load_scenes
from showtell.data.shapes.truth import parse
from showtell.errors import UserError
from showtell.score.__main__ import main


def data_of(page: Path) -> Any:
    text = page.read_text()
    return json.loads(text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0])


def panel(page: Path, title: str) -> list[list[str]]:
    (found,) = [one for one in data_of(page)["panels"] if one["title"] == title]
    return [row["cells"] for row in found["rows"]]


def coco(references: dict[int, list[str]]) -> dict[str, Any]:
    notes = [{"image_id": picture, "caption": text} for picture, texts in references.items() for text in texts]
    return {"images": [{"id": one, "file_name": f"{one}.png"} for one in references], "annotations": notes}


@pytest.fixture
def score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Scores `res.json` on `ref.json` with further words; both lie in the working folder."""
    monkeypatch.chdir(tmp_path)
    references = {n: ["a dog on the grass", "a puppy plays", "the dog runs"] for n in range(12)}
    references |= {n: ["a man rides a horse", "a person on a horse"] for n in range(12, 24)}
    (tmp_path / "ref.json").write_text(json.dumps(coco(references)))
    said = [{"image_id": n, "caption": "a cat on the grass" if n < 6 else "a man and a dog"} for n in references]
    (tmp_path / "res.json").write_text(json.dumps(said))

    def run(*words: object, systems: tuple[str, ...] = ("res.json",)) -> Any:
        main([*systems, "--references", "ref.json", "--analysis", "page.html", "--resamples", "100", *map(str, words)])
        return capsys.readouterr()

    return run


def test_what_captions_of_scenes_invent_is_what_the_generator_did_not_draw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_shapes(tmp_path / "shapes", ShapesConfig(train_pictures=1, val_pictures=60))
    folder = tmp_path / "shapes/annotations"
    scenes = load_scenes(tmp_path / "shapes", "val")
    told = json.loads((folder / "captions_val.json").read_text())["annotations"]
    first = {note["image_id"]: note["caption"] for note in reversed(told)}
    others = dict(zip(first, [*list(first.values())[1:], first[next(iter(first))]], strict=True))  # the neighbour's
    results = [{"image_id": picture, "caption": text} for picture, text in others.items()]
    (tmp_path / "res.json").write_text(json.dumps(results))
    words = ["--references", folder / "captions_val.json", "--instances", folder / "scenes_val.json"]
    main([*map(str, [tmp_path / "res.json", *words, "--analysis", tmp_path / "page.html"])])
    named = invented = captions = 0
    for picture, text in others.items():
        claims = parse(text)
        assert claims is not None
        kinds = [dict(looks).get("kind") for looks in claims.objects]
        there = {thing["kind"] for thing in scenes[picture]["objects"]}
        wrong = [kind for kind in kinds if kind and kind not in there]
        named, invented, captions = named + sum(map(bool, kinds)), invented + len(wrong), captions + bool(wrong)
    said = capsys.readouterr()
    assert 0.3 < invented / named < 1
    assert f"CHAIR-i {invented / named:.4f} [" in said.out and f"CHAIR-s {captions / 60:.4f} [" in said.out
    rows = panel(tmp_path / "page.html", "Invented things")
    assert sum(int(row[1]) for row in rows) == invented


def test_the_terminal_says_a_handful(score: Callable[..., Any], tmp_path: Path) -> None:
    lines = score().out.partition("invented")[2].splitlines()
    # 6 cats, and the dogs that are said of horses; a man is there
    assert lines[0].startswith(" things (by the references alone): CHAIR-i 0.5714 [")
    assert "CHAIR-s 1.0000" in lines[0]
    assert lines[1].startswith("worst: Words of the ")
    assert lines[2].startswith("said too often: ")
    assert lines[3].startswith("confused: dog for horse (12), ")
    assert ["cat", "dog", "6", "1.5"] in panel(tmp_path / "page.html", "Confused things")
    assert lines[4] == "written: page.html"


def test_instances_tell_what_is_there(score: Callable[..., Any], tmp_path: Path) -> None:
    content = {
        "images": [{"id": n + 100, "file_name": f"x/{n}.png"} for n in range(23)],  # other ids, and one is missing
        "annotations": [{"image_id": n + 100, "category_id": 7} for n in range(3)]
        + [{"image_id": 100, "category_id": 8}],
        "categories": [{"id": 7, "name": "cat"}, {"id": 8, "name": "yeti"}],
    }
    Path("instances.json").write_text(json.dumps(content))
    said = score("--instances", "instances.json")
    assert ["cat", "3", "6", "50.0 %"] in panel(tmp_path / "page.html", "Invented things")
    assert "instances.json knows nothing of 1 picture: there only the references tell" in said.err
    assert "no words are known for 1 thing of instances.json, such as yeti" in said.err


def test_words_for_things_of_ones_own(score: Callable[..., Any], tmp_path: Path) -> None:
    Path("words.txt").write_text("# mine\nlawn: =grass, lawn\ncat: cat\n")
    score("--things", "words.txt")
    assert panel(tmp_path / "page.html", "Invented things") == [["cat", "6", "6", "100.0 %"]]


def test_training_captions_tell_what_is_rare(score: Callable[..., Any], tmp_path: Path) -> None:
    Path("train.json").write_text(json.dumps(coco({1: ["the dog", *["a man rides a person on a horse"] * 2]})))
    score("--train", "train.json")
    rows = panel(tmp_path / "page.html", "Rarest word that half of the references use: times in the training captions")
    assert [row[:2] for row in rows] == [["1", "12"], ["2", "12"]]
    assert ["rides", "12", "2"] in panel(tmp_path / "page.html", "Never said")


def test_a_page_for_each_system_and_run(score: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("b.json", "c.json"):
        Path(name).write_bytes(Path("res.json").read_bytes())
    said = score(systems=("res.json", "two=b.json,c.json"))
    assert sorted(path.name for path in tmp_path.glob("*.html")) == [
        "page-res.html", "page-two-1.html", "page-two-2.html",
    ]  # fmt: skip
    assert "two-1:" in said.out


def test_pictures_are_shown_where_they_can_be_read(score: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(23):
        Image.new("RGB", (400, 20)).save(tmp_path / f"pictures/{number}.png")
    said = score("--images", "pictures")
    shown = data_of(tmp_path / "page.html")["pictures"]
    assert [picture.get("width") for picture in shown] == [320] * 23 + [None]
    assert "page.html: 1 of its 24 pictures could not be read" in said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--instances", "ref.json"], "ref.json: holds no instances; give COCO's instances_val2017.json"),
        (["--instances", "none.json"], "none.json"),
        (["--instances", "other.json"], "--instances other.json: knows none of these pictures"),
        (["--things", "broken.txt"], "--things broken.txt: line 2: must be like `dog: dog, puppy`"),
        (["--things", "none.txt"], "--things none.txt: is not there; check the path"),
        (["--images", "none"], "--images none: no such folder"),
        (["--images", "."], "--images .: none of the pictures, such as 0.png, is there"),
        (["--train", "none.json"], "none.json"),
        (["--analysis", "page.pdf"], "--analysis page.pdf: name a file that ends in .html"),
    ],
)
def test_what_cannot_be_used_is_one_line(score: Callable[..., Any], words: list[str], message: str) -> None:
    empty: dict[str, Any] = {"images": [{"id": 1, "file_name": "y.png"}], "annotations": [], "categories": []}
    Path("other.json").write_text(json.dumps(empty))
    Path("broken.txt").write_text("dog: dog\ncat\n")
    with pytest.raises(UserError) as error:
        score(*words)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_what_belongs_to_the_analysis_needs_it(score: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="--train belongs to --analysis"):
        main(["res.json", "--references", "ref.json", "--train", "ref.json"])


def test_other_languages_need_words_for_things(score: Callable[..., Any]) -> None:
    said = score("--tokenizer", "words")
    assert "CHAIR" not in said.out and "name the words for things in this language by --things FILE" in said.err


def test_a_page_without_pictures_needs_numpy_and_nltk_alone(score: Callable[..., Any], tmp_path: Path) -> None:
    blocker = (
        f"import sys\nfor name in {BLOCKED!r}: sys.modules[name] = None\n"
        "from showtell.score.__main__ import main\n"
        "main(['res.json', '--references', 'ref.json', '--analysis', 'page.html'])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", blocker], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert panel(tmp_path / "page.html", "Said too often")


def test_hostile_captions_stay_data(score: Callable[..., Any], tmp_path: Path) -> None:
    said = json.loads(Path("res.json").read_text())
    said[0]["caption"] = HOSTILE
    Path("res.json").write_text(json.dumps(said))
    score()
    assert (tmp_path / "page.html").read_text().count("</script>") == 2
    assert "document.title" in data_of(tmp_path / "page.html")["pictures"][0]["caption"]
