//! Names of stored images: `<prefix><job>-<index>.<extension>`, never from a prompt or a URL, never used twice.

use uuid::Uuid;

use super::order::Format;

/// The name of a job's image.
pub(crate) fn compose(prefix: &str, job: Uuid, index: usize, format: Format) -> String {
    format!("{prefix}{}-{index}.{}", job.hyphenated(), format.extension())
}

/// Whether `name` could have been made by [`compose`] with this prefix. Others cost no look-up.
pub(crate) fn is_ours(prefix: &str, name: &str) -> bool {
    let Some(rest) = name.strip_prefix(prefix) else { return false };
    let Some((job, rest)) = rest.split_at_checked(Uuid::nil().hyphenated().to_string().len()) else {
        return false;
    };
    let Some((index, extension)) = rest.strip_prefix('-').and_then(|rest| rest.split_once('.')) else {
        return false;
    };
    job.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
        && Uuid::try_parse(job).is_ok()
        && (1..=3).contains(&index.len())
        && index.bytes().all(|byte| byte.is_ascii_digit())
        && [Format::Png, Format::Jpeg, Format::WebP].iter().any(|format| format.extension() == extension)
}

/// The job in a name of ours, under whatever prefix.
pub(crate) fn job_of(name: &str) -> Option<Uuid> {
    let (stem, _) = name.rsplit_once('.')?;
    let (job, _) = stem.rsplit_once('-')?;
    let start = job.len().checked_sub(Uuid::nil().hyphenated().to_string().len())?;
    job.get(start..).and_then(|job| Uuid::try_parse(job).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use uuid::Uuid;

    use super::{compose, is_ours, job_of};
    use crate::generator::order::Format;

    #[test]
    fn foreign_names_are_foreign() {
        let job = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert!(is_ours("fg-", &format!("fg-{job}-0.png")));
        for foreign in [
            format!("{job}-0.png"),
            format!("fg-{job}.png"),
            format!("fg-{job}-0.svg"),
            format!("fg-{job}-0.png/.."),
            format!("fg-{job}--1.png"),
            format!("fg-{}-0.png", job.to_uppercase()),
            "fg-../../catalog.sqlite".into(),
            "fg-".into(),
            String::new(),
        ] {
            assert!(!is_ours("fg-", &foreign), "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn what_is_composed_is_ours(bits in any::<u128>(), index in 0..10_usize) {
            let name = compose("fg-", Uuid::from_u128(bits), index, Format::Jpeg);
            prop_assert!(is_ours("fg-", &name));
            prop_assert_eq!(job_of(&name), Some(Uuid::from_u128(bits)));
        }

        #[test]
        fn nothing_of_ours_can_leave_its_folder(name in "fg-[ -~]{0,60}") {
            prop_assert!(!is_ours("fg-", &name) || !name.contains(['/', '\\']));
        }
    }
}
