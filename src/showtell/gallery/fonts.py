"""Which font draws a text: Pillow's own has Latin letters alone, for others one of this machine is looked for."""

import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Mapping

from PIL import ImageFont

_LAST_LATIN = "\u024f"
_found: dict[frozenset[str], str | None] = {}  # by the scripts of a text


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font with the letters of a text; says so once for letters of which there is none."""
    foreign = {_script(letter): letter for letter in text if letter > _LAST_LATIN and letter.isalpha()}
    scripts = frozenset(foreign)
    if foreign and scripts not in _found:
        _found[scripts] = _font_file(foreign)
    file = _found.get(scripts)
    return ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)


def _script(letter: str) -> str:
    """`CJK`, `THAI`, `DEVANAGARI`, ...: how the letter's name begins."""
    return unicodedata.name(letter, "OTHER").partition(" ")[0]


def _font_file(letters: Mapping[str, str]) -> str | None:
    """The best font that fontconfig knows with one letter of each script."""
    wanted = f"charset={' '.join(f'{ord(letter):x}' for letter in letters.values())}"
    files = _fontconfig("fc-list", "--format=%{file}\n", f":{wanted}").splitlines()
    if not files:
        told = ", ".join(sorted(letters))
        line = f"note: fc-list knows no font with {told} letters; install one to see them in drawn pictures"
        print(line, file=sys.stderr)
        return None
    best = _fontconfig("fc-match", "--format=%{file}", f"sans:{wanted}")
    return best if best in files else min(files)


def _fontconfig(program: str, *words: str) -> str:
    if not shutil.which(program):
        return ""
    return subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=30).stdout
