"""The page of `predict.py RUN --serve`, in a real browser."""

from pathlib import Path

import pytest
from PIL import Image
from tests.conftest import wait_until
from tests.gallery.conftest import Browser


def give(browser: Browser, picture: Path) -> None:
    """Chooses a picture."""
    field = browser.call("POST", "/element", {"using": "css selector", "value": "#file"})
    (number,) = field.values()
    browser.call("POST", f"/element/{number}/value", {"text": str(picture)})


@pytest.mark.parametrize("kind", ["desktop", "phone"])
def test_pictures_are_captioned_on_it(kind, request, server, tmp_path):
    browser: Browser = request.getfixturevalue(kind)
    Image.new("RGB", (300, 200), "red").save(tmp_path / "red.png")
    (tmp_path / "not.png").write_bytes(b"no picture")
    browser.call("POST", "/url", {"url": server.url})
    wait_until(lambda: browser.texts("#state") == ["Ready."])
    assert "Pictures go to the server" in browser.texts("#facts")[0] and "By " in browser.texts("#about")[0]
    give(browser, tmp_path / "red.png")
    wait_until(lambda: browser.texts("#caption button"))
    assert len(browser.texts("#others li")) == 2  # captions
    assert not browser.run("return document.querySelector('#map').classList.contains('lit')")
    browser.point_at("#caption button", "touch" if kind == "phone" else "mouse")
    wait_until(lambda: browser.run("return document.querySelector('#map').classList.contains('lit')"))
    width, room = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
    assert width <= room
    give(browser, tmp_path / "not.png")
    wait_until(lambda: "no picture by its content" in browser.texts("#state")[0])
