-- What the API shows of sites and devices, the keys that site tokens are signed with, and what the audit
-- trail says of denials. The rules of 0001 hold here too.

ALTER TABLE sites ADD COLUMN first_name TEXT;
ALTER TABLE sites ADD COLUMN last_name TEXT;
ALTER TABLE sites ADD COLUMN email TEXT;
ALTER TABLE sites ADD COLUMN state_code TEXT;
ALTER TABLE sites ADD COLUMN city TEXT;
ALTER TABLE sites ADD COLUMN zip_code TEXT;
ALTER TABLE sites ADD COLUMN street_address TEXT;
ALTER TABLE sites ADD COLUMN street_address2 TEXT;
ALTER TABLE sites ADD COLUMN company_name TEXT;
ALTER TABLE sites ADD COLUMN service_account_id TEXT;

ALTER TABLE devices ADD COLUMN install_date TEXT;
ALTER TABLE devices ADD COLUMN reserve_percentage DOUBLE PRECISION;

-- The devices of a site, in the order in which they are shown.
CREATE INDEX devices_of_site ON devices (client_no, site_id, device_id);

-- A secret key is not stored: it is derived from the pepper, the key's name and the salt. A key signs from
-- some seconds after it is made, so that every gateway knows it by then, and retires some hours after the
-- next one is made.
CREATE TABLE signing_keys (
    key_id TEXT PRIMARY KEY,
    pepper_version BIGINT NOT NULL,
    salt_hex TEXT NOT NULL,
    public_hex TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    signs_from_ms BIGINT NOT NULL,
    retires_at_ms BIGINT,
    seq BIGINT NOT NULL UNIQUE
);

ALTER TABLE audit ADD COLUMN reason TEXT;
-- More than 1 where a row stands for events that were not recorded one by one.
ALTER TABLE audit ADD COLUMN events BIGINT NOT NULL DEFAULT 1;
