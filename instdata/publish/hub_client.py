"""The Hub: its client, its errors as one clear line each, a dataset's snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from instdata.util.errors import BuildError, InputError, InstdataError, MissingExtra

LOGIN = "run `hf auth login`, or set HF_TOKEN to a token that may write (https://huggingface.co/settings/tokens)"


class HubError(InstdataError):
    """The Hub, or the way to it, failed; nothing is half published, and running again resumes."""


def client() -> Any:
    """huggingface_hub's HfApi. Raises MissingExtra."""
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.utils import disable_progress_bars
    except ImportError as e:
        raise MissingExtra("the Hub", "hub") from e
    disable_progress_bars()
    return HfApi()


def writer(api: Any, repo: str) -> str:
    """The user whose token may write. Raises InputError where there is no token, or one that only reads."""
    from huggingface_hub import get_token

    if not get_token():
        raise InputError(f"no Hugging Face token: {LOGIN}")
    with told(repo):
        me = api.whoami()
    if me.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise InputError(f"the Hugging Face token of {me['name']} only reads: {LOGIN}")
    return me["name"]


def snapshot(repo: str, revision: str | None = None) -> Path:
    """The files of a Hub dataset, downloaded where they are not in the client's cache."""
    api = client()
    with told(repo, "Nothing was checked; what was downloaded stays"):
        # Asked by itself: without a network, snapshot_download takes whatever lies in its cache for what is published.
        head = api.repo_info(repo, repo_type="dataset", revision=revision).sha
        return Path(api.snapshot_download(repo, repo_type="dataset", revision=head))


@contextmanager
def told(repo: str, kept: str = "What was uploaded stays") -> Iterator[None]:
    """Turn what the Hub's client raises into one line that says what to do. `kept` is what a broken connection
    leaves."""
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        yield
    except InstdataError:
        raise
    except Exception as e:
        cause = next((x for x in _causes(e) if isinstance(x, HfHubHTTPError)), None)
        lost = next(filter(_is_lost, _causes(e)), None)
        status = getattr(getattr(cause, "response", None), "status_code", None)
        said = (str(cause or lost or e).strip().splitlines() or [type(e).__name__])[-1].rstrip(" .")
        if isinstance(cause, RevisionNotFoundError):
            raise InputError(f"{repo}: no such revision: {said}") from e
        if isinstance(cause, RepositoryNotFoundError):
            raise InputError(f"{repo}: no such repository, or a private one that this token may not read") from e
        if status == 401:
            raise InputError(f"the Hub does not accept this token: {LOGIN}") from e
        if status == 403:
            raise InputError(f"{repo}: this token may not write there: {LOGIN}") from e
        if status == 412:
            raise BuildError(
                f"{repo}: somebody committed in the meantime: nothing was overwritten. Look at it, then push again"
            ) from e
        if status == 409:
            raise HubError(f"{repo}: the Hub reports a conflict ({said}): push again") from e
        if status == 400 or (isinstance(e, ValueError) and cause is None):
            raise InputError(f"{repo}: the Hub refuses it: {said}") from e
        if status is None and lost is not None:
            raise HubError(
                f"{repo}: the Hub could not be reached ({said}). {kept}: check the network, then run the same "
                f"command again"
            ) from e
        if status is not None or isinstance(e, OSError):
            raise HubError(f"{repo}: {said}. {kept}: run the same command again to go on") from e
        raise


def _causes(e: BaseException | None) -> Iterator[BaseException]:
    """An error and those behind it: the client wraps them."""
    while e is not None:
        yield e
        e = e.__cause__


def _is_lost(e: BaseException) -> bool:
    """Whether an error is of the connection: the system's, or of the libraries that the client speaks HTTP with."""
    library = type(e).__module__.partition(".")[0]
    return isinstance(e, (ConnectionError, TimeoutError)) or library.startswith(("httpx", "requests"))
