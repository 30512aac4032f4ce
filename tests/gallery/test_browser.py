"""The page in a real browser, at the width of a desk and of a phone."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tests.gallery.conftest import HOSTILE, Browser, entry, page_of

from showtell.gallery.contents import Caption, Entry, Prediction, Word
from showtell.gallery.page import write_gallery

Draw = Callable[..., Path]
NAMES = "#pictures .name"
# what shows only a part of itself: it can be scrolled sideways, or is cut
SCROLLING = """return [...document.querySelectorAll('header *, main *')]
    .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline').map(e => e.outerHTML)"""


@pytest.fixture
def compared(picture: Draw, tmp_path: Path) -> Path:
    entries = [
        entry(picture("b10.jpg"), ["a dog runs", "a dog"], [0.9, 0.1], ("the brown dog",)),
        entry(picture("b2.jpg", 40, 90), ["a cat", "two cats sit there"], [0.1, 0.3], ("my tabby",)),
        entry(picture("a.jpg", 90, 30), ["a red car on a road", "a car"], [0.4, 1.5], ("it drives",)),
    ]
    write_gallery(page_of(entries, count=2, notes=["A note."]), tmp_path / "page.html")
    return tmp_path / "page.html"


def test_the_worst_comes_first_and_other_orders_can_be_had(desktop: Browser, compared: Path) -> None:
    desktop.open(compared)
    assert desktop.texts(NAMES) == ["b2.jpg", "b10.jpg", "a.jpg"]
    orders = {"best": ["a.jpg", "b10.jpg", "b2.jpg"], "name": ["a.jpg", "b2.jpg", "b10.jpg"]}
    orders |= {"apart": ["a.jpg", "b10.jpg", "b2.jpg"], "given": ["b10.jpg", "b2.jpg", "a.jpg"]}
    orders |= {"longest": ["a.jpg", "b2.jpg", "b10.jpg"], "shortest": ["b10.jpg", "b2.jpg", "a.jpg"]}
    for order, names in orders.items():
        desktop.set("sort", order, "change")
        assert desktop.texts(NAMES) == names
    desktop.set("sort", "worst", "change")
    desktop.set("by", "1", "change")
    assert desktop.texts(NAMES) == ["b10.jpg", "b2.jpg", "a.jpg"]


def test_filters_captions_references_and_names(desktop: Browser, compared: Path) -> None:
    desktop.open(compared)
    for query, names in {"TABBY": ["b2.jpg"], "red road": ["a.jpg"], "b10": ["b10.jpg"], "zebra": []}.items():
        desktop.set("query", query, "input")
        assert desktop.texts(NAMES) == names
    assert desktop.texts("#count") == ["0 of 3 pictures"]


def test_the_address_remembers_the_view(desktop: Browser, compared: Path) -> None:
    desktop.open(compared, "#sort=name&query=car")
    assert desktop.texts(NAMES) == ["a.jpg"]
    desktop.set("query", "", "input")
    assert desktop.run("return location.hash") == "#sort=name"


def test_systems_stand_side_by_side_with_scores_and_references(desktop: Browser, compared: Path) -> None:
    desktop.open(compared, "#sort=given")
    first = "article:first-child "
    assert desktop.texts(first + ".who b") == ["system0", "system1"]
    assert desktop.texts(first + ".score") == ["CIDEr 0.90", "CIDEr 0.10"]
    assert desktop.texts(first + ".caption .w:not(.end)") == ["a", "dog", "runs", "a", "dog"]
    assert desktop.texts(first + ".references li") == ["the brown dog"]
    assert desktop.texts("#figures tbody tr") == ["system00.0", "system10.1"]
    assert "A note." in desktop.texts("#notes li")


def test_a_word_shows_its_probability(desktop: Browser, picture: Draw, tmp_path: Path) -> None:
    words = [Word("a", 0.987), Word("cat", 0.0421)]
    shown = Entry(picture("a.jpg"), [], [Prediction([Caption(words, end=0.5)])])
    write_gallery(page_of([shown]), tmp_path / "p.html")
    desktop.open(tmp_path / "p.html")
    for place, text in enumerate(["a: 99 %", "cat: 4.2 %", "end of caption: 50 %"], start=1):
        desktop.point_at(f".caption .w:nth-child({place})")
        assert desktop.texts("#tip:not([hidden])") == [text]
    alpha = (
        "return [...document.querySelectorAll('.w')].map(e => +e.style.backgroundColor.split(',').at(-1).slice(0, -1))"
    )
    sure, unsure, _ = desktop.run(alpha)
    assert sure < 0.01 < 0.4 < unsure
    desktop.point_at("h1")
    assert desktop.texts("#tip:not([hidden])") == []


def test_punctuation_stands_as_people_write_it(desktop: Browser, picture: Draw, tmp_path: Path) -> None:
    write_gallery(page_of([entry(picture("a.jpg"), ["the dog 's ball , red ."], [0.5])]), tmp_path / "p.html")
    desktop.open(tmp_path / "p.html", "#query=ball, red.")
    assert desktop.texts(".caption") == ["the dog's ball, red.\u00a0■"]


def lightness(path: Path, box: list[float]) -> float:
    with Image.open(path) as shot:
        gray = shot.convert("L").crop(tuple(round(side) for side in box))
    return sum(value * count for value, count in enumerate(gray.histogram())) / (gray.width * gray.height)


def test_a_word_lights_the_region_it_comes_from(desktop: Browser, tmp_path: Path) -> None:
    Image.new("RGB", (200, 100), (250, 250, 250)).save(tmp_path / "white.png")
    words = [Word("left", 0.5, [1.0, 0.0]), Word("right", 0.5, [0.1, 0.3])]
    shown = Entry(tmp_path / "white.png", [], [Prediction([Caption(words, grid=(1, 2))])])
    write_gallery(page_of([shown]), tmp_path / "p.html")
    desktop.open(tmp_path / "p.html")
    x, y, width, height = desktop.run(
        "const r = document.querySelector('.frame').getBoundingClientRect(); return [r.x, r.y, r.width, r.height]"
    )
    left, right = [x, y, x + width / 4, y + height], [x + width * 3 / 4, y, x + width, y + height]
    desktop.run("document.querySelector('canvas').style.transition = 'none'")
    for place, (bright, dark) in enumerate([(left, right), (right, left)], start=1):
        desktop.point_at(f".w:nth-child({place})")
        shot = desktop.screenshot(tmp_path / "shot.png")
        assert lightness(shot, bright) > lightness(shot, dark) + 80
    desktop.point_at("h1")
    shot = desktop.screenshot(tmp_path / "shot.png")
    assert lightness(shot, left) > 240 and lightness(shot, right) > 240


def test_hostile_text_is_shown_not_run(desktop: Browser, picture: Draw, tmp_path: Path) -> None:
    shown = entry(picture("a'\"><b>.jpg"), [HOSTILE], [0.5], (HOSTILE,))
    write_gallery(page_of([shown], title="Mine", notes=[HOSTILE]), tmp_path / "p.html")
    desktop.open(tmp_path / "p.html")
    assert desktop.run("return document.title") == "Mine"
    assert desktop.texts(".references li") == [HOSTILE]
    assert desktop.texts(NAMES) == ["a'\"><b>.jpg"]


def test_a_long_page_is_built_piece_by_piece(desktop: Browser, picture: Draw, tmp_path: Path) -> None:
    path = picture("a.jpg")
    write_gallery(page_of([entry(path, [f"word{i}"], [i / 100]) for i in range(300)]), tmp_path / "p.html")
    desktop.open(tmp_path / "p.html")
    assert len(desktop.texts("article")) < 300
    assert desktop.texts("#count") == ["300 pictures"]
    desktop.run("document.getElementById('more').click()")
    for _ in range(10):
        desktop.run("scrollTo(0, document.body.scrollHeight)")
        desktop.run("document.getElementById('more').click()")
    assert len(desktop.texts("article")) == 300


def test_fits_a_phone_whatever_is_in_it(phone: Browser, picture: Draw, tmp_path: Path) -> None:
    long = "antidisestablishmentarianism" * 3
    shown = entry(picture(f"{long}.jpg", 30, 300), [long, f"a {long}"], [0.1, 0.2], (long,))
    systems = [(long, "runs/a"), (f"{long}/b", long)]
    figures = [[f"some figure {i}", "0.1234", "0.1234"] for i in range(14)]
    write_gallery(page_of([shown], systems=systems, figures=figures, title=long, notes=[long]), tmp_path / "p.html")
    phone.open(tmp_path / "p.html")
    assert phone.run("return document.documentElement.scrollWidth") == 400
    assert phone.run(SCROLLING) == []
    height = phone.run("return document.querySelector('img').getBoundingClientRect().height")
    assert 300 < height <= 420


def test_answers_a_tap_on_a_phone(phone: Browser, compared: Path) -> None:
    phone.open(compared)
    cards = phone.run("return [...document.querySelectorAll('article')].map(e => e.getBoundingClientRect().width)")
    assert all(360 < width <= 400 for width in cards)
    phone.point_at("article:first-child .w", kind="touch")
    assert phone.texts("#tip:not([hidden])") == ["a: 50 %"]
    place = "const r = document.getElementById('tip').getBoundingClientRect(); return [r.left, r.right]"
    left, right = phone.run(place)
    assert 0 <= left < right <= 400


def test_on_a_phone_names_that_begin_alike_and_every_figure_are_whole(
    phone: Browser, picture: Draw, tmp_path: Path
) -> None:
    long = "data.shapes.train_pictures-60__data.shapes.val_pictures-12__decoder.hidden_size-"
    shown = entry(picture("a.jpg"), ["a dog", "a cat"], [0.1, 0.2])
    figures = [[f"figure {i}", f"0.1{i}", f"0.2{i}"] for i in range(12)]
    systems = [(f"{long}{size}", "") for size in (32, 64)]
    write_gallery(page_of([shown], systems=systems, figures=figures), tmp_path / "p.html")
    phone.open(tmp_path / "p.html")
    assert phone.run(SCROLLING) == []
    seen = phone.run("return document.body.innerText")
    assert all(seen.count(f"{long}{size}") >= 2 for size in (32, 64))  # above, and at the caption
    edges = phone.run("return [...document.querySelectorAll('#figures td')].map(e => e.getBoundingClientRect().right)")
    assert len(edges) == 24 and 0 < min(edges) <= max(edges) <= 400
