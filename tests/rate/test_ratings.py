"""What ratings say together."""

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.analysis.test_command import data_of

from showtell.errors import UserError
from showtell.rate.__main__ import main
from showtell.rate.ratings import Rating, krippendorff_alpha, lines, verdict
from showtell.rate.seal import _mixed, seal, unseal

Run = Callable[..., Any]


def rating(votes: dict[int, float], session: str = "", identical: int = 0, pictures: int = 10) -> Rating:
    return Rating(Path(f"{session}.json"), session, session, "page", ("a", "b"), pictures, identical, votes)


def test_the_win_rate_averages_raters_by_picture_and_counts_ties_as_half() -> None:
    one = rating({0: 1, 1: 1, 2: 0.5, 3: 0}, "x", identical=5)
    other = rating({0: 0, 1: 1}, "y", identical=5)
    found = verdict([one, other])
    # 4 of 10 pictures are rated, so 2 of the 5 identical ones count
    assert found.identical == 2 and found.rated == 4
    assert found.win.value == pytest.approx((0.5 + 1 + 0.5 + 0 + 0.5 + 0.5) / 6)
    assert (found.a, found.b, found.ties) == pytest.approx((1.5 / 6, 1.5 / 6, 3 / 6))
    assert found.win.low < found.win.value < found.win.high
    assert found.agreed == 0.5


def test_who_is_preferred_is_said_only_where_chance_is_unlikely() -> None:
    def last(votes: Sequence[float]) -> str:
        return lines(verdict([rating(dict(enumerate(votes)), pictures=len(votes))]))[-1]

    assert last([1.0] * 70 + [0.0] * 30).endswith("A is preferred")
    assert last([1.0] * 30 + [0.0] * 70).endswith("B is preferred")
    assert last([1.0] * 55 + [0.0] * 45).endswith("chance alone could do this")
    assert last([1.0] * 19).endswith("too few to tell, 20 pictures are the least")


def test_alpha_is_krippendorffs() -> None:
    # the nominal example of Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability": four observers
    rows = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    units = [[float(row[unit]) for row in rows if row[unit] is not None] for unit in range(12)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha([[1, 1], [0, 0]]) == 1
    assert krippendorff_alpha([[1, 0], [0, 1]]) == pytest.approx(-0.5)
    assert krippendorff_alpha([[1, 1], [1, 1]]) is None
    assert krippendorff_alpha([[1], [0]]) is None


def test_agreement_is_said_in_words() -> None:
    votes = {place: float(place % 2) for place in range(10)}
    told = lines(verdict([rating(votes, "x"), rating(votes, "y")]))
    assert told[-1].endswith("Krippendorff's alpha 1.00: they can be relied on")
    told = lines(verdict([rating({0: 1.0}, "x"), rating({1: 1.0}, "y")]))
    assert told[-1] == "agreement: no picture was rated by several people"
    told = lines(verdict([rating({0: 1.0}, "x"), rating({0: 1.0}, "y")]))
    assert "nothing to agree upon" in told[-1]


def test_what_is_sealed_opens_on_its_page_alone() -> None:
    text = seal({"systems": ["my system", "b"]}, "page")
    assert unseal(text, "page") == {"systems": ["my system", "b"]}
    assert "system" not in text
    with pytest.raises(ValueError):
        unseal(text, "other")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command beside two systems' captions of twelve pictures, the last of which they caption alike."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for number in range(12):
        Image.new("RGB", (60, 40), (number * 20, 0, 0)).save(tmp_path / f"pictures/COCO_val_{number:012d}.png")
    for name in ("lstm", "attention"):
        said = [f"{name} says {number}" if number < 11 else "the same" for number in range(12)]
        results = [{"image_id": number, "caption": text} for number, text in enumerate(said)]
        Path(f"{name}.json").write_text(json.dumps(results))

    def call(*words: object) -> Any:
        main([str(word) for word in words])
        return capsys.readouterr()

    return call


PAGE = ("lstm.json", "attention.json", "--images", "pictures", "--output", "rate.html")


def answered(answers: dict[str, str], session: str = "s") -> str:
    """The file that the page would save."""
    head = data_of(Path("rate.html"))
    content = {"kind": "showtell ratings", "page": head["page"], "seal": head["seal"], "session": session}
    Path(f"{session}.json").write_text(json.dumps({**content, "answers": answers}))
    return f"{session}.json"


def test_ratings_find_back_whose_captions_were_preferred(run: Run) -> None:
    said = run(*PAGE)
    assert "with 11 pictures to rate\n1 picture with identical captions: not shown" in said.out
    items = data_of(Path("rate.html"))["items"]
    sides = [item["captions"][0].startswith("lstm") for item in items]
    assert sum(sides) in (5, 6) and len(items) == 11
    answers = {str(place): "left" if lstm else "right" for place, lstm in enumerate(sides)}
    out = run(answered(answers)).out
    assert "A: lstm\nB: attention\n11 of 11 pictures rated by 1 person; 1 with identical captions" in out
    assert "A preferred 91.7 %, B preferred 0.0 %, equal 8.3 %" in out
    answers = {place: {"left": "right", "right": "left"}[side] for place, side in answers.items()}
    assert "A preferred 0.0 %, B preferred 91.7 %" in run(answered(answers)).out


def test_names_of_systems_and_pictures_are_not_in_the_page(run: Run) -> None:
    for name in ("lstm", "attention"):
        text = Path(f"{name}.json").read_text().replace(f"{name} says", f"{len(name)} things,")
        Path(f"{name}.json").write_text(text)
    run(*PAGE)
    page = Path("rate.html").read_text()
    assert "lstm" not in page and "attention" not in page and "COCO_val" not in page


def test_the_seed_draws_pictures_and_sides(run: Run) -> None:
    def drawn(*words: object) -> list[list[str]]:
        run(*PAGE, *words)
        return [item["captions"] for item in data_of(Path("rate.html"))["items"]]

    assert drawn() == drawn("--seed", 0) != drawn("--seed", 1)
    assert len(drawn("--pictures", 4)) in (3, 4)


def test_a_captions_file_names_numbered_pictures(run: Run) -> None:
    images = [{"id": number, "file_name": f"COCO_val_{11 - number:012d}.png"} for number in range(12)]
    notes = [{"image_id": number, "caption": "a"} for number in range(12)]
    Path("ref.json").write_text(json.dumps({"images": images, "annotations": notes}))
    run(*PAGE, "--references", "ref.json")
    page = data_of(Path("rate.html"))
    names = unseal(page["seal"], page["page"])["pictures"]
    told = [int(item["captions"][0].rpartition(" ")[2]) for item in page["items"]]
    assert names == [f"COCO_val_{11 - number:012d}.png" for number in told]


def test_what_is_left_out_is_said(run: Run) -> None:
    results = json.loads(Path("lstm.json").read_text())
    Path("lstm.json").write_text(json.dumps([*results[:10], {"image_id": 99, "caption": "a"}]))
    Path("pictures/COCO_val_000000000000.png").unlink()
    Path("pictures/COCO_val_000000000001.png").write_bytes(b"none")
    said = run(*PAGE)
    assert "3 captions of pictures that the other system does not caption: left out" in said.err
    assert "1 picture not in pictures: left out" in said.err
    assert "1 picture could not be read: left out" in said.err
    assert "with 8 pictures to rate" in said.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lstm.json"], "1 file of captions given; name two"),
        (["lstm.json", "attention.json"], "--images is missing"),
        (["lstm.json", "attention.json", "--images", "none"], "--images none: no such folder"),
        (["lstm.json", "attention.json", "--images", "pictures"], "--output: name the page to write"),
        ([*PAGE, "--pictures", "0"], "--pictures 0: must be at least 1"),
        (["lstm.json", "a=lstm.json", *PAGE[2:]], "the two systems say the same of all 12 pictures"),
        (["lstm.json", "a=lstm.json,attention.json", *PAGE[2:]], "a: names 2 files; people rate one run"),
        (["lstm.json", "other.json", *PAGE[2:]], "caption no picture in common"),
        (["lstm.json", "attention.json", "--images", "empty", "--output", "x.html"], "none of the pictures, such as 0"),
        (["x.json", "lstm.json"], "x.json: is a file of ratings, others are not"),
        (["x.json", "--output", "o.html"], "--output belongs to captions"),
        (["x.json", "copy.json"], "copy.json: is of the same rater as x.json"),
        (["x.json", "later.json"], "later.json: is of another page than x.json"),
        (["changed.json"], "changed.json: was changed since the rating page saved it"),
        (["deep.json"], "deep.json: was changed since the rating page saved it"),
        (["nothing.json"], "nothing.json: rates no picture; leave it out"),
    ],
)
def test_what_cannot_be_used_is_one_line(run: Run, words: list[str], message: str) -> None:
    Path("empty").mkdir()
    Path("other.json").write_text(json.dumps([{"image_id": 70, "caption": "a"}]))
    run(*PAGE, "--seed", 1)
    answered({"0": "left"}, "later")
    run(*PAGE)
    Path("copy.json").write_text(Path(answered({"0": "left"}, "x")).read_text())
    answered({"99": "left"}, "changed")
    answered({}, "nothing")
    content = json.loads(Path(answered({"0": "left"}, "deep")).read_text())
    nested = base64.b64encode(_mixed(b"[" * 100_000, content["page"])).decode()
    Path("deep.json").write_text(json.dumps({**content, "seal": nested}))
    with pytest.raises(UserError) as error:
        run(*words)
    assert message in str(error.value) and "\n" not in str(error.value)
