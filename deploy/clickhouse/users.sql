-- Users of runwatch's parts with least rights, for a server whose users are made by statements. Give each a password of
-- your own first, or a certificate: IDENTIFIED WITH ssl_certificate CN 'runwatch-sink'. The database is `runwatch`
-- here; write another name in its place. Each statement can be repeated.

-- `runwatch sink`: it makes the database and brings its tables up to date, fills them, and has them forget.
CREATE USER IF NOT EXISTS runwatch_sink IDENTIFIED WITH sha256_password BY 'change me';
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, ALTER, SELECT, INSERT, SHOW
    ON runwatch.* TO runwatch_sink;
GRANT CREATE FUNCTION ON *.* TO runwatch_sink;

-- `runwatch process`, `runwatch console` and the command line: they read. The disks and parts are for
-- `runwatch doctor`. The SQL page of the console has a user of its own, who may do less: reader.sql.
CREATE USER IF NOT EXISTS runwatch_views IDENTIFIED WITH sha256_password BY 'change me';
GRANT SELECT, SHOW ON runwatch.* TO runwatch_views;
GRANT SELECT ON system.disks TO runwatch_views;
GRANT SELECT ON system.parts TO runwatch_views;
