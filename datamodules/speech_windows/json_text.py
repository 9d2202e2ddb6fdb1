"""JSON as it is written beside windows."""

import json
from typing import Any

import msgspec


def encoded(content: Any) -> bytes:
    """JSON without blanks."""
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError:  # the name of a file that is no UTF-8
        return json.dumps(content, separators=(",", ":")).encode()
