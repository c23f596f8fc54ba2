"""Structured logs: one JSON object a line, with the request's id."""

import logging
import random
import re
import sys
from contextvars import ContextVar

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

log = logging.getLogger("lite_llm4rec.serve")
request_id: ContextVar[str] = ContextVar("request_id", default="")

_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def take_request_id(given: str) -> str:
    """Keep a caller's request id if it is a plain one, else make one."""
    return given if _ID.fullmatch(given) else f"{random.getrandbits(128):032x}"


def set_up_logs(level: int = logging.INFO) -> None:
    """Send this process's logs to standard output as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        JsonFormatter(
            "{levelname}{name}{message}",
            style="{",
            timestamp=True,
            rename_fields={"levelname": "level", "name": "logger"},
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],
        )
    )
    handler.addFilter(_add_request_id)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _add_request_id(entry: logging.LogRecord) -> bool:
    if found := request_id.get():
        entry.request_id = found
    return True
