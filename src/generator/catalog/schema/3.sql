-- Since when the monolith has refused the news of a job without a break.
ALTER TABLE jobs ADD COLUMN news_refused_ms INTEGER;
