"""Download a model from the hub: config, safetensors and tokenizer, never pickles."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ..errors import InputError

WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "README.md", "LICENSE*", "*.py"]


def download(name: str, revision: str | None) -> tuple[Path, str]:
    """The local folder and commit of a hub model. Raises InputError, in one line, where it cannot be had."""
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=WANTED))
    except GatedRepoError as error:
        raise InputError(
            f"{name}: is gated on the hub; accept its licence there and log in with `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise InputError(f"{name}: the hub has no revision '{revision}' of it") from error
    except RepositoryNotFoundError as error:
        raise InputError(f"{name}: neither a local file or folder nor a model on the hub") from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise InputError(
            f"{name}: no local file or folder of that name, and the hub could not be reached "
            f"({type(error).__name__}); check the name or the network"
        ) from error
    return folder, folder.name
