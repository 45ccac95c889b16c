-- What the arms disagree in, over the whole lake: how many pairs show it, how bad it is, and one of them to look at.
-- Previews are never counted.
SELECT
  difference.route,
  path,
  kind,
  max(CASE severity WHEN 'failure' THEN 2 WHEN 'expected' THEN 1 ELSE 0 END) AS severity,
  count(DISTINCT comparison.id) AS pairs,
  min(comparison.id) AS example
FROM difference JOIN comparison ON comparison.id = difference.comparison
WHERE comparison.direction IN ('shadow', 'reverse')
GROUP BY difference.route, path, kind
ORDER BY severity DESC, pairs DESC, path
LIMIT 100
