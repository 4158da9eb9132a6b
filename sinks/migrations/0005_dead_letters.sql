-- Messages that could not be read, with where they came from: once for each origin, however often they were
-- refused. Kept as long as their topic keeps them.

CREATE TABLE IF NOT EXISTS {database}.dead_letters_stored{local} {on_cluster}
(
    topic             LowCardinality(String),
    partition         Int32,
    offset            Int64,
    reason            LowCardinality(String),
    detail            String,
    key               Nullable(String),
    value             Nullable(String),
    kafka_source      UInt32,
    kafka_partition   UInt32,
    kafka_offset      UInt64,
    ingested_at       DateTime64(3, 'UTC')
)
ENGINE = {replacing(kafka_offset)}
PARTITION BY toYYYYMM(ingested_at)
ORDER BY (topic, partition, offset)
TTL toDateTime(ingested_at) + INTERVAL 14 DAY DELETE;

{distributed(dead_letters_stored, cityHash64(topic, partition, offset))}

CREATE TABLE IF NOT EXISTS {database}.dead_letters_in {on_cluster}
(
    kafka_source    Int64,
    kafka_partition Int64,
    kafka_offset    Int64,
    topic           String,
    partition       Int64,
    offset          Int64,
    reason          String,
    detail          String,
    key             Nullable(String),
    value           Nullable(String),
    _end            Int64,
    CONSTRAINT aligned CHECK _end = {sentinel}
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.dead_letters_fill {on_cluster} TO {database}.dead_letters_stored AS
SELECT
    topic, partition, offset, reason, detail, key, value,
    kafka_source, kafka_partition, kafka_offset, now64(3) AS ingested_at
FROM {database}.dead_letters_in;

CREATE OR REPLACE VIEW {database}.dead_letters {on_cluster} AS
SELECT topic, partition, offset, reason, detail, key, value, kafka_partition, kafka_offset, ingested_at
FROM {database}.dead_letters_stored FINAL;
