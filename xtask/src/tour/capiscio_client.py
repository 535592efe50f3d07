"""A request's signature by CapiscIO's public client, used as its documents say.

Takes a folder to work in; prints one JSON object with the header's value, the kid and
the public key.
"""

import base64
import json
import sys

from capiscio_sdk.simple_guard import SimpleGuard
from cryptography.hazmat.primitives import serialization


def main():
    guard = SimpleGuard(base_dir=sys.argv[1], dev_mode=True)
    headers = guard.make_headers({"sub": "find a flight"})
    pem = (guard.trusted_dir / f"{guard.signing_kid}.pem").read_bytes()
    key = serialization.load_pem_public_key(pem).public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw
    )
    made = {
        "jws": headers["X-Capiscio-JWS"],
        "kid": guard.signing_kid,
        "public_key": base64.b64encode(key).decode(),
    }
    print(json.dumps(made))


main()
