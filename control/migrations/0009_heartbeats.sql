-- When agents last said that they have begun, and as what they run: one row for each passport. It is
-- of minutes, and no backup has it.
CREATE TABLE heartbeats (
    passport_id TEXT PRIMARY KEY REFERENCES passports (passport_id),
    agent_id TEXT NOT NULL,
    sdk TEXT NOT NULL,
    sdk_version TEXT NOT NULL,
    runtime TEXT NOT NULL,
    env TEXT NOT NULL,
    -- as the agent's own clock has it
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);
CREATE INDEX heartbeats_by_agent ON heartbeats (agent_id, seen_at);
