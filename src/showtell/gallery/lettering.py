"""Text on pictures in whatever script a caption is: Pillow's own font has ASCII only, the rest is the system's.

Letters that Pillow's font lacks are looked for in the installed fonts. A font tells that it lacks a letter by drawing
the same box as for a code point that nobody has. A line may take several fonts, one after the other; a font is left
only where it lacks a letter, so that scripts which join their letters, or run from right to left, stay together.
"""

import os
import sys
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import ImageDraw, ImageFont

_NOWHERE = "\U0010fffe"
_PLAINER_LAST = (
    "bold",
    "italic",
    "oblique",
    "light",
    "thin",
    "black",
    "condensed",
    "mono",
    "serif",
    "medium",
    "display",
)
_FOLDERS = {
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": ("%WINDIR%/Fonts", "%LOCALAPPDATA%/Microsoft/Windows/Fonts"),
}
_UNIX = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
Font = ImageFont.FreeTypeFont
_told: set[str] = set()


class Lettering:
    """Draws and measures text at a size in pixels."""

    def __init__(self, size: int, text: str = "") -> None:
        """`text` is all that will be drawn; its letters choose the fonts."""
        default = ImageFont.load_default(size)
        self._fonts: list[Font] = [default] if isinstance(default, Font) else []
        wanted = frozenset(letter for letter in text if not letter.isascii())
        self._fonts += [ImageFont.truetype(file, size) for file in fonts_for(wanted)]
        # one that has all is better than two in a word
        self._fonts.sort(key=lambda font: not all(has_letter(font, letter) for letter in text))

    def width(self, text: str) -> float:
        """In pixels."""
        return sum(font.getlength(run) for font, run in self._runs(text))

    def draw(
        self, draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, fill: tuple[int, int, int]
    ) -> None:
        """Writes one line; `place` is its left upper corner."""
        x, y = place
        ascent = self._fonts[0].getmetrics()[0]
        for font, run in self._runs(text):
            draw.text((x, y + ascent), run, fill=fill, font=font, anchor="ls")
            x += font.getlength(run)

    def wrapped(self, text: str, width: float) -> list[str]:
        """Lines of at most `width` pixels, broken at blanks; within a word only where it is longer, as in Chinese."""
        lines: list[str] = []
        for paragraph in text.splitlines():
            line = ""
            for word in paragraph.split():
                joined = f"{line} {word}" if line else word
                if self.width(joined) <= width:
                    line = joined
                    continue
                lines += [line] if line else []
                line = word
                while self.width(line) > width and len(line) > 1:
                    fits = max(1, next(n for n in range(len(line), -1, -1) if n < 2 or self.width(line[:n]) <= width))
                    lines.append(line[:fits])
                    line = line[fits:]
            lines += [line] if line else []
        return lines

    def _runs(self, text: str) -> list[tuple[Font, str]]:
        """Pieces of the text with their fonts."""
        runs: list[tuple[Font, str]] = []
        for letter in text:
            current = runs[-1][0] if runs else self._fonts[0]
            font = next((font for font in (current, *self._fonts) if has_letter(font, letter)), current)
            if runs and font is current:
                runs[-1] = (font, runs[-1][1] + letter)
            else:
                runs.append((font, letter))
        return runs


@cache
def fonts_for(letters: frozenset[str]) -> Sequence[Path]:
    """Files of fonts that have these letters between them; what no font has is said once, in one line."""
    missing = {letter for letter in letters if unicodedata.category(letter)[0] not in "CMZ"}
    chosen: list[Path] = []
    while missing:
        file, had = _widest(missing)
        if not had:
            break
        chosen.append(file)
        missing -= had
    if unknown := "".join(sorted(missing - _told)):
        _told.update(unknown)
        print(
            f"note: no installed font has {unknown[:20]!r}, drawn as boxes on pictures; install one such as Noto Sans",
            file=sys.stderr,
        )
    return chosen


def _widest(letters: set[str]) -> tuple[Path, set[str]]:
    """The plainest font that has all these letters, or else the one that has most of them."""
    best: tuple[Path, set[str]] = (Path(), set())
    for file, font in _installed():
        had = {letter for letter in letters if has_letter(font, letter)}
        if len(had) > len(best[1]):
            best = file, had
        if had == letters:
            break
    return best


@cache
def _installed() -> Sequence[tuple[Path, Font]]:
    """The system's fonts, plain upright ones first."""
    files: list[Path] = []
    for folder in _FOLDERS.get(sys.platform, _UNIX):
        for place, _, names in os.walk(os.path.expandvars(os.path.expanduser(folder))):
            files += [Path(place, name) for name in names if name.lower().endswith((".ttf", ".otf", ".ttc"))]
    fonts = []
    for file in sorted(files, key=_plainness):
        try:
            fonts.append((file, ImageFont.truetype(file, 16)))
        except OSError:  # pictures of letters in one size, or a damaged file
            continue
    return fonts


def _plainness(file: Path) -> tuple[int, int, str]:
    name = file.name.lower()
    return sum(word in name for word in _PLAINER_LAST), len(name), name


def has_letter(font: Font, letter: str) -> bool:
    """Whether the font draws it as more than its sign for letters that it lacks."""
    if not letter.isprintable() or letter.isspace():
        return True
    return _drawn(font, letter) not in (_drawn(font, _NOWHERE), b"")


@cache
def _drawn(font: Font, letter: str) -> bytes:
    mask = font.getmask(letter)
    return bytes(mask) and bytes(str(mask.size), "ascii") + bytes(mask)
