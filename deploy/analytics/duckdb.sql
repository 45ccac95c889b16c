-- The tables of a lake for DuckDB, once `SET VARIABLE lake = '/var/lib/figueira/lake'` says where it is (or s3://...).
CREATE OR REPLACE VIEW comparison AS
  SELECT * FROM read_parquet(getvariable('lake') || '/comparison/*/*/*.parquet', hive_partitioning = true, union_by_name = true);
CREATE OR REPLACE VIEW difference AS
  SELECT * FROM read_parquet(getvariable('lake') || '/difference/*/*/*.parquet', hive_partitioning = true, union_by_name = true);
CREATE OR REPLACE VIEW epoch AS SELECT * FROM read_parquet(getvariable('lake') || '/epoch/*.parquet', union_by_name = true);
CREATE OR REPLACE VIEW unrecorded AS
  SELECT * FROM read_parquet(getvariable('lake') || '/unrecorded/*.parquet', union_by_name = true);
