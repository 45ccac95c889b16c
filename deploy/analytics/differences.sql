-- What the arms disagree in, over the whole lake: how many pairs show it, how bad it is, and one of them to look at.
SELECT
  difference.route,
  path,
  kind,
  max(CASE severity WHEN 'failure' THEN 2 WHEN 'expected' THEN 1 ELSE 0 END) AS severity,
  count(DISTINCT comparison) AS pairs,
  min(comparison) AS example
FROM difference
GROUP BY difference.route, path, kind
ORDER BY severity DESC, pairs DESC, path
LIMIT 100
