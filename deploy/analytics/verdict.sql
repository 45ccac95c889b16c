-- What the verdict of each route's current epoch is computed from: n trials, x failures, and both e-values in log10.
-- SAFE needs log10_e_safe >= log10(1 / alpha), which is 1.30103 at 95 %; UNSAFE the same of log10_e_unsafe.
-- p0 is the route's max_failure_rate, which is not evidence: change it here where a route has another. So is per_subject,
-- which is NULL where the route names no subject: of the trials of one, whichever gateways it met, the first so many count.
WITH gate AS (
  SELECT CAST(0.01 AS DOUBLE) AS p0, 1 AS per_subject
),
latest AS (
  SELECT route, max(active_at) AS active_at FROM epoch GROUP BY route
),
present AS (
  SELECT route, min(name) AS name FROM epoch JOIN latest USING (route, active_at) GROUP BY route
),
part AS (
  SELECT origin, route, name FROM epoch JOIN present USING (route, name)
),
ranked AS (
  SELECT
    part.route,
    comparison.class,
    comparison.subject,
    row_number() OVER (PARTITION BY part.route, comparison.subject ORDER BY comparison.id) AS place
  FROM comparison JOIN part
    ON part.origin = comparison.origin AND part.route = comparison.route AND part.name = comparison.epoch
  WHERE comparison.direction IN ('shadow', 'reverse')
    AND comparison.class IN ('match', 'expected', 'mismatch', 'candidate-failed')
),
told AS (
  SELECT
    route,
    count(*) AS n,
    sum(CASE WHEN class IN ('mismatch', 'candidate-failed') THEN 1 ELSE 0 END) AS x,
    count(DISTINCT subject) + max(CASE WHEN subject IS NULL THEN 1 ELSE 0 END) AS subjects
  FROM ranked CROSS JOIN gate
  WHERE per_subject IS NULL OR place <= per_subject
  GROUP BY route
  UNION ALL
  -- What was counted while the disk could not take it.
  SELECT
    part.route,
    sum(unrecorded.n) AS n,
    sum(CASE WHEN unrecorded.class IN ('mismatch', 'candidate-failed') THEN unrecorded.n ELSE 0 END) AS x,
    0 AS subjects
  FROM unrecorded JOIN part
    ON part.origin = unrecorded.origin AND part.route = unrecorded.route AND part.name = unrecorded.epoch
  WHERE unrecorded.class IN ('match', 'expected', 'mismatch', 'candidate-failed')
  GROUP BY part.route
),
trial AS (
  SELECT route, sum(n) AS n, sum(x) AS x, sum(subjects) AS subjects FROM told GROUP BY route
),
-- A mixture of four alternatives on each side of p0, each a test supermartingale on its null.
bet AS (
  SELECT 'safe' AS side, p0 * factor AS g FROM gate CROSS JOIN (VALUES (0.02), (0.1), (0.25), (0.5)) AS below (factor)
  UNION ALL
  SELECT 'unsafe' AS side, least(0.9, p0 * factor) AS g FROM gate CROSS JOIN (VALUES (1.5), (2.0), (4.0), (10.0)) AS above (factor)
),
term AS (
  SELECT route, n, x, subjects, side, x * log10(g / p0) + (n - x) * log10((1 - g) / (1 - p0)) AS power
  FROM trial CROSS JOIN bet CROSS JOIN gate
),
greatest_term AS (
  SELECT route, side, max(power) AS most FROM term GROUP BY route, side
),
e_value AS (
  SELECT route, n, x, subjects, side, most + log10(sum(pow(10.0, power - most)) / 4) AS log10_e
  FROM term JOIN greatest_term USING (route, side)
  GROUP BY route, n, x, subjects, side, most
)
SELECT
  route,
  n,
  x,
  subjects,
  max(CASE WHEN side = 'safe' THEN log10_e END) AS log10_e_safe,
  max(CASE WHEN side = 'unsafe' THEN log10_e END) AS log10_e_unsafe
FROM e_value
GROUP BY route, n, x, subjects
ORDER BY route
