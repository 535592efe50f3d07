"""http-message-signatures (RFC 9421) as a process: a JSON object a line in, one out."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import sys
from types import SimpleNamespace
from typing import Any, Optional

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    MappingKeyResolver,
    algorithms,
)
from http_message_signatures.structures import CaseInsensitiveDict


def message(method: str, url: str, headers: list[list[str]]) -> SimpleNamespace:
    """A request as the package takes it; lines of one name are joined, as it asks for."""
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return SimpleNamespace(method=method, url=url, headers=CaseInsensitiveDict(joined))


def body_of(text: Optional[str]) -> Optional[bytes]:
    return None if text is None else base64.b64decode(text)


def time_of(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.timezone.utc)


def sign(
    request: dict[str, Any],
    body: Optional[str],
    digests: list[str],
    seed: str,
    key_id: str,
    created: int,
    expires: Optional[int],
    nonce: str,
    components: list[str],
    beside: bool,
) -> dict[str, Any]:
    """A request's headers with its proof, and perhaps with another signature before it."""
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
    resolver = MappingKeyResolver(public_keys={}, private_keys={key_id: key, "other": key})
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=resolver)
    signed = message(**request)
    if beside:
        signer.sign(signed, key_id="other", label="proxy", tag="proxy", covered_component_ids=("@authority",))
    content = body_of(body)
    if content is not None:
        # The package makes digests of one algorithm only.
        made = [(name, hashlib.new(name.replace("-", ""), content).digest()) for name in digests]
        parts = [f"{name}=:{base64.b64encode(digest).decode()}:" for name, digest in made]
        signed.headers["Content-Digest"] = ", ".join(parts)
    signer.sign(
        signed,
        key_id=key_id,
        created=time_of(created),
        expires=None if expires is None else time_of(expires),
        nonce=nonce,
        label="agent",
        tag="agent-proof",
        covered_component_ids=components,
        append_if_signature_exists=beside,
        **({} if content is None else {"body": content, "use_existing_digest": True}),
    )
    return {"headers": list(signed.headers.items())}


def verify(
    request: dict[str, Any], body: Optional[str], public_key: str, key_id: str, components: list[str]
) -> dict[str, Any]:
    """What the package says to a request with a proof; the nonce, or why not."""
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
    resolver = MappingKeyResolver(public_keys={key_id: key}, private_keys={})
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=resolver)
    try:
        (result,) = verifier.verify(
            message(**request),
            expect_label="agent",
            expect_tag="agent-proof",
            require_components=components,
            body=b"" if body is None else body_of(body),
        )
    except Exception as error:
        return {"nonce": None, "error": repr(error)}
    return {"nonce": result.nonce, "error": None}


OPERATIONS = {"sign": sign, "verify": verify}


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        operation = OPERATIONS[request.pop("op")]
        print(json.dumps(operation(**request)), flush=True)


if __name__ == "__main__":
    main()
