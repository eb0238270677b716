-- Who may sign in to the developer portal, and who is signed in. The rules of 0001 hold here too, but for two:
-- gateways do not follow these tables, so a row has no sequence number; and a row that is used up or over is
-- deleted, so that they stay small. What happened is in the audit trail. Secrets are stored as hashes only.

CREATE TABLE portal_invites (
    invite_id TEXT PRIMARY KEY,
    client_no BIGINT NOT NULL REFERENCES clients (client_no),
    pepper_version BIGINT NOT NULL,
    hash_hex TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL
);

CREATE TABLE portal_sessions (
    session_id TEXT PRIMARY KEY,
    client_no BIGINT NOT NULL REFERENCES clients (client_no),
    pepper_version BIGINT NOT NULL,
    hash_hex TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL
);
