//! Comparisons as JSON. What is unknown is null, and never absent.

use serde_json::{Value, json};

use crate::{
    evidence::{
        AlarmId, Said,
        read::pairs::{Line, Whole},
        samples::KeptSide,
    },
    parallel_run::comparison::{ArmRecord, words::Word as _},
    report::assess::instant,
};

/// A comparison in a list.
pub(super) fn line(line: &Line) -> Value {
    json!({
        "id": line.id.to_string(),
        "route": line.route,
        "epoch": line.epoch,
        "at": instant(line.at),
        "gateway": line.gateway,
        "direction": line.direction.word(),
        "class": line.class.word(),
        "stratum": line.stratum,
        "sample_rate": line.sample_rate,
        "subject": line.subject,
        "request": line.request,
        "control": arm(&line.control),
        "candidate": line.candidate.as_ref().map(arm),
        "label": line.label.as_ref().map(said),
    })
}

/// One with everything that is kept of it.
pub(super) fn whole(pair: &Whole) -> Value {
    let mut value = line(&pair.line);
    let alarms: Vec<Value> = pair.alarms.iter().map(|raised| {
        let said = raised.acknowledged.as_ref();
        json!({
            "id": AlarmId { comparison: pair.line.id, kind: raised.kind }.to_string(),
            "kind": raised.kind.word(),
            "acknowledged": said.map(|said| json!({ "at": instant(said.at), "by": said.who, "reason": said.reason })),
        })
    }).collect();
    let differences: Vec<Value> = pair
        .differences
        .iter()
        .map(|difference| {
            json!({
                "path": difference.path,
                "kind": difference.kind.word(),
                "severity": difference.severity.word(),
                "rule": difference.rule,
                "control": difference.control,
                "candidate": difference.candidate,
            })
        })
        .collect();
    let images: Vec<Value> = pair
        .images
        .iter()
        .map(|image| {
            json!({
                "arm": if image.candidate { "candidate" } else { "control" },
                "index": image.index,
                "delivery": image.delivery,
                "sniffed": image.sniffed,
                "declared": image.declared,
                "width": image.width,
                "height": image.height,
                "color": image.color,
                "bytes": image.bytes,
                "decodes": image.decodes,
                "entropy": image.entropy,
                "luma_deviation": image.luma_deviation,
                "dominant": image.dominant,
                "hash": image.hash,
            })
        })
        .collect();
    let kept = pair.kept.as_ref().map(|kept| {
        json!({
            "request": side(&kept.request),
            "control": side(&kept.control),
            "candidate": kept.candidate.as_ref().map(side),
        })
    });
    if let Some(fields) = value.as_object_mut() {
        fields.insert("alarms".to_owned(), alarms.into());
        fields.insert("differences".to_owned(), differences.into());
        fields.insert("images".to_owned(), images.into());
        fields.insert("kept".to_owned(), kept.into());
    }
    value
}

/// What a person said, and who and when.
pub(super) fn said(said: &Said) -> Value {
    json!({ "text": said.text, "by": said.who, "at": instant(said.at) })
}

fn arm(arm: &ArmRecord) -> Value {
    let millis = |time: Option<std::time::Duration>| time.map(|time| time.as_secs_f64() * 1e3);
    json!({
        "outcome": arm.outcome.word(),
        "status": arm.status,
        "first_byte_ms": millis(arm.first_byte),
        "total_ms": millis(arm.total),
        "bytes": arm.bytes,
        "media_type": arm.media_type,
        "body_hash": arm.body_hash,
        "cost_usd": arm.cost_usd,
    })
}

/// A head and a body; what is no text of the body is null, what is long is cut.
fn side(side: &KeptSide) -> Value {
    let body = match std::str::from_utf8(&side.body) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => {
            side.body.get(..error.valid_up_to()).and_then(|whole| std::str::from_utf8(whole).ok())
        }
        Err(_) => None,
    };
    json!({ "head": side.head, "body": body, "bytes": side.bytes })
}
