-- Records of what gates decided, and the logs that they stand in. Hashes of records are
-- hexadecimal, those of logs standard base64.

-- Keys that sign a gate's records. Each is good for as long as the gate's own key with
-- which it came.
CREATE TABLE attestation_keys (
    gate_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    gate_key_id TEXT NOT NULL,
    public_key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (gate_id, key_id),
    FOREIGN KEY (gate_id, gate_key_id) REFERENCES gate_keys (gate_id, key_id)
);

-- One row for each gate with records. Whoever adds some updates it first, and so waits
-- for whoever did before.
CREATE TABLE record_logs (
    gate_id TEXT PRIMARY KEY REFERENCES gates (gate_id),
    size BIGINT NOT NULL,
    -- the chain_hash of the last record
    last_hash TEXT NOT NULL,
    -- of records below this index the text is no longer kept
    pruned_to BIGINT NOT NULL,
    -- how long records are kept; null: as the service's settings say
    retention_days BIGINT
);

CREATE TABLE record_lanes (
    gate_id TEXT NOT NULL REFERENCES record_logs (gate_id),
    -- base64url of 16 bytes
    lane TEXT NOT NULL,
    -- the key that was named when it was opened
    key_id TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    -- what its first record is chained to
    previous TEXT NOT NULL,
    next_number BIGINT NOT NULL,
    last_hash TEXT NOT NULL,
    -- decisions that the gate said it could not record
    dropped BIGINT NOT NULL,
    PRIMARY KEY (gate_id, lane)
);

CREATE TABLE records (
    gate_id TEXT NOT NULL REFERENCES record_logs (gate_id),
    log_index BIGINT NOT NULL,
    attestation_id TEXT NOT NULL UNIQUE,
    lane TEXT NOT NULL,
    number BIGINT NOT NULL,
    -- the very text that was signed, with its signature
    text TEXT NOT NULL,
    decision TEXT NOT NULL,
    agent_id TEXT,
    passport_id TEXT,
    issuer_id TEXT,
    action TEXT,
    reason_code TEXT,
    -- by the clock of who made it, and by ours
    at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    -- what a caller reported, where the record is about that
    reported TEXT,
    PRIMARY KEY (gate_id, log_index)
);
CREATE UNIQUE INDEX records_by_lane ON records (gate_id, lane, number);
CREATE INDEX records_by_gate ON records (gate_id, at);
CREATE INDEX records_by_time ON records (at);
CREATE INDEX records_by_agent ON records (agent_id, at);
CREATE INDEX records_by_passport ON records (passport_id, at);

-- The logs' hash trees, in tiles: up to 256 hashes side by side, each of level * 8 binary
-- levels above the leaves, as one base64 text.
CREATE TABLE record_tiles (
    gate_id TEXT NOT NULL REFERENCES record_logs (gate_id),
    level BIGINT NOT NULL,
    tile BIGINT NOT NULL,
    hashes TEXT NOT NULL,
    PRIMARY KEY (gate_id, level, tile)
);

-- One for each batch that was taken, as it was first answered.
CREATE TABLE checkpoints (
    gate_id TEXT NOT NULL REFERENCES record_logs (gate_id),
    size BIGINT NOT NULL,
    note TEXT NOT NULL,
    signed_at BIGINT NOT NULL,
    PRIMARY KEY (gate_id, size)
);
