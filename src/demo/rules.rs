//! The demo's `routes.toml`, in a folder of its own, and the one line of it that is edited.

use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use tempfile::{NamedTempFile, TempDir};
use toml_edit::{DocumentMut, Item, Value};

use crate::routing::Mode;

const TEMPLATE: &str = include_str!("routes.toml");
const FILE: &str = "routes.toml";

/// The file, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Rules {
    folder: TempDir,
    document: DocumentMut,
}

impl Rules {
    /// Writes the file for a monolith at `monolith`.
    pub(crate) fn write(monolith: SocketAddr) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("figueira-demo-")
            .tempdir()
            .context("cannot make a folder for the demo")?;
        let mut document: DocumentMut = TEMPLATE.parse().context("the demo's routes.toml")?;
        let url = document.get_mut("monolith").and_then(|monolith| monolith.get_mut("url"));
        put(url, &format!("http://{monolith}"))?;
        let rules = Self { folder, document };
        rules.save()?;
        Ok(rules)
    }

    /// Where it is.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// The folder that holds it, and all that the gateway keeps.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sets the route's mode, in place: comments and layout stay.
    pub(crate) fn set_mode(&mut self, mode: Mode) -> anyhow::Result<()> {
        let route = self.document.get_mut("route").and_then(Item::as_array_of_tables_mut);
        put(
            route.and_then(|routes| routes.get_mut(0)).and_then(|route| route.get_mut("mode")),
            mode.as_str(),
        )?;
        self.save()
    }

    /// The whole file or none of it: a reader never sees half an edit.
    fn save(&self) -> anyhow::Result<()> {
        let write = || {
            let mut file = NamedTempFile::new_in(&self.folder)?;
            file.write_all(self.document.to_string().as_bytes())?;
            file.persist(self.file())?;
            Ok::<_, std::io::Error>(())
        };
        write().with_context(|| format!("cannot write {}", self.file().display()))
    }
}

fn put(item: Option<&mut Item>, text: &str) -> anyhow::Result<()> {
    let value = item.and_then(Item::as_value_mut).context("the demo's routes.toml lacks a key")?;
    let decor = value.decor().clone();
    *value = Value::from(text);
    *value.decor_mut() = decor;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_changes_one_line_and_keeps_its_comment() {
        let mut rules = Rules::write(([127, 0, 0, 1], 8123).into()).unwrap();
        let before = std::fs::read_to_string(rules.file()).unwrap();
        assert!(before.contains("url = \"http://127.0.0.1:8123\"\n"), "{before}");
        rules.set_mode(Mode::Shadow).unwrap();
        let after = std::fs::read_to_string(rules.file()).unwrap();
        let changed: Vec<_> = before.lines().zip(after.lines()).filter(|(old, new)| old != new).collect();
        assert_eq!(before.lines().count(), after.lines().count());
        assert_eq!(changed.len(), 1, "{changed:?}");
        let (_, line) = changed[0];
        assert!(line.starts_with("mode = \"shadow\" ") && line.ends_with("| migrated"), "{line}");
    }

    #[test]
    fn a_slow_machine_pulls_no_brake() {
        let rules = Rules::write(([127, 0, 0, 1], 8123).into()).unwrap();
        let config = crate::config::load(&rules.file()).unwrap();
        assert!(config.guards.iter().all(|guard| guard.max_latency_ratio.is_none()));
    }

    #[test]
    fn nothing_stays_behind() {
        let rules = Rules::write(([127, 0, 0, 1], 8123).into()).unwrap();
        let folder = rules.folder().to_owned();
        drop(rules);
        assert!(!folder.exists());
    }
}
