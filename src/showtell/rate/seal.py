"""What a rating page must carry and its reader must not see: whose captions these are.

Obscured, not secret: who reads this file, or the captions' own files, can find out. It keeps a fair rater blind who
looks at the page, its source and the ratings.
"""

import base64
import hashlib
import json
from typing import Any

from showtell.files import parsed_json


def seal(value: object, page: str) -> str:
    """JSON, mixed with bytes that follow from the page's id, as text."""
    return base64.b64encode(_mixed(json.dumps(value).encode(), page)).decode()


def unseal(text: str, page: str) -> Any:
    """What was sealed.

    Raises:
        ValueError: it was not, or for another page.
    """
    return parsed_json(_mixed(base64.b64decode(text, validate=True), page))


def _mixed(content: bytes, page: str) -> bytes:
    stream = hashlib.shake_256(f"showtell.rate {page}".encode()).digest(len(content))
    return bytes(a ^ b for a, b in zip(content, stream, strict=True))
