"""Draws docs/images/demo.jpg, the README's picture, from a run of the demo: `python benchmarks/readme_picture.py RUN`.

On top some validation pictures with their captions, below where the decoder looked for each word of one of them. With
`--gallery PAGE`, of predict.py, docs/images/gallery.png: the top of that page, by Chromium.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

import showtell
from showtell.data.images import picture_pixels
from showtell.data.shapes import load_scenes
from showtell.data.shapes.truth import is_true
from showtell.gallery.drawing import attention_sheet, caption_card, contact_sheet
from showtell.prediction.captioner import Captioned

OUTPUT = Path(__file__).parents[1] / "docs/images/demo.jpg"
GALLERY = OUTPUT.with_name("gallery.png")
CARDS, WIDTH, WORDS = 4, 242, 11


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run of the demo")
    parser.add_argument("--root", type=Path, default=Path("data/shapes"), help="where its pictures lie (%(default)s)")
    parser.add_argument("--gallery", type=Path, metavar="PAGE", help="a page of the run; draws that instead")
    options = parser.parse_args()
    if options.gallery:
        screenshot(options.gallery)
        return
    captioner = showtell.load(options.run)
    chosen = true_and_various(captioner.caption(sorted((options.root / "val").glob("*.jpg"))[:200]), options.root)
    cards = [caption_card(picture_pixels(one.path), one.captions[0], width=WIDTH) for one in chosen]
    longest = max((one for one in chosen if len(one.words[0]) <= WORDS), key=lambda one: len(one.words[0]))
    maps = captioner.look(longest)
    assert maps is not None
    looked = attention_sheet(picture_pixels(longest.path), longest.words[0], maps, side=160)
    picture = contact_sheet([contact_sheet(cards), looked], columns=1, gap=0)
    OUTPUT.parent.mkdir(exist_ok=True)
    picture.save(OUTPUT, quality=82, optimize=True, progressive=True)
    print(f"{OUTPUT}: {picture.width} x {picture.height}, {OUTPUT.stat().st_size / 1000:.0f} KB")


def screenshot(page: Path) -> None:
    """The top of a page, in 128 colours."""
    with tempfile.TemporaryDirectory() as folder:
        told = [f"--screenshot={folder}/page.png", "--window-size=1100,760", page.resolve().as_uri()]
        subprocess.run(["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", *told], check=True)
        Image.open(f"{folder}/page.png").convert("RGB").quantize(128).save(GALLERY, optimize=True)
    print(f"{GALLERY}: {GALLERY.stat().st_size / 1000:.0f} KB")


def true_and_various(captioned: list[Captioned], root: Path) -> list[Captioned]:
    """The first wholly true captions of several things, each of others and in front of another background."""
    scenes, chosen, shown = load_scenes(root, "val"), [], set()
    for one in captioned:
        scene = scenes[int(one.path.stem.rpartition("_")[2])]
        kinds = {thing["kind"] for thing in scene["objects"]}
        told = {scene["background"], *kinds}
        if len(kinds) > 1 and not told & shown and is_true(one.captions[0], scene):
            chosen.append(one)
            shown |= told
    return chosen[:CARDS]


if __name__ == "__main__":
    main()
