"""What the real client's verifier says, and why a gate should be stricter.

``features`` is written from the format's description, not from the gate's code: it
names what a text has that Modei's own verifier lets pass and a gate must not.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import json
import math
import re
from typing import Any, Iterator, Optional

from modei.passport import PassportVerifier, derive_self_agent_id

VERIFIER = PassportVerifier()

# Constraints that are compared as numbers, where true is refused already.
NUMERIC = [
    "max_daily_cost",
    "max_per_action_cost",
    "max_total_cost",
    "rate_limit_per_hour",
    "rate_limit_per_minute",
]


def verdict(text: bytes) -> str:
    """``valid``, a reason code, ``unreadable`` where no application would get as far as
    the verifier, or ``crash:`` and the exception."""
    try:
        passport = json.loads(text)
        envelope, signature = passport["passport_json"], passport["signature"]
    except Exception:
        return "unreadable"
    try:
        result = VERIFIER.verify(envelope, signature)
    except Exception as problem:
        return f"crash:{type(problem).__name__}"
    return "valid" if result.valid else str(result.reason_code)


def features(text: bytes) -> list[str]:
    """The names of what is wrong with the text beyond what the client's verifier sees."""
    found = set(_encoding(text))
    try:
        passport = json.loads(text)
        found.update(_syntax(text))
        found.update(_wrapper(passport))
        envelopes = list(_envelopes(passport["passport_json"]))
    except Exception:
        return sorted(found)
    found.update(_coerced(envelopes))
    if "nested_too_deep" in found:
        return sorted(found)  # too deep for what follows, too
    try:
        found.update(_unbound(passport))
    except (AttributeError, KeyError, TypeError, ValueError):
        pass  # another shape: both sides refuse it for that
    return sorted(found)


# --- the text ---


def _encoding(text: bytes) -> Iterator[str]:
    if len(text) > 256 * 1024:
        yield "text_too_long"
    try:
        if text.decode("utf-8").startswith("\ufeff"):
            yield "not_plain_utf8"
    except UnicodeDecodeError:
        yield "not_plain_utf8"
    if json.detect_encoding(text) != "utf-8":
        yield "not_plain_utf8"


class _Members(list):
    """The members of an object, as written."""


class _Constant(str):
    """NaN or an infinity."""


def _syntax(text: bytes) -> Iterator[str]:
    document = json.loads(text, object_pairs_hook=_Members, parse_constant=_Constant)
    count, stack = 0, [(document, 1)]
    while stack:
        value, depth = stack.pop()
        count += 1
        if isinstance(value, list) and depth > 64:
            yield "nested_too_deep"
        if isinstance(value, _Members):
            names = [name for name, _ in value]
            if len(set(names)) < len(names):
                yield "duplicate_member"
            if len({_folded(name) for name in names}) < len(set(names)):
                yield "case_variant_member"
            if any(_has_surrogate(name) for name in names):
                yield "lone_surrogate"
            stack.extend((member, depth + 1) for _, member in value)
        elif isinstance(value, list):
            stack.extend((element, depth + 1) for element in value)
        elif isinstance(value, _Constant) or isinstance(value, float) and not math.isfinite(value):
            yield "not_finite"
        elif isinstance(value, str) and _has_surrogate(value):
            yield "lone_surrogate"
        elif isinstance(value, int) and abs(value) > 2**53:
            yield "inexact_integer"
        elif isinstance(value, float) and 2**53 < abs(value) < 1e21:
            # RFC 8785 writes these as integers.
            yield "inexact_integer"
    if count > 32_768:
        yield "too_many_values"


def _folded(name: str) -> str:
    return re.sub("[A-Z]", lambda match: match[0].lower(), name).replace("\u017f", "s").replace("\u212a", "k")


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


# --- the shape ---


def _wrapper(passport: dict[str, Any]) -> Iterator[str]:
    if set(passport) - {"passport_json", "signature"}:
        yield "wrapper_member"
    if not isinstance(passport["signature"], str):
        yield "signature_not_text"


def _envelopes(envelope: Any) -> Iterator[dict[str, Any]]:
    """An envelope and all within it."""
    if not isinstance(envelope, dict):
        return
    yield envelope
    provenance = envelope.get("provenance")
    chain = provenance.get("delegation_chain") if isinstance(provenance, dict) else None
    for link in chain if isinstance(chain, list) else []:
        if isinstance(link, dict):
            yield from _envelopes(link.get("passport_json"))


def _coerced(envelopes: list[dict[str, Any]]) -> Iterator[str]:
    for envelope in envelopes:
        if isinstance(envelope.get("schema_version"), float):
            yield "version_coerced"
        if not isinstance(envelope.get("delegation_authority"), bool):
            yield "authority_coerced"
        provenance = envelope.get("provenance")
        version = provenance.get("catalog_version") if isinstance(provenance, dict) else None
        if isinstance(version, (bool, float, str)):
            yield "catalog_version_coerced"


# --- the meaning ---


def _unbound(passport: dict[str, Any]) -> Iterator[str]:
    leaf = passport["passport_json"]
    chain = leaf["provenance"]["delegation_chain"] or []
    hops = [link["passport_json"] for link in chain] + [leaf]
    signatures = [link["signature"] for link in chain] + [passport["signature"]]

    # Keys that sign: the root's own, and each hop's for the next.
    signers = [hops[0], *hops[:-1]]
    if any(_is_loose(hop["identity"]["public_key"], 32) for hop in signers):
        yield "signing_key_base64_loose"
    if any(_is_loose(signature, 64) for signature in signatures):
        yield "signature_base64_loose"
    leaf_key = leaf["identity"]["public_key"]
    if len(_bytes(leaf_key)) != 32 or _is_loose(leaf_key, 32):
        yield "leaf_key_malformed"

    for index, hop in enumerate(hops):
        parent = hops[index - 1] if index else None
        nested = hop["provenance"]["delegation_chain"]
        if index < len(chain) and _strict(nested or []) != _strict(chain[:index]):
            yield "nested_chain_differs"
        yield from _unbound_hop(hop, hops[0], parent)
        if parent is not None:
            yield from _lenient_narrowing(parent, hop)


def _unbound_hop(hop: dict[str, Any], root: dict[str, Any], parent: Any) -> Iterator[str]:
    identity, provenance = hop["identity"], hop["provenance"]
    issuer = provenance["issuer"]
    key = _bytes(identity["public_key"])

    ids = [hop["passport_id"], identity["agent_id"], issuer["id"], issuer["key_id"]]
    if not all(re.fullmatch(r"[!-~]{1,256}", text) for text in ids):
        yield "id_not_printable"
    if len(key) == 32 and identity["agent_id"] != derive_self_agent_id(base64.b64encode(key).decode()):
        yield "agent_id_unbound"

    if parent is None:
        if issuer["type"] == "self":
            if issuer["id"] != "self:" + hashlib.sha256(key).hexdigest():
                yield "issuer_id_unbound"
            if issuer["key_id"] != "self":
                yield "self_key_id_other"
    else:
        if issuer["type"] != "delegate":
            yield "delegate_of_other_type"
        if issuer["id"] != "delegate:" + root["passport_id"]:
            yield "delegate_of_other_root"
        if issuer["key_id"] != parent["provenance"]["issuer"]["key_id"]:
            yield "key_id_not_inherited"
        pin = [provenance[name] for name in ("gate_id", "catalog_content_hash", "catalog_version")]
        if pin != [None, None, None]:  # roots of gates are beyond this verifier
            yield "catalog_not_inherited"

    keys = [permission["permission_key"] for permission in hop["permissions"]]
    if len(set(keys)) < len(keys):
        yield "permission_twice"
    times = [_time(provenance["issued_at"]), _time(provenance["expires_at"])]
    if None in times:
        yield "time_malformed"
    elif times[0] >= times[1]:
        yield "expires_before_issued"


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _is_loose(text: str, length: int) -> bool:
    """Whether it decodes, yet is not how those bytes are written."""
    decoded = _bytes(text)
    return len(decoded) == length and base64.b64encode(decoded).decode() != text


def _time(text: str) -> Optional[str]:
    match = re.fullmatch(
        r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.[0-9]{3}Z", text
    )
    if not match:
        return None
    year, month, day, hour, minute, second = map(int, match.groups())
    # Python's calendar begins with year 1; year 0 is as long as year 2000.
    real = 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year or 2000, month)[1]
    return text if real and hour < 24 and minute < 60 and second < 60 else None


def _strict(value: Any) -> Any:
    """A value that is equal only to the same JSON value: in Python, True is 1."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, dict):
        return {name: _strict(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_strict(element) for element in value]
    return value


def _lenient_narrowing(parent: dict[str, Any], child: dict[str, Any]) -> Iterator[str]:
    granted = {
        permission["permission_key"]: permission["constraints"] for permission in parent["permissions"]
    }
    for permission in child["permissions"]:
        wide = granted.get(permission["permission_key"], {})
        for name, value in permission["constraints"].items():
            if name not in wide:
                continue
            if name in ("allowed_domains", "allowed_models", "allowed_paths"):
                if not isinstance(value, list) or not isinstance(wide[name], list):
                    continue
                if any(isinstance(entry, (dict, list)) for entry in value + wide[name]):
                    yield "nested_list_entry"
                elif any(
                    entry in wide[name] and _strict(entry) not in map(_strict, wide[name]) for entry in value
                ):
                    yield "equal_in_python_only"
            elif name not in NUMERIC and value == wide[name] and _strict(value) != _strict(wide[name]):
                yield "equal_in_python_only"
