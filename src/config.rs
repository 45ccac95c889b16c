//! Turns `routes.toml` into domain types, or into every error that it holds.
//!
//! The file is read table by table, in the modules below; each key is named once, beside its kind and its default.
//! What the contract promises and this version does not do stands in `config/later.rs` alone.

pub(crate) mod changes;
mod condition;
mod diagnostic;
mod document;
pub mod edit;
mod generator;
mod gateway;
mod guard;
mod headers;
mod kind;
mod last_good;
mod later;
mod log;
mod mask;
mod parallel_run;
mod route;
mod schema;
mod secret;
mod section;
mod shown;
mod tell;
mod tls;
mod unwise;
mod upstream;

use std::{
    fs::{self, File},
    io::{self, Read},
    iter,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use toml::de::DeTable;

pub(crate) use self::last_good::keep;
pub use self::last_good::{data_folder, last_good};
pub use self::{diagnostic::Diagnostics, document::Purpose};
use self::{diagnostic::Problem, document::Document, section::Section};
use crate::{
    brake::{Place, guard as guard_settings},
    certificate::Pair,
    evidence::lake,
    forwarding,
    gateway::settings as gateway_settings,
    generator::settings as generator_settings,
    listener::ProxyProtocol,
    parallel_run::settings as parallel_run_settings,
    routing::Table,
    telemetry,
    tell::Hook,
};

/// A larger file is not read: nobody wrote it.
const LARGEST_FILE: u64 = 16 << 20;

/// A whole, valid configuration.
#[derive(Debug)]
pub struct Config {
    /// What is read once, at start.
    pub start: Start,
    /// `[gateway]`, but for `start`.
    pub gateway: gateway_settings::Settings,
    /// `[log]`.
    pub log: telemetry::log::Settings,
    /// Every `[[tell]]`.
    pub hooks: Vec<Hook>,
    /// `[monolith]`.
    pub monolith: forwarding::upstream::Settings,
    /// `[upstreams]`, by name.
    pub upstreams: Vec<forwarding::upstream::Settings>,
    /// `[generator]`.
    pub generator: generator_settings::Settings,
    /// `[parallel_run]`.
    pub parallel_run: parallel_run_settings::Settings,
    /// Where its evidence is exported to.
    pub export: Option<lake::Place>,
    /// Every `[[route]]`.
    pub routes: Arc<Table>,
    /// At the place of each route: its contract, where the candidate is the generator.
    pub contracts: Vec<Option<generator_settings::Contract>>,
    /// At the place of each route: who says whether its candidate may answer.
    pub authorizations: Vec<gateway_settings::Authorize>,
    /// At the place of each route: how it is compared.
    pub plans: Vec<parallel_run_settings::Plan>,
    /// At the place of each route: what pulls its brake.
    pub guards: Vec<guard_settings::Settings>,
    /// What is legal in the file and unwise.
    pub warnings: Diagnostics,
    /// What all this was read from.
    pub text: Arc<str>,
    /// Of that text.
    pub digest: Digest,
}

/// SHA-256 of a file's text.
pub type Digest = [u8; 32];

/// What is read once, at start; a reload that changes it keeps the running value and says so.
#[derive(Clone, Debug)]
pub struct Start {
    /// Public addresses.
    pub listen: Vec<SocketAddr>,
    /// The operator's address, or none.
    pub admin: Option<SocketAddr>,
    /// What the operator must present, where set.
    pub admin_token: Option<generator_settings::Secret>,
    /// Data-plane workers.
    pub workers: usize,
    /// Where everything that lasts is kept.
    pub data: PathBuf,
    /// What is shown to clients, the first to those that name none of the sites; empty: plaintext.
    pub certificates: Vec<Pair>,
    /// Whether every connection opens with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
    /// What the command line names in place of `monolith.url`.
    pub monolith: Option<Box<str>>,
}

impl Config {
    /// Whether the day of a rule that it applies was over at `now`: read again, it does not apply it any more.
    pub fn is_outdated(&self, now: Timestamp) -> bool {
        self.plans.iter().flat_map(|plan| &plan.rules).any(|rule| rule.is_over(now))
    }

    /// The same for a process that was started by `start`, whatever the file says of that by now. `path` is the file.
    pub fn as_started(self, start: Start, path: &Path) -> Result<Self, Diagnostics> {
        let monolith = match &start.monolith {
            None => self.monolith,
            Some(url) => parse(&edit::with_monolith(&self.text, url), path)?.monolith,
        };
        Ok(Self { start, monolith, ..self })
    }

    /// Where its brakes are kept.
    pub fn brakes(&self) -> Place {
        Place { data: self.start.data.clone(), table: self.generator.shared_table() }
    }
}

/// Reads and checks the file at `path`, to run by it.
pub fn load(path: &Path) -> Result<Config, Diagnostics> {
    load_for(path, Purpose::Run)
}

/// The same, for another purpose.
pub fn load_for(path: &Path, purpose: Purpose) -> Result<Config, Diagnostics> {
    let bytes = read_whole(path).map_err(|error| unreadable(path, &error))?;
    parse_for(text_of(&bytes, path)?, path, purpose)
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostics {
    let problem = Problem::error(format!("cannot be read: {error}"));
    Diagnostics::unreadable(
        path,
        problem.help("another one is named by --config; figueira serve --monolith URL needs none"),
    )
}

/// Reads and checks `bytes` as if they were the file at `path`.
pub(crate) fn parse_bytes(bytes: &[u8], path: &Path) -> Result<Config, Diagnostics> {
    parse(text_of(bytes, path)?, path)
}

fn text_of<'b>(bytes: &'b [u8], path: &Path) -> Result<&'b str, Diagnostics> {
    str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to()..error.valid_up_to() + 1;
        let problem = Problem::error("the file is not UTF-8 from here on").at(at);
        Diagnostics::new(path, &String::from_utf8_lossy(bytes), vec![problem])
    })
}

/// Checks `text` as if it were the file at `path`, to run by it: relative paths start at its folder, messages name it.
pub fn parse(text: &str, path: &Path) -> Result<Config, Diagnostics> {
    parse_for(text, path, Purpose::Run)
}

/// The same, for another purpose.
pub(crate) fn parse_for(text: &str, path: &Path, purpose: Purpose) -> Result<Config, Diagnostics> {
    let (entries, errors) = DeTable::parse_recoverable(text);
    let document = Document::new(text, path).read_for(purpose);
    for error in &errors {
        let span = error.span().unwrap_or_default();
        document.report(Problem::error(format!("not TOML: {}", error.message())).at(span));
    }
    if errors.is_empty() && entries.get_ref().is_empty() {
        document.report(
            Problem::error("the file is empty")
                .at(0..0)
                .help("it needs at least:\n[monolith]\nurl = \"http://127.0.0.1:8000\""),
        );
    }
    // What follows a broken line cannot be trusted to be what was meant.
    document.verdict()?;

    let mut root = Section::root(&document, entries.get_ref());
    let mut config = read(&mut root);
    root.refuse_the_rest();
    config.warnings = document.verdict()?;
    Ok(config)
}

/// A JSON Schema (draft 2020-12) of the file, for editors.
pub fn schema() -> serde_json::Value {
    let document = Document::new("", Path::new("routes.toml"));
    let mut root = Section::described(&document);
    // Nothing was in it, so nothing that was read of it means anything.
    drop(read(&mut root));
    root.into_shape().map_or(serde_json::Value::Null, schema::whole)
}

/// What `serve` runs without a file: everything is forwarded to `monolith`, by the defaults.
pub fn forward_everything(monolith: &str) -> Result<Config, Diagnostics> {
    let url = toml::Value::from(monolith);
    let path = Path::new("--monolith");
    let config = parse(&format!("[monolith]\nurl = {url}\n"), path)?;
    // The command line may say more than this text does.
    Ok(Config { warnings: Diagnostics::new(path, "", Vec::new()), ..config })
}

/// Reads every table. Total, as all reading is: where the document holds errors, the result is not to be used.
fn read(root: &mut Section<'_>) -> Config {
    let document = root.document();
    let (start, gateway) = root.section("gateway", gateway::read);
    let log = root.section("log", log::read);
    let hooks = root.list("tell", tell::read).into_iter().flatten().collect();

    let monolith = root.section("monolith", |section| {
        let settings = upstream::read("monolith", section);
        unwise::of_a_loop(section, &settings, &start.listen);
        settings
    });
    let upstreams = root.named("upstreams", upstream::read_named);
    let known: Vec<_> = iter::once(&monolith).chain(&upstreams).map(|upstream| &*upstream.name).collect();

    let aws = root.section("aws", generator::storage::aws);
    let mut generator = root.section("generator", |section| generator::read(section, aws));
    let (parallel_run, export) = root.section("parallel_run", parallel_run::read);
    let entries: Vec<_> =
        root.list("route", |route| route::read(route, &known)).into_iter().flatten().collect();
    let all: Vec<_> = iter::once(&monolith).chain(&upstreams).collect();
    unwise::of_routes(document, &entries, &gateway, &all, &generator);
    let route::Tables { table: routes, contracts, authorizations, polls, notify, idempotency, plans, guards } =
        route::table(document, entries, &generator.draws, &all);
    (generator.polls, generator.notify, generator.idempotency) = (polls, notify, idempotency);

    Config {
        start,
        gateway,
        log,
        hooks,
        monolith,
        upstreams,
        generator,
        parallel_run,
        export,
        routes: Arc::new(routes),
        contracts,
        authorizations,
        plans,
        guards,
        warnings: Diagnostics::new(document.path, document.text, Vec::new()),
        text: document.text.into(),
        digest: Sha256::digest(document.text).into(),
    }
}

/// The file's bytes; an error for what is no file, or too large for one.
pub(crate) fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    // Asked first, because opening a pipe waits for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(io::Error::other("larger than 16 MiB"));
    }
    Ok(bytes)
}

impl Start {
    /// The keys of `[gateway]` whose values differ.
    pub fn changed_keys(&self, other: &Self) -> Vec<&'static str> {
        // The command line's is no key of the file.
        let Self { listen, admin, admin_token, workers, data, certificates, proxy_protocol, monolith: _ } =
            self;
        let token =
            |token: &Option<SecretString>| token.as_ref().map(|token| token.expose_secret().to_owned());
        [
            ("listen", *listen != other.listen),
            ("admin", *admin != other.admin),
            ("admin_token", token(admin_token) != token(&other.admin_token)),
            ("workers", *workers != other.workers),
            ("data", *data != other.data),
            ("tls", *certificates != other.certificates),
            ("proxy_protocol", *proxy_protocol != other.proxy_protocol),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect()
    }
}

#[cfg(test)]
mod tests;
