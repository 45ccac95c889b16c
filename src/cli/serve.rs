//! `figueira serve`: the gateway itself.

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;
use tempfile::TempDir;

use super::{WrongUsage, an_address};
use crate::{
    app::{App, Inheritance, Source},
    config::{self, Config, Diagnostics, Purpose, Start},
    private, reserve,
    shutdown::Shutdown,
    telemetry::log::{self, Sink},
};

/// Forward everything to the monolith, but for the routes that `routes.toml` names.
#[derive(Debug, Args)]
#[command(after_help = "\
SIGTERM drains, and ends with 0, or with 1 where the drain's deadline cut something off.
A second one ends at once.
SIGHUP reads routes.toml again. A saved change takes effect on the next request.
SIGUSR2 starts the program again, as it now lies on disk, to take over without a refused connection.

Examples:
  figueira serve                                   by routes.toml, here
  figueira serve --monolith http://127.0.0.1:8000  everything, without a file
  figueira serve --config routes.toml --monolith http://127.0.0.1:8001   another than the file's")]
pub(super) struct Serve {
    /// The rules; watched while it serves. [default: routes.toml, unless --monolith is given]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The monolith, in place of `monolith.url`.
    #[arg(long, value_name = "URL")]
    monolith: Option<String>,
    /// Where to listen, in place of `gateway.listen`.
    #[arg(long, value_name = "ADDR", value_parser = an_address)]
    listen: Vec<SocketAddr>,
    /// The operator's address, or `off`, in place of `gateway.admin`.
    #[arg(long, value_name = "ADDR", value_parser = somewhere)]
    admin: Option<Listen>,
    /// Refuse to start with a broken file, instead of serving what it said when it was last good.
    #[arg(long)]
    strict: bool,
    /// Take the place of the process that serves there already, if one does: no connection is refused.
    #[arg(long)]
    take_over: bool,
}

/// Where to listen, if anywhere.
#[derive(Clone, Copy, Debug)]
enum Listen {
    At(SocketAddr),
    Nowhere,
}

fn somewhere(text: &str) -> Result<Listen, String> {
    if text == "off" { Ok(Listen::Nowhere) } else { an_address(text).map(Listen::At) }
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (mut config, source) = self.rules()?;
        if !self.listen.is_empty() {
            config.start.listen.clone_from(&self.listen);
        }
        match self.admin {
            Some(Listen::At(address)) => config.start.admin = Some(address),
            Some(Listen::Nowhere) => config.start.admin = None,
            None => {}
        }
        let log = log::init(&config.log, Sink::Stdout)?;
        if !config.warnings.is_empty() {
            tracing::warn!(warnings = %config.warnings, "routes.toml is legal and unwise");
        }
        if let Source::LastGood { rejected, .. } = &source {
            tracing::error!(
                errors = &**rejected,
                "routes.toml cannot be used; the last good rules are in force"
            );
        }
        // It goes with this process, whose own it is.
        let spare = matches!(source, Source::CommandLine).then(|| spare(&config.start.data)).flatten();
        if let Some(spare) = &spare {
            spare.path().clone_into(&mut config.start.data);
        }
        let shutdown = Shutdown::default();
        let mut inheritance = Inheritance::of_service_manager(config.start.admin)
            .context("a socket of the service manager's cannot be used")?;
        if self.take_over {
            inheritance =
                inheritance.take_over(&config.start).context("cannot take over from the running process")?;
        }
        let app = App::build(config, source, inheritance)?.with_log(log.control());
        app.obey_signals(&shutdown);
        Ok(app.run(&shutdown)?.into())
    }

    fn rules(&self) -> anyhow::Result<(Config, Source)> {
        // Judged here and not by the parser of the command line, which would repeat what may hold a password.
        let alone = self.monolith.as_deref().map(config::forward_everything).transpose();
        match (&self.config, alone.map_err(|errors| WrongUsage(errors.to_string()))?) {
            (None, Some(alone)) => Ok((alone, Source::CommandLine)),
            (file, _) => {
                let path = file.clone().unwrap_or_else(|| "routes.toml".into());
                let (config, source) = match config::load_for(&path, Purpose::Start) {
                    Ok(config) => (config, Source::File(path.clone())),
                    Err(errors) if self.strict => return Err(errors.into()),
                    Err(errors) => last_good(path.clone(), errors)?,
                };
                let start =
                    Start { monolith: self.monolith.as_deref().map(Into::into), ..config.start.clone() };
                Ok((config.as_started(start, &path)?, source))
            }
        }
    }
}

/// A folder in place of the data folder `data`, where that cannot be used: who only forwards keeps nothing, and serves
/// without a disk. None too where no other can, so that the start says why.
fn spare(data: &Path) -> Option<TempDir> {
    let error = private::folders(data).and_then(|()| reserve::is_enough(data)).err()?;
    let folder = [env::temp_dir(), "/dev/shm".into()].into_iter().find_map(|place| {
        let folder = tempfile::Builder::new().prefix("figueira-").tempdir_in(place).ok()?;
        reserve::is_enough(folder.path()).ok().map(|()| folder)
    })?;
    tracing::warn!(path = %data.display(), %error, "the data folder cannot be used, and nothing is kept");
    Some(folder)
}

/// What the file said when it was last in force here, if it ever was.
fn last_good(path: PathBuf, errors: Diagnostics) -> anyhow::Result<(Config, Source)> {
    match config::last_good(&path, &config::data_folder(&path), Purpose::Run) {
        Ok(config) => Ok((config, Source::LastGood { path, rejected: errors.to_string().into() })),
        Err(_) => Err(errors.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn who_only_forwards_does_without_a_data_folder() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        assert!(spare(&data).is_none(), "it can be made");
        assert!(spare(&data).is_none(), "it is there");
        fs::remove_dir(&data).unwrap();
        fs::write(&data, "in its place").unwrap();
        let folder = spare(&data).unwrap().path().to_owned();
        assert!(folder != data && !folder.exists(), "and nothing stays behind");
    }
}
