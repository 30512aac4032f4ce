"""README and docs: links lead somewhere, commands name what is there, and the site builds."""

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from tests.conftest import REPOSITORY

from showtell.config import DecodingConfig
from showtell.config.command_line import options_of_groups
from showtell.config.words import check_flags, read_words

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
OPTIONS = "".join(path.read_text() for path in (REPOSITORY / "src/showtell").glob("*/*.py"))
DECODING = {f"--{one.name.replace('_', '-')}" for one in fields(DecodingConfig)}
each_page = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(REPOSITORY)) for page in PAGES])


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each line of a fenced block, comments left out."""
    blocks = page.read_text().split("```")[1::2]
    for line in (line for block in blocks for line in block.replace("\\\n", " ").splitlines()):
        if re.match(r"(\S*python|\S*pip|torchrun|make) ", line):
            yield shlex.split(line, comments=True)


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    targets = [target for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []
    named = set(re.findall(r"(?<![\w/.-])(?:docs|tests|benchmarks|conf|notebooks)/[\w/]+\.(?:md|py|yaml|ipynb)", text))
    assert sorted(name for name in named if not (REPOSITORY / name).is_file()) == []


@each_page
def test_commands_name_what_is_there(page: Path) -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    groups, targets = options_of_groups(REPOSITORY / "conf"), (REPOSITORY / "Makefile").read_text()
    for program, *words in commands(page):
        if program.endswith("pip"):
            assert {one for word in words for one in re.findall(r"\.\[([\w,]+)\]", word)} <= extras.keys(), words
        elif program == "make":
            assert f"\n{words[0]}:" in targets, words
        elif "train.py" in words:
            own = words[words.index("train.py") + 1 :]
            if "--plugins" not in own and "--help" not in own:
                check_flags(own, groups)
                read_words([word for word in own if word not in ("...",)], groups)
        elif words[0] == "predict.py":
            flags = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--plugins"} - DECODING
            assert sorted(flag for flag in flags if f'"{flag}"' not in OPTIONS) == [], words
        elif words[0] == "-m":
            assert find_spec(words[1]) is not None, words


def test_the_site_s_pages_are_there() -> None:
    content = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text())
    listed = set(re.findall(r"[\w/]+\.md", str(content["nav"])))
    assert listed <= {str(page.relative_to(REPOSITORY / "docs")) for page in PAGES[2:]} and len(listed) > 20


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert "images/demo.jpg" in (tmp_path / "site" / "index.html").read_text()
