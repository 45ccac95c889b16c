//! Keys and who has them.

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::{
    DynamoDb, KEY, failed, is_condition,
    item::{Item, claim_key, maybe_string, millis, new_job, number, text, usd, whole},
    write::Written,
};
use crate::{
    generator::{
        budget::Day,
        catalog::{CatalogError, Claim, ClaimKey, Claimed, NewJob},
        digest::Digest,
        money::Usd,
    },
    routing::Arm,
};

/// Where the conditions of a claim stand in its transaction.
const CLAIM: usize = 0;
const BUDGET: usize = 2;
/// How long after a claim has expired its item may go.
const GRACE: Duration = Duration::from_hours(1);

impl DynamoDb {
    pub(in crate::generator::catalog) async fn claim(&self, job: NewJob) -> Result<Claimed, CatalogError> {
        if job.daily_budget.is_some_and(|budget| job.reserved.usd > budget) {
            return Ok(Claimed::OverBudget);
        }
        loop {
            if let Some(claim) = self.standing_claim(&job.claim, job.at).await?
                && !claim.gives_way(job.replaces)
            {
                return Ok(Claimed::Held(claim));
            }
            match self.write_claim(&job).await? {
                Written::All => return Ok(Claimed::New(job.lease())),
                // Somebody was faster: the record says who.
                Written::Refused(CLAIM) => {}
                Written::Refused(BUDGET) => return Ok(Claimed::OverBudget),
                Written::Refused(_) => return Err(CatalogError::Malformed("a job that is not new")),
            }
        }
    }

    async fn write_claim(&self, job: &NewJob) -> Result<Written, CatalogError> {
        let (condition, values) = gives_way(job.replaces, job.at);
        let mut claim = held(&job.claim, Arm::Candidate, job.claim_expires);
        claim.insert("job".to_owned(), text(job.id.hyphenated().to_string()));
        claim.insert("request".to_owned(), text(job.request.as_str()));
        let mut items = vec![
            self.put(claim, &condition, values)?,
            self.put(new_job(job), "attribute_not_exists(pk)", Item::new())?,
        ];
        items.extend(self.settle(job.reserved.day, (Usd::ZERO, job.reserved.usd), job.daily_budget)?);
        self.write(items).await
    }

    pub(in crate::generator::catalog) async fn pin(
        &self,
        claim: ClaimKey,
        arm: Arm,
        at: SystemTime,
        expires: SystemTime,
    ) -> Result<Arm, CatalogError> {
        loop {
            if let Some(held) = self.standing_claim(&claim, at).await? {
                return Ok(held.arm);
            }
            let put = self
                .client
                .put_item()
                .table_name(&self.table)
                .set_item(Some(held(&claim, arm, expires)))
                .condition_expression("attribute_not_exists(pk) OR expires_ms <= :at")
                .set_expression_attribute_values(Some(free(at)));
            match put.send().await {
                Ok(_) => return Ok(arm),
                Err(error) if is_condition(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    pub(in crate::generator::catalog) async fn leave(
        &self,
        claim: ClaimKey,
        refused: Option<Uuid>,
        at: SystemTime,
        expires: SystemTime,
    ) -> Result<bool, CatalogError> {
        let (condition, values) = gives_way(refused, at);
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(held(&claim, Arm::Control, expires)))
            .condition_expression(condition)
            .set_expression_attribute_values(Some(values));
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) if is_condition(&error) => {
                let held = self.standing_claim(&claim, at).await?;
                Ok(held.is_some_and(|held| held.arm == Arm::Control))
            }
            Err(error) => Err(failed(error)),
        }
    }

    pub(in crate::generator::catalog) async fn standing_claim(
        &self,
        key: &ClaimKey,
        at: SystemTime,
    ) -> Result<Option<Claim>, CatalogError> {
        let Some(item) = self.get(claim_key(key)).await? else { return Ok(None) };
        if whole::<u64>(&item, "expires_ms")? <= millis(at) {
            return Ok(None);
        }
        let arm = maybe_string(&item, "arm");
        let arm =
            [Arm::Control, Arm::Candidate].into_iter().find(|known| arm.as_deref() == Some(known.name()));
        Ok(Some(Claim {
            arm: arm.ok_or(CatalogError::Malformed("arm"))?,
            job: maybe_string(&item, "job").and_then(|job| job.parse().ok()),
            request: maybe_string(&item, "request").map(Digest::recorded),
        }))
    }

    pub(in crate::generator::catalog) async fn forget_keys(
        &self,
        tenant: Digest,
    ) -> Result<usize, CatalogError> {
        // The whole table is read: it is asked for by hand, and not often.
        let scan = self
            .client
            .scan()
            .table_name(&self.table)
            .consistent_read(true)
            .filter_expression(
                "begins_with(pk, :claims) AND contains(pk, :whose) AND attribute_not_exists(job)",
            )
            .projection_expression(KEY)
            .expression_attribute_values(":claims", text("claim#"))
            .expression_attribute_values(":whose", text(format!("/{tenant}#")));
        let mut pages = scan.into_paginator().send();
        let mut forgotten = 0;
        while let Some(page) = pages.next().await {
            for item in page.map_err(failed)?.items.unwrap_or_default() {
                let delete = self
                    .client
                    .delete_item()
                    .table_name(&self.table)
                    .set_key(Some(item))
                    .condition_expression("attribute_not_exists(job)");
                match delete.send().await {
                    Ok(_) => forgotten += 1,
                    // A job was begun under it meanwhile, and it goes with that.
                    Err(error) if is_condition(&error) => {}
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        Ok(forgotten)
    }

    pub(in crate::generator::catalog) async fn spent(&self, day: Day) -> Result<Usd, CatalogError> {
        let item = self.get(super::item::budget_key(day)).await?;
        item.map_or(Ok(Usd::ZERO), |item| usd(&item, "spent"))
    }

    /// Deletes the claim of a job, if it is still that job's.
    pub(super) async fn release(&self, item: &Item) -> Result<(), CatalogError> {
        let (Some(key), Some(job)) = (item.get("claim"), item.get("id")) else { return Ok(()) };
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(KEY, key.clone())
            .condition_expression("job = :job")
            .expression_attribute_values(":job", job.clone());
        match delete.send().await {
            Err(error) if !is_condition(&error) => Err(failed(error)),
            _ => Ok(()),
        }
    }
}

/// The item of a claim; it may go by itself an hour after it has expired.
fn held(claim: &ClaimKey, arm: Arm, expires: SystemTime) -> Item {
    let gone = millis(expires.checked_add(GRACE).unwrap_or(expires)) / 1000;
    [
        (KEY, claim_key(claim)),
        ("arm", text(arm.name())),
        ("expires_ms", number(millis(expires))),
        ("gone", number(gone)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// The condition under which a claim makes room for another ([`Claim::gives_way`]), and its values.
fn gives_way(replaces: Option<Uuid>, at: SystemTime) -> (String, Item) {
    let mut condition =
        "attribute_not_exists(pk) OR expires_ms <= :at OR (arm = :candidate AND attribute_not_exists(job))"
            .to_owned();
    let mut values = free(at);
    values.insert(":candidate".to_owned(), text(Arm::Candidate.name()));
    if let Some(replaced) = replaces {
        condition.push_str(" OR job = :replaced");
        values.insert(":replaced".to_owned(), text(replaced.hyphenated().to_string()));
    }
    (condition, values)
}

fn free(at: SystemTime) -> Item {
    Item::from([(":at".to_owned(), number(millis(at)))])
}
