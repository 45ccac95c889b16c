-- Both arms' times by day and stratum, in milliseconds, of pairs in which both answered. Previews are never counted.
SELECT
  route,
  dt,
  stratum,
  count(*) AS pairs,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY control_total) / 1000 AS control_p50,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY control_total) / 1000 AS control_p95,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY candidate_total) / 1000 AS candidate_p50,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY candidate_total) / 1000 AS candidate_p95
FROM comparison
WHERE direction IN ('shadow', 'reverse')
  AND control_total IS NOT NULL AND candidate_total IS NOT NULL AND class IN ('match', 'expected', 'mismatch')
GROUP BY route, dt, stratum
ORDER BY route, dt, stratum
