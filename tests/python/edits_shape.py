"""Edits to an envelope's shape, and to how its values are written."""

from __future__ import annotations

import copy
import json
from typing import Any

from case import (
    ANYTHING,
    Case,
    Rng,
    meaning,
    pick,
    places,
    some_constraints,
    some_hop,
    some_objects,
    some_place,
)
from modei.passport import canonicalize_strict


@meaning
def delete_member(case: Case, rng: Rng) -> None:
    at = pick(rng, some_objects(case, rng))
    del at[pick(rng, list(at))]


@meaning
def delete_wrapper_member(case: Case, rng: Rng) -> None:
    del case.passport[pick(rng, list(case.passport))]


@meaning
def add_member(case: Case, rng: Rng) -> None:
    pick(rng, some_objects(case, rng))[rng.choice(["", "extra", "$schema", "ssues", "\u017fignature"])] = (
        rng.choice(ANYTHING)
    )


@meaning
def add_wrapper_member(case: Case, rng: Rng) -> None:
    case.passport[rng.choice(["extra", "Signature", "passport", "\u017fignature"])] = rng.choice(ANYTHING)


@meaning
def rename_member(case: Case, rng: Rng) -> None:
    at = pick(rng, some_objects(case, rng))
    name = pick(rng, list(at))
    at[rng.choice([name.upper(), name.title(), name + " ", "x" + name, name[:-1]])] = at.pop(name)


@meaning
def retype_value(case: Case, rng: Rng) -> None:
    at, name = some_place(case, rng)
    at[name] = rng.choice(ANYTHING)


@meaning
def retype_signature(case: Case, rng: Rng) -> None:
    holder = rng.choice(
        [case.passport, case.passport, *(case.hops()[-1]["provenance"]["delegation_chain"] or [])]
    )
    holder["signature"] = rng.choice(ANYTHING)


@meaning
def change_text(case: Case, rng: Rng) -> None:
    at, name = some_place(case, rng, lambda value: isinstance(value, str))
    text = at[name]
    cut = rng.randrange(len(text) + 1)
    at[name] = rng.choice(
        [text + "x", text[:-1], "", text.upper(), text[:cut] + "é" + text[cut:], text + " ", "\n" + text]
        + [text[:cut] + "\u0000" + text[cut:], text[::-1], text * 40, text + "\U0001f6c2"]
    )


@meaning
def change_number(case: Case, rng: Rng) -> None:
    at, name = some_place(
        case, rng, lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)
    )
    at[name] = rng.choice(
        [at[name] + 1, at[name] - 1, -at[name], at[name] * 1.5, float(at[name]), str(at[name]), 0]
    )


@meaning
def swap_values(case: Case, rng: Rng) -> None:
    hop = some_hop(case, rng)
    (left, left_name), (right, right_name) = some_place(case, rng), pick(rng, list(places(hop)))
    # One must not come to lie within the other.
    pair = copy.deepcopy((left[left_name], right[right_name]))
    left[left_name], right[right_name] = pair[1], pair[0]


# --- as written ---


@meaning
def number_as_written(case: Case, rng: Rng) -> None:
    constraints = some_constraints(some_hop(case, rng), rng)
    tokens = [
        "2.0", "2e0", "2E+0", "20e-1", "-0", "-0.0", "0e999", "1e400", "-1e400", "1e-400", "NaN", "Infinity", "-Infinity",
        "9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740992", "-9007199254740993",
        "9007199254740992.0", "9007199254740993.0", "18446744073709551616", "1" + "0" * 400, "1" + "0" * 5000,
        "0." + "1" * 400, "1" + "0" * 30 + ".5", "01", "+1", ".5", "1.", "1e", "0x10", "1_000", "--1", "1.7976931348623159e308",
        "4.35", "0.000001", "0.0000001", "123456789012345680000", "1e21", "5e-324", "2e-324", "\uff11",
    ]  # fmt: skip
    constraints[rng.choice(["max_total_cost", "core:n"])] = case.as_written(rng.choice(tokens))


@meaning
def text_as_written(case: Case, rng: Rng) -> None:
    at, name = some_place(case, rng, lambda value: isinstance(value, str))
    plain = at[name]
    escaped = "".join(f"\\u{ord(character):04x}" for character in plain if ord(character) < 0x10000)
    tokens = [
        f'"{escaped}"', f'"{escaped.upper()}"', '"\\u{d800}"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"',
        '"\\ud83d\\u0041"', '"\\uD83D"', '"\\/"', '"\\u00e"', '"\\u+041"', '"\\x41"', '"\\\'"', '"\t"', '"\x1f"', '"\x7f"',
        '"a', "'a'", '"\\', '"\\u0000"', '"\\b\\f\\n\\r\\t\\"\\\\"', '"\ud800"',
    ]  # fmt: skip
    at[name] = case.as_written(rng.choice(tokens))


@meaning
def surrogate_anywhere(case: Case, rng: Rng) -> None:
    """Half a pair where the format allows any text."""
    constraints = some_constraints(some_hop(case, rng), rng)
    half = case.as_written(rng.choice(['"\\ud800"', '"x\\udfffy"']))
    if rng.random() < 0.5:
        constraints[half] = 1
    else:
        constraints["core:x"] = rng.choice([half, [half], {"a": half}])


@meaning
def duplicate_member(case: Case, rng: Rng) -> None:
    """A member twice: which one counts, only the reader knows."""
    at = pick(rng, [*some_objects(case, rng), case.passport])
    name = pick(rng, list(at))
    value = rng.choice([at[name], at[name], None, rng.choice(ANYTHING)])
    again = case.as_written(json.dumps(name))
    if rng.random() < 0.5:
        at[again] = copy.deepcopy(value)
    else:
        members = {again: copy.deepcopy(value), **at}
        at.clear()
        at.update(members)


@meaning
def duplicate_escaped(case: Case, rng: Rng) -> None:
    at = pick(rng, some_objects(case, rng))
    name = pick(rng, [name for name in at if name.isascii() and name])
    again = case.as_written(f'"\\u{ord(name[0]):04x}{name[1:]}"')
    at[again] = copy.deepcopy(at[name])


@meaning
def case_variant(case: Case, rng: Rng) -> None:
    """Among constraints any name is allowed, so only a strict reader minds."""
    constraints = some_constraints(some_hop(case, rng), rng)
    name, other = rng.choice(
        [
            ("max_daily_cost", "Max_Daily_Cost"),
            ("core:k", "core:\u212a"),
            ("core:s", "core:\u017f"),
            ("É", "é"),
        ]
        + [("core:i", "core:\u0131"), ("core:ss", "core:ß"), ("a", "A")]
    )
    constraints |= {name: 1, other: 2}


@meaning
def many_names(case: Case, rng: Rng) -> None:
    constraints = some_constraints(some_hop(case, rng), rng)
    constraints |= {f"n{index}": index for index in range(rng.choice([11, 12, 13, 60]))}
    if rng.random() < 0.5:
        constraints[rng.choice(["N3", "n3 ", "\u212a", "n03"])] = 0


@meaning
def deep(case: Case, rng: Rng) -> None:
    depth = rng.choice([10, 30, 45, 50, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 90, 200, 700, 3000])
    token = rng.choice(["[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth])
    hop = some_hop(case, rng)
    if rng.random() < 0.5:
        hop["verification_evidence"] = [case.as_written(token)]
    else:
        some_constraints(hop, rng)["core:deep"] = case.as_written(token)


@meaning
def size_at_cap(case: Case, rng: Rng) -> None:
    """Padded to the largest size that is allowed, and a byte or two to either side."""
    _pad(some_hop(case, rng), rng)


@meaning
def size_at_cap_without_chain(case: Case, rng: Rng) -> None:
    """An empty chain is shorter than none, and is counted as none."""
    hop = case.hops()[-1]
    hop["provenance"]["delegation_chain"] = []
    _pad(hop, rng)


def _pad(hop: Any, rng: Rng) -> None:
    character = rng.choice(["n", "\n", "é"])
    hop["identity"]["agent_name"] = ""
    counted = {**hop, "provenance": {**hop["provenance"], "delegation_chain": None}}
    room = 65_536 + rng.choice([-1, 0, 0, 1, 1, 2, 300]) - len(canonicalize_strict(counted))
    # Each of the three takes one or two bytes in canonical text.
    width = len(json.dumps(character, ensure_ascii=False).encode()) - 2
    hop["identity"]["agent_name"] = character * (room // width) + "n" * (room % width)


@meaning
def many_values(case: Case, rng: Rng) -> None:
    for hop in case.hops()[-2:]:
        hop["verification_evidence"] = [0] * rng.choice([8_000, 16_000, 32_000])
