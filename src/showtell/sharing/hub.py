"""`--push USER/NAME`: a pack on a model hub, with its card and examples beside it, so that its page shows them.

The hub is the one that `huggingface_hub` asks (`HF_ENDPOINT`), as whom its login says (`hf auth login`, or `HF_TOKEN`).
A repository that is new is private, until its owner says otherwise there.
"""

import re
import zipfile
from pathlib import Path

from showtell.checkpointing.pack import CARD, read_pack
from showtell.config import ConfigError
from showtell.errors import UserError, one_line

FILE = "captioner.zip"
"""What a pack is called on the hub."""


def push(pack: Path, name: str) -> list[str]:
    """Sends a pack; returns lines for the terminal.

    Raises:
        UserError: it is no pack, or the hub does not take it; one line.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ConfigError(f"--push {name}: name a repository as USER/NAME")
    read_pack(pack)
    from huggingface_hub import CommitOperationAdd, HfApi

    with zipfile.ZipFile(pack) as archive:
        shown = {one: archive.read(one) for one in archive.namelist() if one.startswith("examples/") or one == CARD}
    operations = [CommitOperationAdd(path, content) for path, content in shown.items()]
    operations.append(CommitOperationAdd(FILE, str(pack)))
    api = HfApi(library_name="showtell")
    try:
        place = api.create_repo(name, private=True, exist_ok=True)
        api.create_commit(place.repo_id, operations, commit_message="A captioner by Showtell")
    except Exception as error:  # its client's own, which changes with the version
        raise UserError(_refused(name, error)) from None
    return [
        f"pushed: {place}; a repository that is new is private until you change that there",
        f"to use it: hf download {name} {FILE} --local-dir .",
    ]


def _refused(name: str, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if status in (401, 403):
        return f"--push {name}: the hub does not let you write there; log in by `hf auth login`, or set HF_TOKEN"
    reason = one_line(str(error))[:200] or type(error).__name__
    return f"--push {name}: the hub did not take it ({reason.rstrip('. ')}); the pack itself is written and whole"
