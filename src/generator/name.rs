//! Names of stored images: `<prefix><job>-<index>.<extension>`, never from a prompt or a URL, never used twice.

use uuid::{Uuid, Version, fmt::Hyphenated};

use super::order::Format;

/// The name of a job's image.
pub(crate) fn compose(prefix: &str, job: Uuid, index: usize, format: Format) -> String {
    format!("{prefix}{}-{index}.{}", job.hyphenated(), format.extension())
}

/// Whether `name` could have been made by [`compose`], under whatever prefix: images outlive a change of it. Others cost no
/// look-up.
pub(crate) fn is_ours(name: &str) -> bool {
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    let Some((job, index)) = stem.rsplit_once('-') else { return false };
    let Some((prefix, job)) =
        job.len().checked_sub(Hyphenated::LENGTH).and_then(|start| job.split_at_checked(start))
    else {
        return false;
    };
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    // Settings of before took an underscore there.
    prefix.bytes().all(|byte| is_plain(byte) || byte == b'_')
        && job.bytes().all(is_plain)
        // Ids by which a site names its own files are rather random ones, of version 4.
        && Uuid::try_parse(job).is_ok_and(|job| job.get_version() == Some(Version::SortRand))
        && (1..=3).contains(&index.len())
        && index.bytes().all(|byte| byte.is_ascii_digit())
        && [Format::Png, Format::Jpeg, Format::WebP].iter().any(|format| format.extension() == extension)
}

/// The job in a name of ours, under whatever prefix.
pub(crate) fn job_of(name: &str) -> Option<Uuid> {
    let (stem, _) = name.rsplit_once('.')?;
    let (job, _) = stem.rsplit_once('-')?;
    let start = job.len().checked_sub(Hyphenated::LENGTH)?;
    job.get(start..).and_then(|job| Uuid::try_parse(job).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use uuid::{NoContext, Timestamp, Uuid};

    use super::{compose, is_ours, job_of};
    use crate::generator::order::Format;

    #[test]
    fn foreign_names_are_foreign() {
        let job = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert!(is_ours(&format!("fg-{job}-0.png")));
        assert!(is_ours(&format!("{job}-0.png")) && is_ours(&format!("old-{job}-12.webp")), "another prefix");
        assert!(is_ours(&format!("my_shop-{job}-0.png")), "as prefixes were once");
        for foreign in [
            format!("fg-{job}.png"),
            format!("fg-{job}-0.svg"),
            format!("fg-{job}-0.png/.."),
            format!("fg-{job}--1.png"),
            format!("fg-{job}-0000.png"),
            format!("fg-{}-0.png", job.to_uppercase()),
            format!("Fg-{job}-0.png"),
            format!("../{job}-0.png"),
            format!("fg-{}-0.png", job.replace("-774b", "-474b")),
            format!("fg-{}-0.png", job.replace('-', "")),
            "fg-../../catalog.sqlite".into(),
            "fg-".into(),
            ".png".into(),
            "-0.png".into(),
            format!("{}a-0.png", "\u{e9}".repeat(18)),
            String::new(),
        ] {
            assert!(!is_ours(&foreign), "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn what_is_composed_is_ours(seconds in 0..1_u64 << 37, prefix in "[a-z0-9-]{0,20}", index in 0..10_usize) {
            let job = Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, 0));
            let name = compose(&prefix, job, index, Format::Jpeg);
            prop_assert!(is_ours(&name));
            prop_assert_eq!(job_of(&name), Some(job));
        }

        #[test]
        fn nothing_of_ours_can_leave_its_folder(name in "[ -~]{0,12}01890a5d-ac96-774b-bcce-b302099a8057-0[ -~]{0,4}.png") {
            prop_assert!(!is_ours(&name) || !name.contains(['/', '\\']));
        }
    }
}
