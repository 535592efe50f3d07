"""Edits to what a passport grants, and for how long."""

from __future__ import annotations

import copy

from case import Case, Rng, meaning, pick, some_constraints, some_hop, some_pair


@meaning
def version(case: Case, rng: Rng) -> None:
    token = rng.choice(
        ["1", "3", "0", "-2", "2.0", "2e0", "2.5", "null", "true", '"2"', "[2]", "20", "2147483650"]
    )
    some_hop(case, rng)["schema_version"] = case.as_written(token)


@meaning
def authority(case: Case, rng: Rng) -> None:
    values = [False, False, "true", "false", "yes", "off", "TRUE", "", 0, 1, 2, 1.0, 0.0, None, [], {}]
    some_hop(case, rng)["delegation_authority"] = rng.choice(values)


@meaning
def authority_withdrawn(case: Case, rng: Rng) -> None:
    some_pair(case, rng)[0]["delegation_authority"] = False


@meaning
def times(case: Case, rng: Rng) -> None:
    provenance = some_hop(case, rng)["provenance"]
    values = [
        "2026-03-01T12:30:15.124Z", "2026-03-01T12:30:15.123Z", "2026-03-01T12:30:15.122Z",
        "2026-03-02T12:30:15.123Z", "2026-03-02T12:20:15.123Z", "2027-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z",
        "0000-02-29T00:00:00.000Z", "2024-02-29T00:00:00.000Z", "2026-02-29T00:00:00.000Z", "2100-02-29T00:00:00.000Z",
        "2026-13-01T00:00:00.000Z", "2026-00-10T00:00:00.000Z", "2026-04-31T00:00:00.000Z", "2026-03-01T24:00:00.000Z",
        "2026-03-01T12:60:00.000Z", "2026-12-31T23:59:60.000Z", "2026-03-01T12:30:15Z", "2026-03-01T12:30:15.123456Z",
        "2026-03-01T12:30:15.123+00:00", "2026-03-01 12:30:15.123Z", "2026-03-01T12:30:15.123z", "garbage", "", "~",
        "+026-03-01T12:30:15.123Z", "２026-03-01T12:30:15.123Z", " 2026-03-01T12:30:15.123Z", 1772368215, None,
    ]  # fmt: skip
    provenance[rng.choice(["issued_at", "expires_at", "expires_at"])] = rng.choice(values)


@meaning
def expiry_beyond_parent(case: Case, rng: Rng) -> None:
    parent, child = some_pair(case, rng)
    expiry = parent["provenance"]["expires_at"]
    child["provenance"]["expires_at"] = rng.choice(
        [expiry, expiry.replace("123Z", "124Z"), expiry.replace("2026", "2031")]
    )


@meaning
def permission_twice(case: Case, rng: Rng) -> None:
    permissions = some_hop(case, rng)["permissions"]
    again = copy.deepcopy(pick(rng, permissions))
    if rng.random() < 0.5:
        again["constraints"] = rng.choice([{}, {"max_total_cost": 10**6}, {"max_per_action_cost": 1}])
    permissions.insert(rng.randrange(len(permissions) + 1), again)


@meaning
def permission_more(case: Case, rng: Rng) -> None:
    key = rng.choice(["flights:*", "*", "flights:cancel", "", "flights:search "])
    some_hop(case, rng)["permissions"].append({"permission_key": key, "constraints": {}})


@meaning
def permissions_changed(case: Case, rng: Rng) -> None:
    permissions = some_hop(case, rng)["permissions"]
    if rng.random() < 0.5:
        permissions.reverse()
    else:
        permissions.remove(pick(rng, permissions))


@meaning
def no_permissions(case: Case, rng: Rng) -> None:
    some_hop(case, rng)["permissions"].clear()


NUMERIC = [
    "max_per_action_cost",
    "max_daily_cost",
    "max_total_cost",
    "rate_limit_per_minute",
    "rate_limit_per_hour",
]
LISTS = ["allowed_domains", "allowed_paths", "allowed_models"]


@meaning
def constraint_dropped(case: Case, rng: Rng) -> None:
    constraints = some_constraints(some_hop(case, rng), rng)
    del constraints[pick(rng, list(constraints))]


@meaning
def constraint_pair(case: Case, rng: Rng) -> None:
    """One dimension, in a hop and in the one delegated from it."""
    parent, child = some_pair(case, rng)
    key = parent["permissions"][0]["permission_key"]
    parent["permissions"] = parent["permissions"][:1]
    child["permissions"] = copy.deepcopy(parent["permissions"])
    assert child["permissions"][0]["permission_key"] == key
    kind = rng.choice(["number", "number", "list", "list", "any", "any", "mixed"])
    names = {"number": NUMERIC, "list": LISTS, "any": ["operating_hours", "core:x", "max_cost", ""]}
    values = {
        "number": [
            0,
            1,
            -1,
            1.0,
            1.5,
            5e-324,
            2**53,
            -(2**53),
            1e300,
            10,
            9.999999999999999,
            True,
            "1",
            None,
            [1],
        ],
        "list": [
            [],
            ["a"],
            ["a", "b"],
            ["b", "a"],
            ["a", "a"],
            ["A"],
            [1],
            [1.0],
            [True],
            [None],
            "a",
            {"a": 1},
        ],
        "any": [
            1,
            1.0,
            True,
            False,
            0,
            -0.0,
            "1",
            None,
            [],
            {},
            {"a": 1},
            {"a": True},
            {"a": 1.0},
            {"b": 2, "a": 1},
        ]
        + [{"a": 1, "b": 2}, [1], [True], [[1, 2]], [[2, 1]], "é", "e\u0301"],
    }
    names["mixed"], values["mixed"] = sum(names.values(), []), sum(values.values(), [])
    name = rng.choice(names[kind])
    here, there = rng.choice(values[kind]), rng.choice(values[kind])
    if rng.random() < 0.3:
        there = here
    parent["permissions"][0]["constraints"] = {name: here}
    child["permissions"][0]["constraints"] = {name: there}


@meaning
def true_for_one(case: Case, rng: Rng) -> None:
    """To Python they are equal."""
    name, here, there = rng.choice(
        [("core:x", 1, True), ("core:x", {"a": [False]}, {"a": [0.0]}), ("allowed_paths", [1, "a"], [True])]
        + [
            ("operating_hours", [True], [1]),
            ("core:x", 1, 1.0),
            ("allowed_domains", [1], [1.0]),
            ("max_cost", 0, False),
        ]
    )
    for hop, value in zip(some_pair(case, rng), (here, there)):
        hop["permissions"] = [{"permission_key": "flights:search", "constraints": {name: value}}]


@meaning
def nested_list_entries(case: Case, rng: Rng) -> None:
    parent, child = some_pair(case, rng)
    entry = rng.choice([{"a": 1}, [], ["a"]])
    for hop, entries in ((parent, [entry, "a"]), (child, rng.choice([[entry], ["a"], []]))):
        hop["permissions"] = [
            {"permission_key": "flights:search", "constraints": {"allowed_domains": entries}}
        ]


@meaning
def catalog(case: Case, rng: Rng) -> None:
    provenance = some_hop(case, rng)["provenance"]
    name = rng.choice(["gate_id", "catalog_content_hash", "catalog_version", "catalog_version"])
    version = [1, 0, -1, 2**53, 2.0, True, False, "3", " 3 ", "1_0", 2.5, "x", [], 1e300]
    text = ["gate_demo", "", 7, False, []]
    provenance[name] = rng.choice(version if name == "catalog_version" else text)


@meaning
def evidence(case: Case, rng: Rng) -> None:
    some_hop(case, rng)["verification_evidence"] = rng.choice(
        [[{}], [None], ["x", 1.25e-7], [[[]]], {}, "x", None]
    )
