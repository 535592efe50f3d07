"""The real SimpleGuard (capiscio-sdk 0.3) as a process: a JSON object a line in, one out."""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any, Optional
from unittest import mock

import httpx
from capiscio_sdk.errors import VerificationError
from capiscio_sdk.simple_guard import SimpleGuard


def body_of(text: Optional[str]) -> Optional[bytes]:
    return None if text is None else base64.b64decode(text)


def develop(folder: str) -> dict[str, Any]:
    """Development mode: keys, agent card and self-trust are made in ``folder``."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    guard = SimpleGuard(base_dir=folder, dev_mode=True)
    return {"agent_id": guard.agent_id, "kid": guard.signing_kid}


def sign(folder: str, payload: dict[str, Any], body: Optional[str], clock: int = 0) -> dict[str, Any]:
    """The headers for a request, by an agent whose clock is ``clock`` seconds ahead."""
    guard = SimpleGuard(base_dir=folder)
    now = time.time() + clock
    with mock.patch("capiscio_sdk.simple_guard.time.time", lambda: now):
        return {"headers": guard.make_headers(payload, body=body_of(body))}


def send(method: str, url: str, headers: dict[str, str], body: Optional[str]) -> dict[str, Any]:
    """Sends a request as an agent would, with httpx."""
    answer = httpx.request(method, url, headers=headers, content=body_of(body), timeout=30)
    return {"status": answer.status_code, "text": answer.text}


def verify(folder: str, jws: str, body: Optional[str]) -> dict[str, Any]:
    """What SimpleGuard says to a signature that someone else made."""
    guard = SimpleGuard(base_dir=folder)
    try:
        return {"payload": guard.verify_inbound(jws, body=body_of(body)), "error": None}
    except VerificationError as error:
        return {"payload": None, "error": str(error)}


OPERATIONS = {"develop": develop, "sign": sign, "send": send, "verify": verify}


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        operation = OPERATIONS[request.pop("op")]
        print(json.dumps(operation(**request)), flush=True)


if __name__ == "__main__":
    main()
