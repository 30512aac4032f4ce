"""Files of a language model: a folder, or a repository of the hub, of which three files are read and nothing is run."""

import warnings
from pathlib import Path
from typing import Any

import torch

from showtell.errors import UserError
from showtell.files import parsed_json
from showtell.models.hub import HubError, fetched_file

DESCRIBED = ("config.json", "tokenizer.json")
WEIGHTS = "model.safetensors"


def read_files(model: str) -> dict[str, str]:
    """`config.json` and `tokenizer.json`.

    Raises:
        UserError: they are not there, or cannot be fetched.
    """
    return {name: model_file(model, name).read_text(encoding="utf-8") for name in DESCRIBED}


def model_folder(model: str) -> Path:
    """The folder with all files; those of the hub are fetched once into its own cache."""
    files = [model_file(model, name) for name in (*DESCRIBED, WEIGHTS)]
    return files[0].parent


def model_file(model: str, name: str) -> Path:
    """One file; errors as `read_files`."""
    folder = Path(model).expanduser()
    by_hand = f"put {', '.join((*DESCRIBED, WEIGHTS))} into a folder and give decoder.model=FOLDER"
    if folder.is_dir():
        if not (folder / name).is_file():
            raise UserError(f"decoder.model={model}: {name} is not in that folder; {by_hand}")
        return folder / name
    if model.count("/") > 1 or model.startswith((".", "/", "~")):
        raise UserError(f"decoder.model={model}: there is no such folder; {by_hand}")
    try:
        return fetched_file(model, name)
    except HubError as reason:
        raise UserError(f"decoder.model={model}: {name} cannot be fetched from the hub ({reason}); {by_hand}") from None


def architecture(content: str, model: str) -> Any:
    """The settings of a language model, of its `config.json`; code that it names is not run.

    Raises:
        UserError: transformers is not installed, or does not know the model.
    """
    try:
        from transformers import AutoConfig
    except ModuleNotFoundError:
        raise UserError("decoder=prefix needs transformers, which is not installed; pip install '.[prefix]'") from None
    try:
        told = parsed_json(content)
        told = {key: value for key, value in told.items() if key not in ("auto_map", "_name_or_path")}
        return AutoConfig.for_model(**told)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"decoder.model={model}: its config.json describes no language model that transformers knows ({reason}); "
            "give one such as distilbert/distilgpt2"
        ) from None


def language_model(source: Any) -> Any:
    """A causal language model in float32: random by its settings, or with the weights of a folder.

    Raises:
        UserError: they are of no causal language model, or the file is damaged.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    plain = {"trust_remote_code": False, "dtype": torch.float32}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what transformers deprecates of itself
            if isinstance(source, Path):
                return AutoModelForCausalLM.from_pretrained(
                    source, use_safetensors=True, local_files_only=True, **plain
                )
            return AutoModelForCausalLM.from_config(source, **plain)  # type: ignore[no-untyped-call]
    except Exception as error:  # the library's own, and safetensors'
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"decoder.model: no causal language model ({reason}); give another one") from None
