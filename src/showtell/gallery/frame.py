"""What all pages share: each is one file of template, style, script, data and pictures, with no outside address.

Captions and file names are anybody's text. They travel as JSON in which no `<` is left, so none can close its script
element; the page's script puts them in place as text, never as markup; and the page's policy lets only this very
script run and forbids every connection.
"""

import base64
import hashlib
import html
import json
from importlib.resources import files


def frame(name: str, title: str) -> tuple[str, str]:
    """A page before and after its data: `frame.html` and `frame.js`, which all have, with `NAME.html` and `NAME.js`.

    Its style is `page.css`, and `NAME.css` on top of it.
    """
    folder = files("showtell.gallery")
    layers = dict.fromkeys(["page.css", f"{name}.css"]), ["frame.js", f"{name}.js"]
    style, script = ("".join(folder.joinpath(file).read_text(encoding="utf-8") for file in group) for group in layers)
    template, body = (folder.joinpath(f"{one}.html").read_text(encoding="utf-8") for one in ("frame", name))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    for place, text in (
        ("BODY", body),
        ("POLICY", digest),
        ("STYLE", style),
        ("SCRIPT", script),
        ("TITLE", html.escape(title)),
    ):
        template = template.replace(f"{{{{{place}}}}}", text)
    before, _, after = template.partition("{{DATA}}")
    return before, after


def safe_json(value: object) -> str:
    """JSON in ASCII that cannot end the script element it stands in."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
