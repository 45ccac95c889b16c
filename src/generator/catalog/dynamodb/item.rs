//! Values as attributes: text where a person reads it, numbers where it is counted.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_sdk_dynamodb::types::AttributeValue;
use uuid::Uuid;

use super::{KEY, OPEN, PLACE, SHELF};
pub(super) use crate::aws::table::{Item, maybe_string, maybe_whole, number, text};
use crate::generator::{
    budget::{Day, Reservation},
    catalog::{CatalogError, ClaimKey, Lease, NewJob, Object, Owner, Record, Seen},
    digest::Digest,
    money::Usd,
    order::Size,
    provider::{Cause, Receipt, Usage},
    state::{Reason, Standing, State},
};

pub(super) fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A moment as a text that sorts as moments do.
pub(super) fn sortable(at: SystemTime) -> AttributeValue {
    text(format!("{:015}", millis(at)))
}

pub(super) fn job_key(job: Uuid) -> AttributeValue {
    text(format!("job#{}", job.hyphenated()))
}

/// A scope has no `#`: routes are a-z, 0-9 and -, and hashes hexadecimal.
pub(super) fn claim_key(claim: &ClaimKey) -> AttributeValue {
    text(format!("claim#{}#{}", claim.scope, claim.key))
}

pub(super) fn budget_key(day: Day) -> AttributeValue {
    text(format!("budget#{day}"))
}

pub(super) fn string(item: &Item, name: &'static str) -> Result<String, CatalogError> {
    maybe_string(item, name).ok_or(CatalogError::Malformed(name))
}

pub(super) fn whole<T: std::str::FromStr>(item: &Item, name: &'static str) -> Result<T, CatalogError> {
    maybe_whole(item, name).ok_or(CatalogError::Malformed(name))
}

pub(super) fn uuid(item: &Item, name: &'static str) -> Result<Uuid, CatalogError> {
    Uuid::try_parse(&string(item, name)?).map_err(|_| CatalogError::Malformed(name))
}

pub(super) fn moment(item: &Item, name: &'static str) -> Result<SystemTime, CatalogError> {
    Ok(UNIX_EPOCH + Duration::from_millis(whole(item, name)?))
}

pub(super) fn usd(item: &Item, name: &'static str) -> Result<Usd, CatalogError> {
    whole(item, name).map(Usd::micros)
}

/// The item of a job that does not exist yet.
pub(super) fn new_job(job: &NewJob) -> Item {
    let always = [
        (KEY, job_key(job.id)),
        ("id", text(job.id.hyphenated().to_string())),
        (SHELF, text(OPEN)),
        (PLACE, text(job.id.hyphenated().to_string())),
        ("claim", claim_key(&job.claim)),
        ("state", text(job.state.name())),
        ("route", text(job.route.as_str())),
        ("provider", text(job.provider)),
        ("model", text(job.model.as_str())),
        ("prompt_sha256", text(job.prompt_sha256.as_str())),
        ("prompt_chars", number(job.prompt_chars)),
        ("count", number(job.count)),
        ("width", number(job.size.width)),
        ("height", number(job.size.height)),
        ("day", number(job.reserved.day.number())),
        ("reserved", number(job.reserved.usd.as_micros())),
        ("owner", text(job.owner.to_string())),
        ("fence", number(0)),
        ("beat", number(0)),
        ("created_ms", number(millis(job.at))),
        ("updated_ms", number(millis(job.at))),
    ];
    let whose = |hash: &Option<Digest>| hash.as_ref().map(|hash| hash.as_str().to_owned());
    let sometimes = [
        ("tenant", whose(&job.tenant)),
        ("subject", whose(&job.subject)),
        ("prompt", job.prompt.clone()),
        ("ordered", job.ordered.clone()),
        ("notify", job.notify.clone()),
    ];
    let sometimes = sometimes.into_iter().filter_map(|(name, value)| Some((name, text(value?))));
    always.into_iter().chain(sometimes).map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(super) fn seen(item: &Item) -> Result<Seen, CatalogError> {
    let state = State::named(&string(item, "state")?).ok_or(CatalogError::Malformed("state"))?;
    let reason = maybe_string(item, "reason")
        .map(|name| Reason::named(&name).ok_or(CatalogError::Malformed("reason")))
        .transpose()?;
    let lease = Lease {
        job: uuid(item, "id")?,
        standing: Standing { state, reason },
        owner: Owner::parse(&string(item, "owner")?).ok_or(CatalogError::Malformed("owner"))?,
        fence: whole(item, "fence")?,
        reserved: Reservation { day: Day::numbered(whole(item, "day")?), usd: usd(item, "reserved")? },
    };
    Ok(Seen { lease, beat: whole(item, "beat")? })
}

pub(super) fn record(item: &Item) -> Result<Record, CatalogError> {
    let Seen { lease, beat } = seen(item)?;
    let usage = maybe_whole(item, "input_tokens").zip(maybe_whole(item, "output_tokens"));
    Ok(Record {
        lease,
        beat,
        route: string(item, "route")?,
        tenant: maybe_string(item, "tenant").map(Digest::recorded),
        provider: string(item, "provider")?,
        model: string(item, "model")?,
        prompt_sha256: Digest::recorded(string(item, "prompt_sha256")?),
        prompt: maybe_string(item, "prompt"),
        count: whole(item, "count")?,
        size: Size { width: whole(item, "width")?, height: whole(item, "height")? },
        ordered: maybe_string(item, "ordered"),
        notify: maybe_string(item, "notify"),
        receipt: Receipt {
            request_id: maybe_string(item, "request_id"),
            usage: usage.map(|(input_tokens, output_tokens)| Usage { input_tokens, output_tokens }),
            cost: maybe_whole(item, "cost").map(Usd::micros),
            cause: maybe_string(item, "cause").as_deref().and_then(Cause::read).map(Box::new),
        },
        created: moment(item, "created_ms")?,
        updated: moment(item, "updated_ms")?,
        objects: objects(item)?,
    })
}

/// The images of a job's item, in order; none where it has none yet.
pub(super) fn objects(item: &Item) -> Result<Vec<Object>, CatalogError> {
    let Some(list) = item.get("objects") else { return Ok(Vec::new()) };
    let list = list.as_l().map_err(|_| CatalogError::Malformed("objects"))?;
    list.iter()
        .map(|value| {
            let object = value.as_m().map_err(|_| CatalogError::Malformed("objects"))?;
            Ok(Object {
                name: string(object, "name")?,
                media_type: string(object, "media_type")?,
                bytes: whole(object, "bytes")?,
                sha256: Digest::recorded(string(object, "sha256")?),
            })
        })
        .collect()
}

pub(super) fn list_of(objects: &[Object]) -> AttributeValue {
    let item = |object: &Object| {
        AttributeValue::M(HashMap::from([
            ("name".to_owned(), text(object.name.as_str())),
            ("media_type".to_owned(), text(object.media_type.as_str())),
            ("bytes".to_owned(), number(object.bytes)),
            ("sha256".to_owned(), text(object.sha256.as_str())),
        ]))
    };
    AttributeValue::L(objects.iter().map(item).collect())
}
