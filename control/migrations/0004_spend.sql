-- What passports have spent, at all gates; requests that wait for a person; and what
-- callers without a credential may do. Money is integer cents, days are counted from
-- 1970-01-01 in UTC.

-- One row for each issuer, passport and permission that has spent under a cap. Whoever
-- grants or resets updates it first, and so waits for whoever did before.
CREATE TABLE spend_accounts (
    -- base64url of the SHA-256 of the three names
    account TEXT PRIMARY KEY,
    issuer_id TEXT NOT NULL,
    -- the passport that set the caps: the last of the ids from the root on, with spaces
    -- between, that the account is named by
    passport_id TEXT NOT NULL,
    permission TEXT NOT NULL,
    -- the gate that asked first
    gate_id TEXT NOT NULL,
    -- what gates have spent, and what they were granted beside and have not given back
    spent_cents BIGINT NOT NULL,
    held_cents BIGINT NOT NULL,
    -- the caps that were stated last, for people
    caps TEXT NOT NULL,
    -- the last day on which something was granted, and for how many days that matters
    used_day BIGINT NOT NULL,
    keep_days BIGINT NOT NULL,
    -- from which day on days count in each window, and what of that day does not; in all
    daily_reset_day BIGINT NOT NULL,
    daily_reset_cents BIGINT NOT NULL,
    rolling_reset_day BIGINT NOT NULL,
    rolling_reset_cents BIGINT NOT NULL,
    total_reset_cents BIGINT NOT NULL
);
CREATE INDEX spend_accounts_by_passport ON spend_accounts (passport_id);
CREATE INDEX spend_accounts_by_gate ON spend_accounts (gate_id);

CREATE TABLE spend_days (
    account TEXT NOT NULL REFERENCES spend_accounts (account),
    day BIGINT NOT NULL,
    spent_cents BIGINT NOT NULL,
    held_cents BIGINT NOT NULL,
    PRIMARY KEY (account, day)
);
CREATE INDEX spend_days_by_day ON spend_days (day);

CREATE TABLE spend_leases (
    gate_id TEXT NOT NULL,
    -- base64url of 16 bytes, the gate's choice
    lease TEXT NOT NULL,
    account TEXT NOT NULL REFERENCES spend_accounts (account),
    -- the gate's process
    lane TEXT NOT NULL,
    day BIGINT NOT NULL,
    granted_cents BIGINT NOT NULL,
    spent_cents BIGINT NOT NULL,
    -- nothing more is taken from it, or nothing more that counts
    done BIGINT NOT NULL,
    PRIMARY KEY (gate_id, lease)
);
CREATE INDEX spend_leases_by_day ON spend_leases (day);
CREATE INDEX spend_leases_by_account ON spend_leases (account);

-- status: pending, approved, denied, expired.
CREATE TABLE approvals (
    -- appr_ and 128 random bits, the gate's choice
    approval_id TEXT PRIMARY KEY,
    gate_id TEXT NOT NULL REFERENCES gates (gate_id),
    -- the record of the request that waits
    attestation_id TEXT NOT NULL,
    lane TEXT NOT NULL,
    -- the one request that an approval lets through, in hexadecimal
    binding TEXT NOT NULL,
    -- base64url of the thumbprint
    agent_key TEXT NOT NULL,
    agent_id TEXT,
    issuer_id TEXT,
    action TEXT,
    target TEXT,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    cost_cents BIGINT NOT NULL,
    summary TEXT NOT NULL,
    status TEXT NOT NULL,
    -- it is in the gate's snapshot
    in_force BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    -- until when a person may answer; once approved, until when the request may come again
    expires_at BIGINT NOT NULL,
    resolved_at BIGINT,
    -- an API key's id, or 'service'
    resolved_by TEXT,
    note TEXT
);
CREATE INDEX approvals_by_gate ON approvals (gate_id, created_at);
CREATE INDEX approvals_by_status ON approvals (status, expires_at);

ALTER TABLE gates ADD COLUMN anonymous_policy TEXT;

-- Records of requests without a credential: their text begins so (RFC 8785).
CREATE INDEX records_anonymous ON records (gate_id, at)
    WHERE substr(text, 1, 26) = '{"access_mode":"anonymous"';
