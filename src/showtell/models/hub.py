"""A file of a model hub, from this machine's cache or fetched once."""

from pathlib import Path


class HubError(Exception):
    """The hub has no such file, or cannot be reached; says why in one line."""


def fetched_file(repository: str, name: str) -> Path:
    """Where a repository's file lies on this machine.

    Raises:
        HubError: it is not here and cannot be fetched.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    if isinstance(cached := try_to_load_from_cache(repository, name), str):
        return Path(cached)
    try:
        get_hf_file_metadata(hf_hub_url(repository, name))  # asks once; the download tries for half a minute, aloud
        return Path(hf_hub_download(repository, name))
    except Exception as error:  # its client's own, which changes with the version
        raise HubError((str(error).splitlines() or [type(error).__name__])[0]) from None
