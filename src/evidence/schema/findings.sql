-- Counts the differences of comparisons that were not counted while they were written.
INSERT INTO finding
SELECT epoch, path, kind, max(severity), count(*), min(id), max(id) FROM (
  SELECT epoch, path, kind, id, max(CASE severity WHEN 'failure' THEN 2 WHEN 'expected' THEN 1 ELSE 0 END) AS severity
  FROM difference JOIN comparison ON id = comparison WHERE direction IN ('shadow', 'reverse') GROUP BY id, path, kind
) GROUP BY epoch, path, kind;
