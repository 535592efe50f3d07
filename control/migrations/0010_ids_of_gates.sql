-- Gates choose the ids of their records, and see those of others: who has the key of one gate must not
-- keep another's records out by bringing their ids first. So an id is unique within its gate alone.
-- SQLite takes no constraint away, so that the table is made anew. Renamed first: in PostgreSQL nobody
-- adds a record then until it is done.
ALTER TABLE records RENAME TO records_before;
CREATE TABLE records (
    gate_id TEXT NOT NULL REFERENCES record_logs (gate_id),
    log_index BIGINT NOT NULL,
    attestation_id TEXT NOT NULL,
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
INSERT INTO records (gate_id, log_index, attestation_id, lane, number, text, decision, agent_id,
    passport_id, issuer_id, action, reason_code, at, received_at, reported)
SELECT gate_id, log_index, attestation_id, lane, number, text, decision, agent_id, passport_id, issuer_id,
    action, reason_code, at, received_at, reported
FROM records_before;
DROP TABLE records_before;
CREATE UNIQUE INDEX records_by_id ON records (attestation_id, gate_id);
CREATE UNIQUE INDEX records_by_lane ON records (gate_id, lane, number);
CREATE INDEX records_by_gate ON records (gate_id, at);
CREATE INDEX records_by_time ON records (at);
CREATE INDEX records_by_agent ON records (agent_id, at);
CREATE INDEX records_by_passport ON records (passport_id, at);
-- Records of requests without a credential: their text begins so (RFC 8785).
CREATE INDEX records_anonymous ON records (gate_id, at)
    WHERE substr(text, 1, 26) = '{"access_mode":"anonymous"';

-- Passports that agents, or whoever has them, have registered: nobody needs a key for that, so they end.
ALTER TABLE passports ADD COLUMN registered BIGINT NOT NULL DEFAULT 0;
UPDATE passports SET registered = 1 WHERE substr(issuer_id, 1, 5) = 'self:';
CREATE INDEX passports_registered ON passports (expires_at) WHERE registered = 1;
