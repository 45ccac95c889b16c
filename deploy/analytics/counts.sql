-- The counts of each route's current epoch, as `figueira report` gives them: over all gateways that write to the lake.
-- An epoch is the same in two gateways where its name is: the same candidate, contract and rules. Each has judged its pairs
-- by what it had learned of the control's noise itself.
-- per_subject is the route's, which is not evidence: change it here where a route has another, to NULL where it names no
-- subject. Of the trials of one subject, whichever gateways it met, the first so many count.
WITH gate AS (
  SELECT 1 AS per_subject
),
latest AS (
  SELECT route, max(active_at) AS active_at FROM epoch GROUP BY route
),
present AS (
  SELECT route, min(name) AS name FROM epoch JOIN latest USING (route, active_at) GROUP BY route
),
part AS (
  SELECT origin, route, name, requests FROM epoch JOIN present USING (route, name)
),
pair AS (
  SELECT
    part.route,
    comparison.id,
    comparison.subject,
    comparison.class,
    comparison.class IN ('match', 'expected', 'mismatch', 'candidate-failed') AS is_trial
  FROM comparison JOIN part
    ON part.origin = comparison.origin AND part.route = comparison.route AND part.name = comparison.epoch
  WHERE comparison.direction IN ('shadow', 'reverse')
),
ranked AS (
  SELECT route, class, is_trial, row_number() OVER (PARTITION BY route, subject, is_trial ORDER BY id) AS place FROM pair
),
counted AS (
  SELECT route, CASE WHEN is_trial AND place > per_subject THEN 'duplicate-subject' ELSE class END AS class
  FROM ranked CROSS JOIN gate
),
sampled AS (
  SELECT route, class, count(*) AS n FROM counted GROUP BY route, class
  UNION ALL
  SELECT part.route, unrecorded.class, sum(unrecorded.n) AS n
  FROM unrecorded JOIN part
    ON part.origin = unrecorded.origin AND part.route = unrecorded.route AND part.name = unrecorded.epoch
  GROUP BY part.route, unrecorded.class
),
seen AS (
  SELECT route, sum(requests) AS requests FROM part GROUP BY route
)
SELECT
  route,
  max(seen.requests) AS requests,
  sum(n) AS sampled,
  sum(CASE WHEN class IN ('match', 'expected', 'mismatch', 'candidate-failed') THEN n ELSE 0 END) AS trials,
  sum(CASE WHEN class IN ('mismatch', 'candidate-failed') THEN n ELSE 0 END) AS failures,
  sum(CASE WHEN class = 'match' THEN n ELSE 0 END) AS matched,
  sum(CASE WHEN class = 'expected' THEN n ELSE 0 END) AS expected,
  sum(CASE WHEN class = 'control-failed' THEN n ELSE 0 END) AS control_failed,
  sum(CASE WHEN class = 'incomparable' THEN n ELSE 0 END) AS incomparable,
  sum(CASE WHEN class = 'duplicate-subject' THEN n ELSE 0 END) AS duplicate_subject,
  sum(CASE WHEN class = 'calibration' THEN n ELSE 0 END) AS calibration,
  sum(CASE WHEN class LIKE 'skipped-%' THEN n ELSE 0 END) AS skipped
FROM sampled JOIN seen USING (route)
GROUP BY route
ORDER BY route
