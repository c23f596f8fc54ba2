"""Run folders on the Hugging Face Hub: upload and download, nothing else."""

from pathlib import Path
from typing import Any

from lite_llm4rec.errors import DownloadError, MissingExtraError


def download(name: str, revision: str | None = None) -> Path:
    """Return the folder of a run: `name` itself if it is one, else fetched from the Hub.

    Raises
    ------
    DownloadError
        When the Hub cannot be reached or has no such repository.
    """
    if Path(name).is_dir():
        return Path(name)
    hub = _hub()
    try:
        return Path(hub.snapshot_download(name, revision=revision))
    except Exception as error:  # which HTTP client's errors come depends on the Hub's version
        raise DownloadError(
            f"'{name}' is no local folder and the Hub did not give it: {_first_line(error)}",
            "Check the name and the network, or pass the path of a run folder.",
        ) from error


def upload(folder: Path, name: str, *, private: bool, token: str | None) -> str:
    """Upload a run folder as the repository `name` and return its address.

    Raises
    ------
    DownloadError
        When the Hub cannot be reached or refuses, or has a public repository of that name where a
        private one is asked for.
    """
    hub = _hub()
    api = hub.HfApi(token=token)
    try:
        repository = api.create_repo(name, private=private, exist_ok=True)
        shown = private and not api.repo_info(repository.repo_id).private
    except Exception as error:  # as in `download`
        raise _refused(name, error) from error
    if shown:
        raise DownloadError(
            f"The repository '{name}' is there already, and public.",
            "Make it private in its settings, or push without private=True.",
        )
    try:
        api.upload_folder(
            repo_id=repository.repo_id,
            folder_path=folder,
            commit_message="lite-llm4rec run folder",
            delete_patterns="*",  # what an earlier run had and this one has not, as an index
        )
    except Exception as error:  # as in `download`
        raise _refused(name, error) from error
    return str(repository)


def _refused(name: str, error: Exception) -> DownloadError:
    return DownloadError(
        f"The Hub did not take '{name}': {_first_line(error)}",
        "Check the network and that you are logged in: hf auth login",
    )


def _hub() -> Any:
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise MissingExtraError("huggingface_hub", "hub", "The Hub") from error
    return huggingface_hub


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
