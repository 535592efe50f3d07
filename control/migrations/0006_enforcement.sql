-- What the service itself counts where it decides on actions; what is asked of passports
-- beyond what was signed with them; and sets of constraints to take such from.

-- One row for each gate, and whoever is counted for there. Whoever decides updates it first,
-- and so waits for whoever did before. Windows are numbered from 1970 on, in UTC.
CREATE TABLE enforced_counts (
    gate_id TEXT NOT NULL REFERENCES gates (gate_id),
    -- base64url of 32 bytes: for whom, and for what
    counter TEXT NOT NULL,
    issuer_id TEXT NOT NULL,
    -- null where it is counted for an agent, by guardrails of the gate
    passport_id TEXT,
    permission TEXT NOT NULL,
    minute BIGINT NOT NULL,
    minute_count BIGINT NOT NULL,
    hour BIGINT NOT NULL,
    hour_count BIGINT NOT NULL,
    day BIGINT NOT NULL,
    day_count BIGINT NOT NULL,
    PRIMARY KEY (gate_id, counter)
);
CREATE INDEX enforced_counts_by_passport ON enforced_counts (passport_id);
CREATE INDEX enforced_counts_by_day ON enforced_counts (day);

CREATE TABLE passport_constraints (
    passport_id TEXT PRIMARY KEY REFERENCES passports (passport_id),
    -- the issuer at its root
    issuer_id TEXT NOT NULL,
    -- as the caller gave them
    constraints TEXT NOT NULL,
    -- from when they matter no more, as the passport is over
    moot_at BIGINT NOT NULL
);
CREATE INDEX passport_constraints_by_end ON passport_constraints (moot_at);

CREATE TABLE constraint_templates (
    slug TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT,
    category TEXT,
    icon TEXT,
    constraints TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
