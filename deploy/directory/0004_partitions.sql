-- A device stays in the Kafka partition that it has. So where partitions are added to the topics, only devices
-- that come afterwards may be in them, and each row says how many there were for it. The rules of 0001 hold here
-- too, but for one: gateways read this row at their start and do not follow it.

-- There once partitions are to be added: `base` is their number before that, of devices whose own is null, and
-- `of_new` that of devices which come from now on.
CREATE TABLE kafka_partitions (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    base BIGINT NOT NULL,
    of_new BIGINT NOT NULL
);

ALTER TABLE devices ADD COLUMN partitions BIGINT;
