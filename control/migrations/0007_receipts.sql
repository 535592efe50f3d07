-- What uses of priced actions cost, and how that is settled. Money is integer cents of US
-- dollars; times are milliseconds since 1970.

-- Receipts, with the text that each agent signed. They are never changed.
CREATE TABLE receipts (
    receipt_id TEXT NOT NULL,
    gate_id TEXT NOT NULL REFERENCES gates (gate_id),
    agent_id TEXT NOT NULL,
    issuer_id TEXT NOT NULL,
    passport_id TEXT NOT NULL,
    action TEXT NOT NULL,
    catalog_version BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    model TEXT NOT NULL,
    quantity BIGINT NOT NULL,
    unit_cents BIGINT NOT NULL,
    fee_basis_points BIGINT NOT NULL,
    total_cents BIGINT NOT NULL,
    fee_cents BIGINT NOT NULL,
    -- by the clock of who made it, and by ours
    issued_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    -- the very text, with its signature, and the key that it is by
    text TEXT NOT NULL,
    key_id TEXT NOT NULL,
    -- what the agent signed, and its hash: it pays for one receipt
    base TEXT NOT NULL,
    base_sha256 TEXT NOT NULL,
    -- the record of the decision that let the request through; null where no gate stood in the way
    permit TEXT,
    -- where its record stands in the gate's log
    log_index BIGINT NOT NULL,
    -- a gate chooses its ids
    PRIMARY KEY (gate_id, receipt_id)
);
-- With all that compliance is worked out from, so that no text is read for it.
CREATE INDEX receipts_by_gate ON receipts (gate_id, issued_at, receipt_id, action, outcome, catalog_version);
CREATE INDEX receipts_by_agent ON receipts (gate_id, agent_id, issued_at, receipt_id);
-- With the receipt's id, so that no row is read to find that it is the only one.
CREATE INDEX receipts_by_base ON receipts (gate_id, base_sha256, receipt_id);
CREATE INDEX receipts_by_permit ON receipts (gate_id, permit, receipt_id);
CREATE INDEX receipts_by_id ON receipts (receipt_id);

-- What agents have signed for uses outside a gate, for as long as they could sign it again.
CREATE TABLE consumption_nonces (
    nonce TEXT NOT NULL,
    passport_id TEXT NOT NULL,
    gate_id TEXT NOT NULL REFERENCES gates (gate_id),
    used_at BIGINT NOT NULL,
    UNIQUE (nonce, passport_id, gate_id)
);
CREATE INDEX consumption_nonces_by_time ON consumption_nonces (used_at);

-- Settlements, under way and done. A gate's row is taken before one is begun.
CREATE TABLE settlements (
    settlement_id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    gate_id TEXT NOT NULL REFERENCES gates (gate_id),
    -- null: of all agents
    agent_id TEXT,
    -- of that agent
    issuer_id TEXT,
    period_type TEXT NOT NULL,
    -- the first day and the last, as YYYY-MM-DD
    period_start TEXT NOT NULL,
    period_end TEXT NOT NULL,
    -- the same as times; the end is the first moment that is no part of it
    begins_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    -- running, failed; pending, invoiced, paid, disputed, void
    status TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    -- while it runs: who works on it, counted up by whoever takes over; when that was last
    -- heard of; how far it is
    attempt BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    claimed BIGINT NOT NULL,
    verified BIGINT NOT NULL,
    failure TEXT,
    -- what was signed, once it is done; it is never changed
    summary TEXT
);
CREATE INDEX settlements_by_gate ON settlements (gate_id, begins_at);
CREATE INDEX settlements_by_status ON settlements (status, seen_at);

-- Which settlement a receipt is part of: one at a time. What a void or a failed one has is
-- nobody's: another takes it over, or upkeep deletes it.
CREATE TABLE settled_receipts (
    gate_id TEXT NOT NULL,
    -- the receipt's, so that what is claimed together stands together: ids are random
    issued_at BIGINT NOT NULL,
    receipt_id TEXT NOT NULL,
    settlement_id TEXT NOT NULL,
    -- null: charged as the receipt says. Else free, subscription, or why it is excluded
    mark TEXT,
    -- of which allowance a free one is, and of which month a subscription's is: a hash
    allowance TEXT,
    PRIMARY KEY (gate_id, issued_at, receipt_id)
);
CREATE INDEX settled_receipts_by_settlement ON settled_receipts (settlement_id);
CREATE INDEX settled_receipts_by_allowance ON settled_receipts (allowance) WHERE allowance IS NOT NULL;

-- How the status of a settlement came to be.
CREATE TABLE settlement_changes (
    settlement_id TEXT NOT NULL REFERENCES settlements (settlement_id),
    number BIGINT NOT NULL,
    status TEXT NOT NULL,
    at BIGINT NOT NULL,
    -- an API key's id
    actor TEXT NOT NULL,
    PRIMARY KEY (settlement_id, number)
);
