-- The directory: who may send what. One set of statements for SQLite and Postgres, so only types and
-- clauses that both know; hashes are hexadecimal text, booleans are 0 or 1, times are milliseconds since
-- 1970 in UTC.
--
-- Every change of a client, token, site or device carries a sequence number, drawn from the counter in
-- the same transaction. The counter's row stays locked until the commit, so numbers become visible in
-- their order, and a gateway that asks for "seq > last seen" misses nothing. Rows are never deleted:
-- a deletion or a revocation is a time in the row.

CREATE TABLE change_counter (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    seq BIGINT NOT NULL
);
INSERT INTO change_counter (one, seq) VALUES (1, 0);

CREATE TABLE clients (
    client_no BIGINT PRIMARY KEY,
    client_id TEXT NOT NULL UNIQUE,
    created_at_ms BIGINT NOT NULL,
    seq BIGINT NOT NULL UNIQUE
);

CREATE TABLE tokens (
    key_id TEXT PRIMARY KEY,
    client_no BIGINT NOT NULL REFERENCES clients (client_no),
    label TEXT NOT NULL,
    live BIGINT NOT NULL,
    pepper_version BIGINT NOT NULL,
    hash_hex TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    last_used_at_ms BIGINT,
    revoked_at_ms BIGINT,
    seq BIGINT NOT NULL UNIQUE
);

CREATE TABLE sites (
    client_no BIGINT NOT NULL REFERENCES clients (client_no),
    site_id TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    deleted_at_ms BIGINT,
    seq BIGINT NOT NULL UNIQUE,
    PRIMARY KEY (client_no, site_id)
);

CREATE TABLE devices (
    client_no BIGINT NOT NULL REFERENCES clients (client_no),
    device_id TEXT NOT NULL,
    site_id TEXT,
    type TEXT NOT NULL,
    manufacturer_name TEXT,
    product_name TEXT,
    serial_number TEXT,
    battery_capacity_wh DOUBLE PRECISION,
    battery_power_input_w DOUBLE PRECISION,
    battery_power_output_w DOUBLE PRECISION,
    counter_modulus_mwh BIGINT,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    deleted_at_ms BIGINT,
    seq BIGINT NOT NULL UNIQUE,
    PRIMARY KEY (client_no, device_id)
);

-- Append-only: nothing in the program updates or deletes a row of it. It never holds a token.
CREATE TABLE audit (
    seq BIGINT PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    action TEXT NOT NULL,
    client_id TEXT NOT NULL,
    key_id TEXT,
    site_id TEXT,
    request_id TEXT
);
