//! Keys, and the jobs that they are claimed by.

use std::time::SystemTime;

use rusqlite::{OptionalExtension as _, Transaction, named_params, params};
use uuid::Uuid;

use super::{
    Sqlite,
    columns::{By, Id, Side, millis, whole},
    reserve,
};
use crate::{
    generator::{
        catalog::{CatalogError, Claim, ClaimKey, Claimed, NewJob},
        digest::Digest,
    },
    routing::Arm,
};

impl Sqlite {
    pub(in crate::generator::catalog) async fn claim(&self, job: NewJob) -> Result<Claimed, CatalogError> {
        self.write(move |db| {
            if let Some(claim) = standing_claim(db, &job.claim, job.at)?
                && !claim.gives_way(job.replaces)
            {
                return Ok(Claimed::Held(claim));
            }
            if !reserve(db, job.reserved, job.daily_budget)? {
                return Ok(Claimed::OverBudget);
            }
            insert(db, &job)?;
            let held = Claim { arm: Arm::Candidate, job: Some(job.id), request: Some(job.request.clone()) };
            write_claim(db, &job.claim, &held, job.claim_expires)?;
            Ok(Claimed::New(job.lease()))
        })
        .await
    }

    pub(in crate::generator::catalog) async fn holder(
        &self,
        claim: ClaimKey,
        at: SystemTime,
    ) -> Result<Option<Claim>, CatalogError> {
        self.read(move |db| standing_claim(db, &claim, at)).await
    }

    pub(in crate::generator::catalog) async fn pin(
        &self,
        claim: ClaimKey,
        arm: Arm,
        at: SystemTime,
        expires: SystemTime,
    ) -> Result<Arm, CatalogError> {
        self.write(move |db| {
            if let Some(held) = standing_claim(db, &claim, at)? {
                return Ok(held.arm);
            }
            write_claim(db, &claim, &Claim { arm, job: None, request: None }, expires)?;
            Ok(arm)
        })
        .await
    }

    pub(in crate::generator::catalog) async fn leave(
        &self,
        claim: ClaimKey,
        refused: Option<Uuid>,
        at: SystemTime,
        expires: SystemTime,
    ) -> Result<bool, CatalogError> {
        self.write(move |db| {
            if let Some(held) = standing_claim(db, &claim, at)?
                && !held.gives_way(refused)
            {
                return Ok(held.arm == Arm::Control);
            }
            write_claim(db, &claim, &Claim { arm: Arm::Control, job: None, request: None }, expires)?;
            Ok(true)
        })
        .await
    }

    pub(in crate::generator::catalog) async fn forget_keys(
        &self,
        tenant: Digest,
    ) -> Result<usize, CatalogError> {
        let whose = format!("%/{tenant}");
        self.write(move |db| db.execute("DELETE FROM claims WHERE scope LIKE ? AND job IS NULL", [whose]))
            .await
    }

    pub(in crate::generator::catalog) async fn forget_claims(
        &self,
        at: SystemTime,
    ) -> Result<usize, CatalogError> {
        self.write(move |db| db.execute("DELETE FROM claims WHERE expires_ms < ?", [millis(at)])).await
    }
}

/// Who has a key, unless that has expired at `at`.
fn standing_claim(db: &Transaction<'_>, key: &ClaimKey, at: SystemTime) -> rusqlite::Result<Option<Claim>> {
    db.prepare_cached("SELECT arm, job, request FROM claims WHERE scope = ? AND key = ? AND expires_ms > ?")?
        .query_row(params![key.scope, key.key, millis(at)], |row| {
            let Side(arm) = row.get(0)?;
            Ok(Claim {
                arm,
                job: row.get::<_, Option<Id>>(1)?.map(|Id(id)| id),
                request: row.get::<_, Option<String>>(2)?.map(Digest::recorded),
            })
        })
        .optional()
}

fn write_claim(
    db: &Transaction<'_>,
    key: &ClaimKey,
    claim: &Claim,
    expires: SystemTime,
) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO claims (scope, key, arm, job, request, expires_ms) VALUES (?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        key.scope,
        key.key,
        Side(claim.arm),
        claim.job.map(Id),
        claim.request.as_ref().map(Digest::as_str),
        millis(expires)
    ])
}

fn insert(db: &Transaction<'_>, job: &NewJob) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "INSERT INTO jobs (id, state, route, tenant, subject, provider, model, prompt_sha256, prompt_chars, prompt, count,
                           width, height, ordered, notify, day, reserved, owner, fence, created_ms, updated_ms)
         VALUES (:id, :state, :route, :tenant, :subject, :provider, :model, :prompt_sha256, :prompt_chars, :prompt, :count,
                 :width, :height, :ordered, :notify, :day, :reserved, :owner, 0, :at, :at)",
    )?
    .execute(named_params! {
        ":id": Id(job.id), ":state": job.state, ":route": job.route, ":tenant": job.tenant.as_ref().map(Digest::as_str),
        ":subject": job.subject.as_ref().map(Digest::as_str), ":provider": job.provider, ":model": job.model, ":prompt_sha256": job.prompt_sha256.as_str(),
        ":prompt_chars": whole(job.prompt_chars), ":prompt": job.prompt, ":count": job.count, ":width": job.size.width,
        ":height": job.size.height, ":ordered": job.ordered, ":notify": job.notify, ":day": job.reserved.day.number(),
        ":reserved": job.reserved.usd, ":owner": By(job.owner), ":at": millis(job.at),
    })
}
