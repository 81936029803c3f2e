"""This file is how an export gets to the hub."""

import re
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from erase.errors import BadInput


def check(name: str) -> None:
    """BadInput for what cannot be the name of a repository."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise BadInput(f"push={name} is not the name of a repository on the hub: <who>/<what>.")


def push(folder: Path, name: str) -> str:
    """Put all of `folder` into the repository `name`, which is made, private, where there is none; returns its address.

    BadInput, and the folder stays, where the hub does not take it.
    """
    hub, again = HfApi(), f"{folder} is written: `hf upload {name} {folder}`"
    try:
        address = hub.create_repo(name, exist_ok=True, private=True)
        hub.upload_folder(repo_id=name, folder_path=folder)
    except HfHubHTTPError as e:
        status = e.response.status_code
        raise BadInput(f"push={name}: the hub refuses ({status}); `hf auth login` says who you are, and {again}.") from e
    except ValueError as e:
        raise BadInput(f"push={name}: the hub does not take this: {str(e).strip().splitlines()[0]}; {again}.") from e
    except Exception as e:  # of whatever library the hub's client uses
        raise BadInput(f"push={name}: the hub cannot be reached; {again} where it can.") from e
    return str(address)
