"""Settings of the service, and the limits that it publishes in its OpenAPI description."""

import hashlib
import hmac
import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path

from lite_llm4rec.errors import ConfigError

MAX_BODY_BYTES = 4 * 2**20
MAX_ID_LENGTH = 256
PLAIN = r"^[^\x00-\x1f\x7f]*$"  # no control characters, which no address can hold
MAX_TEXT_LENGTH = 4_000
MAX_HISTORY = 10_000
MAX_K = 1_000
MAX_BATCH = 256  # requests in one call
MAX_BATCH_IDS = 100_000  # entries of history, exclude and only, in all its requests
MAX_LISTED = 30_000  # items that one answer lists
MAX_CHANGES = 1_000  # items or events in one call
MAX_FIELDS = 64
MAX_VECTOR = 8_192
MAX_TEXTS = 64  # texts in one request

KEYS_VARIABLE = "LITE_LLM4REC_API_KEYS"


@dataclass(frozen=True)
class Settings:
    """What the operator chooses.

    Attributes
    ----------
    folder : Path
        The run folder; a link to one may be turned to another and reloaded.
    database : str
        SQLAlchemy URL of the events and catalogue changes.
    host : str
    port : int
    keys : frozenset of str
        SHA-256 digests of the API keys; without any, everybody who reaches the port may ask.
    keep_days : float, optional
        Events older than this are deleted.
    queue : int
        How many requests may wait for the model; more are refused.
    batch : int
        How many of them go into one call of the model.
    wait : float
        Seconds that a call of the model waits for more requests.
    timeout : float
        Seconds that a request waits for its answer.
    grace : float
        Seconds that requests in flight have to end at a shutdown.
    device : str
        "cpu" or "cuda", where the model ranks.
    local_only : bool
        Refuse what a web page of another site asks, or under another name than this machine's.
    """

    folder: Path
    database: str
    host: str = "127.0.0.1"
    port: int = 8000
    keys: frozenset[str] = frozenset()
    keep_days: float | None = None
    queue: int = 1024
    batch: int = 64
    wait: float = 0.001
    timeout: float = 10.0
    grace: float = 20.0
    device: str = "cpu"
    local_only: bool = False


def database_url(given: str | None, state: Path | None, folder: Path) -> str:
    """Name the database: the URL as given, or a SQLite file in the state folder.

    The state folder lies beside the run folder by default, never in it: a new run replaces that.

    >>> database_url("postgres://me@host/db", None, Path("runs/mine"))
    'postgresql+psycopg://me@host/db'
    """
    if given:
        return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", given)
    state = state or Path(f"{os.path.abspath(folder)}.state")  # of "." too
    return f"sqlite:///{state / 'state.db'}"


def read_keys(lines: str) -> frozenset[str]:
    """Read API keys, one a line or comma-separated, into their digests; `#` begins a comment.

    Raises
    ------
    ConfigError
        When a key is too short to be secret, or holds what no header carries as it is.
    """
    plain = [line.partition("#")[0] for line in lines.splitlines()]
    keys = [key for line in plain for key in re.split(r"[\s,]+", line) if key]
    if any(len(key) < 16 for key in keys):
        raise ConfigError(
            "An API key is shorter than 16 characters.",
            'Make one: python -c "import secrets; print(secrets.token_urlsafe(32))"',
        )
    if any(not re.fullmatch(r"[!-~]+", key) for key in keys):
        raise ConfigError(
            "An API key holds other characters than ASCII's letters, digits and signs.",
            "Clients would send them in several ways, and none be let in: make another key.",
        )
    return frozenset(map(digest, keys))


def digest(key: str) -> str:
    """Hash an API key, so that comparing takes the same time whatever its length."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def is_key(given: str, keys: frozenset[str]) -> bool:
    """Whether what was given is one of the keys; every one is compared, whichever fits."""
    mine = digest(given)
    return any([hmac.compare_digest(mine, key) for key in keys])


def check_bind(host: str, keys: frozenset[str], unprotected: bool) -> None:
    """See that nothing is open to the network by accident.

    Raises
    ------
    ConfigError
        When `host` is more than this machine and there are no keys.
    """
    if keys or unprotected or is_local(host):
        return
    raise ConfigError(
        f"Bound to {host}, the service could be asked and changed by whoever reaches the port.",
        f"Set keys (${KEYS_VARIABLE} or --api-keys FILE), or say --unprotected where something"
        " else guards it.",
    )


def is_local(host: str) -> bool:
    """Whether a host name or address is this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
