-- Least privileges, for an administrator to apply once, as often as wanted:
--
--   clickhouse-client --queries-file deploy/clickhouse/roles.sql
--
-- then, for users of your own: GRANT wattline_writer TO ingest; GRANT wattline_reader TO anna;
-- `wattline` does not apply it: whoever may grant rights may do everything, and none of its commands needs
-- that. Where clickhouse.database is not `wattline`, replace the name throughout.

-- `wattline migrate` and `wattline rebuild`.
CREATE ROLE IF NOT EXISTS wattline_owner;
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, ALTER TABLE, DROP DATABASE, DROP TABLE, DROP VIEW, SELECT, INSERT ON wattline.* TO wattline_owner;
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, ALTER TABLE, DROP DATABASE, DROP TABLE, DROP VIEW, SELECT, INSERT ON wattline_rebuild.* TO wattline_owner;
GRANT CREATE DATABASE, CREATE TABLE, DROP DATABASE, DROP TABLE, SELECT, INSERT ON wattline_before_rebuild.* TO wattline_owner;

-- Workers, `wattline devices publish` and `wattline rejected replay`.
CREATE ROLE IF NOT EXISTS wattline_writer;
GRANT SELECT, INSERT ON wattline.intervals TO wattline_writer;
GRANT SELECT, INSERT ON wattline.readings TO wattline_writer;
GRANT SELECT, INSERT ON wattline.rejected TO wattline_writer;
GRANT SELECT, INSERT ON wattline.devices TO wattline_writer;
-- `wattline doctor` looks which migrations were applied.
GRANT SELECT ON wattline.schema_migrations TO wattline_writer;

-- Analysts, dashboards and `wattline audit`.
CREATE ROLE IF NOT EXISTS wattline_reader;
GRANT SELECT ON wattline.* TO wattline_reader;
