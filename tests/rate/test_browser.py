"""The rating page in a real browser: keys, sides, going on after closing, saving, hostile captions."""

import json
from pathlib import Path

import pytest
from PIL import Image
from tests.conftest import wait_until
from tests.gallery.conftest import HOSTILE, Browser, desktop, phone  # noqa: F401

from showtell.rate.page import write_page
from showtell.rate.pairs import Draw, Pair
from showtell.rate.ratings import read_rating

LEFT, RIGHT, DOWN, UP, BACKSPACE = "\ue012", "\ue014", "\ue015", "\ue013", "\ue003"


def press(browser: Browser, *keys: str) -> None:
    actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
    browser.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})


@pytest.fixture
def page(tmp_path: Path) -> Path:
    pairs = []
    for place in range(5):
        Image.new("RGB", (300, 200), (50 * place, 90, 90)).save(tmp_path / f"{place}.png")
        swapped = place % 2 == 1
        texts = (f"A{place} {HOSTILE}", f"B{place}")
        pairs.append(Pair(tmp_path / f"{place}.png", texts[::-1] if swapped else texts, swapped))
    write_page(Draw(pairs, 2, []), ("secret one", "secret two"), tmp_path / "rate.html")
    return tmp_path / "rate.html"


def captions(browser: Browser) -> list[str]:
    return browser.texts("#choices span")


def test_keys_rate_go_back_and_are_kept(desktop: Browser, page: Path, tmp_path: Path) -> None:  # noqa: F811
    desktop.open(page)
    assert captions(desktop) == [f"A0 {HOSTILE}", "B0"] and desktop.texts("#count") == ["0 of 5 rated"]
    press(desktop, LEFT, RIGHT)
    assert captions(desktop) == [f"A2 {HOSTILE}", "B2"] and desktop.texts("#count") == ["2 of 5 rated"]
    press(desktop, DOWN, BACKSPACE, UP)
    assert captions(desktop) == ["B1", f"A1 {HOSTILE}"]
    assert desktop.run("return document.querySelector('#right').className") == "on"
    press(desktop, LEFT)

    def goes_on() -> bool:
        desktop.open(page)
        return desktop.texts("#count") == ["3 of 5 rated"]

    assert wait_until(goes_on)  # what a page kept reaches the next one through another process of the browser
    assert captions(desktop) == ["B3", f"A3 {HOSTILE}"] and desktop.texts("#count") == ["3 of 5 rated"]
    desktop.run("document.getElementById('equal').click(); document.getElementById('right').click()")
    assert desktop.run("return [document.getElementById('task').hidden, document.getElementById('done').hidden]") == [
        True, False,
    ]  # fmt: skip
    assert desktop.run("return document.title") == "Which caption is better?"
    # what the page saves, caught where the browser would write it
    desktop.run(
        "window.saved = null; const made = URL.createObjectURL; HTMLAnchorElement.prototype.click = function () {};"
        "URL.createObjectURL = blob => { blob.text().then(text => { window.saved = text; }); return made(blob); };"
        "document.getElementById('rater').value = 'ME'; document.getElementById('save').click()"
    )
    saved = wait_until(lambda: desktop.run("return window.saved"))
    (tmp_path / "saved.json").write_text(saved)
    found = read_rating(tmp_path / "saved.json")
    assert found.rater == "ME" and found.systems == ("secret one", "secret two") and found.identical == 2
    assert found.votes == {0: 1, 1: 0, 2: 0.5, 3: 0.5, 4: 0}
    assert "secret" not in json.dumps({**json.loads(saved), "seal": ""}) and "secret" not in page.read_text()


def test_typing_a_name_rates_nothing(desktop: Browser, page: Path) -> None:  # noqa: F811
    desktop.open(page)
    before = desktop.texts("#count")
    desktop.run("document.getElementById('rater').focus()")
    press(desktop, "a", BACKSPACE, LEFT)
    assert desktop.texts("#count") == before


def test_fits_a_phone(phone: Browser, page: Path) -> None:  # noqa: F811
    phone.open(page)
    assert phone.run("return document.documentElement.scrollWidth") == 400
    phone.run("document.getElementById('left').click()")
    assert phone.texts("#count") == ["1 of 5 rated"]
