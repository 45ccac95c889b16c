//! Certificates as operators leave them lying around.

use std::{fs, path::Path, time::Duration};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;
use crate::certificate::judge;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
}

fn params(name: &str, from: i32, to: i32) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params
}

fn write(folder: &Path, file: &str, params: &CertificateParams) -> Pair {
    let key = KeyPair::generate().unwrap();
    let pair =
        Pair { certificate: folder.join(format!("{file}.pem")), key: folder.join(format!("{file}.key")) };
    fs::write(&pair.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(&pair.key, key.serialize_pem()).unwrap();
    pair
}

#[test]
fn a_certificate_is_for_its_time() {
    let folder = TempDir::new().unwrap();
    let judged = |file: &str, from, to| {
        judge(&write(folder.path(), file, &params("site.test", from, to)), now())
            .map_err(|error| error.to_string())
    };
    assert_eq!(judged("good", 2020, 2040), Ok(()));
    let old = judged("old", 2020, 2021).unwrap_err();
    assert!(old.ends_with("old.pem: expired on 2021-01-01T00:00:00Z"), "{old}");
    let new = judged("new", 2035, 2040).unwrap_err();
    assert!(new.ends_with("new.pem: is not valid before 2035-01-01T00:00:00Z"), "{new}");
}

#[test]
fn what_cannot_be_used_is_told_with_its_file() {
    let folder = TempDir::new().unwrap();
    let written = |file| write(folder.path(), file, &params("site.test", 2020, 2040));
    let (one, other) = (written("one"), written("other"));
    let text = |pair: &Pair| judge(pair, now()).unwrap_err().to_string();
    let mixed = Pair { key: other.key.clone(), ..one.clone() };
    let wanted = format!("{}: is not the key of {}", other.key.display(), one.certificate.display());
    assert_eq!(text(&mixed), wanted);
    let swapped = Pair { certificate: one.key.clone(), key: one.certificate.clone() };
    assert!(text(&swapped).contains("one.key: holds no certificate in PEM"), "{}", text(&swapped));
    let keyless = Pair { key: one.certificate.clone(), ..one.clone() };
    assert!(text(&keyless).contains("one.pem: holds no private key in PEM"), "{}", text(&keyless));
    let gone = Pair { key: folder.path().join("gone.key"), ..one };
    assert!(text(&gone).contains("gone.key: cannot be read"), "{}", text(&gone));
}

#[test]
fn names_choose_and_no_name_gets_the_first() {
    let folder = TempDir::new().unwrap();
    let pairs = ["first.test", "second.test", "*.wild.test"]
        .map(|name| write(folder.path(), &name.replace('*', "any"), &params(name, 2020, 2040)));
    let certificates = Certificates::open(pairs.to_vec(), now, Metrics::default()).unwrap();
    let in_use = certificates.in_use.load();
    let place = |name: Option<&str>| {
        let chosen = certificates.choose(name, |_| true).unwrap();
        in_use.iter().position(|key| Arc::ptr_eq(key, &chosen)).unwrap()
    };
    assert_eq!(place(None), 0);
    assert_eq!(place(Some("first.test")), 0);
    assert_eq!(place(Some("SECOND.test")), 1);
    assert_eq!(place(Some("a.wild.test")), 2);
    assert_eq!(place(Some("a.b.wild.test")), 0);
    assert_eq!(place(Some("unknown.test")), 0);
}
