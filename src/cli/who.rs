//! Who runs this command, as the audit log shall name them.

use std::{env, fs, os::unix::fs::MetadataExt};

use crate::brake::Who;

/// The user of this process, and the command.
pub(super) fn runs(command: &str) -> Who {
    let user = user();
    // Set by sudo, and by nobody else with the right to write the logs: the person behind root.
    let name = match env::var("SUDO_USER") {
        Ok(person) if user == "root" && !person.is_empty() => {
            format!("{person} as root, by figueira {command}")
        }
        _ => format!("{user}, by figueira {command}"),
    };
    Who { name, generation: None }
}

fn user() -> String {
    // A process' own entry belongs to its effective user.
    let Ok(id) = fs::metadata("/proc/self").map(|process| process.uid()) else {
        return named_by_environment();
    };
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(id)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("uid {id}"))
}

fn named_by_environment() -> String {
    env::var("USER").unwrap_or_else(|_| "somebody".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_its_user() {
        let name = runs("brake").name;
        assert!(name.ends_with(", by figueira brake") && !name.starts_with(','), "{name}");
    }
}
