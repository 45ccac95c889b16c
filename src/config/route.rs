//! `[[route]]`.

pub(super) mod authorize;
mod custom;
mod idempotency;
mod notify;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    condition::Conditions,
    diagnostic::{Problem, Span},
    document::Document,
    guard,
    kind::{Choice, DURATION, HOST, List, METHOD, NAME, Number, OrOff, PATTERN, SUBJECT, WORDS, nearest},
    parallel_run,
    section::Section,
    unwise::{self, Walk},
};
use crate::{
    brake::guard::Settings as Guard,
    forwarding::upstream,
    gateway::settings::Authorize,
    generator::settings::{Contract, Draws, Idempotency, KeyPlace, Notify},
    parallel_run::settings::Plan,
    routing::{Canary, Candidate, Fallback, Host, Mode, Pattern, Route, Share, Table},
};

const CONTRACT: Choice<Speaks> =
    Choice(&[("article", Speaks::Article), ("openai", Speaks::OpenAi), ("custom", Speaks::Custom)]);
const FALLBACK: Choice<Fallback> = Choice(&[("when-safe", Fallback::WhenSafe), ("never", Fallback::Never)]);
const MODE: Choice<Mode> = Choice(&[
    ("monolith", Mode::Monolith),
    ("shadow", Mode::Shadow),
    ("canary", Mode::Canary),
    ("migrated", Mode::Migrated),
]);

/// Of more pairs of routes that a request could go to alike nobody needs to hear, and finding their places takes time.
const TIES: usize = 1_000;

/// Which contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Article,
    OpenAi,
    Custom,
}

/// What one `[[route]]` says, and where its name stands.
pub(super) struct Entry {
    pub(super) route: Route,
    pub(super) contract: Option<Contract>,
    pub(super) authorize: Authorize,
    pub(super) notify: Option<Notify>,
    pub(super) idempotency: Option<Idempotency>,
    pub(super) plan: Plan,
    pub(super) guard: Guard,
    pub(super) spans: Spans,
}

/// Where it says what may be wrong in the light of the whole file.
pub(super) struct Spans {
    name: Span,
    pub(super) path: Span,
    pub(super) methods: Span,
    pub(super) candidate: Span,
    pub(super) subject: Span,
    pub(super) mode: Span,
}

/// Reads one route; `None` when it lacks what makes it one, which has been reported then.
pub(super) fn read(route: &mut Section<'_>, upstreams: &[&str]) -> Option<Entry> {
    let name = route.required("name", NAME);
    let path = route.required("path", PATTERN);
    let mode = route.required("mode", MODE);
    let (methods, host) = (route.or("methods", List(METHOD), Vec::new()), route.or("host", HOST, Host::Any));
    let conditions = [
        route.or("headers", Conditions::HEADERS, Vec::new()),
        route.or("cookies", Conditions::COOKIES, Vec::new()),
        route.or("query", Conditions::QUERY, Vec::new()),
    ];
    let candidate = route.or("candidate", WORDS, "generator".to_owned());
    let control = route.or("upstream", WORDS, "monolith".to_owned());
    let speaks = route.optional("contract", CONTRACT);
    let notify = route.optional_section("notify", |section| notify::read(section, &control)).flatten();
    let contract = contract(route, speaks, path.as_ref().map(Pattern::as_str));
    let subject = route.optional("subject", SUBJECT);
    let authorize = authorize::read(route);
    // Other candidates keep their keys themselves; where the route says so, only the arm of a key is kept here.
    let has_keys = candidate == "generator" || route.has("idempotency");
    let idempotency = has_keys.then(|| idempotency::read(route, subject.as_ref(), &authorize));
    let fallback = route.or("fallback", FALLBACK, Fallback::WhenSafe);
    let timeout = route.or("timeout", OrOff(DURATION), None);
    let canary = route.section("canary", canary);
    let plan = parallel_run::plan(route);
    let guard = route.section("guard", guard::read);

    if candidate != "generator" {
        exists(route, "candidate", &candidate, upstreams);
    }
    exists(route, "upstream", &control, upstreams);
    if candidate != "generator"
        && contract.is_none()
        && let Some(Idempotency { key: KeyPlace::Json(_) | KeyPlace::Form(_), .. }) = &idempotency
    {
        let help = "a key in a header or the query: key = \"header:idempotency-key\"";
        let what = "no key is honoured: it stands in the body, which is not held back for another upstream";
        route.warning("idempotency", what, help);
    }
    if candidate == control {
        let help = "name another upstream, or leave out `candidate` for the generator";
        route.error("candidate", format!("`candidate` and `upstream` are both {control}"), help);
    }
    match (&*candidate, route.has("contract")) {
        ("generator", false) => route.error(
            "contract",
            "`contract` is missing: the generator has to know how this route asks for an image",
            "contract = \"article\", \"openai\" or \"custom\"; or another candidate",
        ),
        ("generator", true) | (_, false) => {}
        // Who permits it has to know how much it is.
        (_, true) if matches!(authorize, Authorize::Ask(_)) => {}
        (_, true) => route.error(
            "contract",
            "`contract` is for the generator, or for what [route.authorize] is told, and this route has neither",
            "leave it out: an upstream gets the request as it came",
        ),
    }
    if let Some(mode) = mode {
        unwise::of_mode(
            route,
            mode,
            &Walk { canary: &canary, subject: subject.as_ref(), plan: &plan, guard: &guard },
        );
    }

    let spans = Spans {
        name: route.span_of("name"),
        path: route.span_of("path"),
        methods: route.span_of("methods"),
        candidate: route.span_of("candidate"),
        subject: route.span_of("subject"),
        mode: route.span_of("mode"),
    };
    Some(Entry {
        spans,
        contract,
        authorize,
        notify,
        idempotency,
        plan,
        guard,
        route: Route {
            name: name?.into(),
            line: route.line(),
            methods,
            path: path?,
            host,
            conditions: conditions.concat(),
            mode: mode?,
            brake: None,
            candidate: match &*candidate {
                "generator" => Candidate::Generator,
                upstream => Candidate::Upstream(upstream.into()),
            },
            control: control.into(),
            subject,
            canary,
            fallback,
            timeout,
        },
    })
}

/// The contract that `speaks` names; of the operator's own, what it is made of.
fn contract(route: &mut Section<'_>, speaks: Option<Speaks>, path: Option<&str>) -> Option<Contract> {
    let own = custom::contract(route, path);
    let (request, response) = (route.has("request"), route.has("response"));
    if speaks == Some(Speaks::Custom) {
        for (key, there) in [("request", request), ("response", response)] {
            if !there {
                let message = format!("contract = \"custom\" needs a table [route.{key}]");
                let help = match key {
                    "request" => "[route.request]\nprompt = \"json:/prompt\"",
                    _ => {
                        "[route.response]\nbody = '{\"image\": \"{{ images[0].url }}\"}'\nerror_body = '{\"error\": \"{{ message }}\"}'"
                    }
                };
                route.error("contract", message, help);
            }
        }
    } else if let Some(key) = ["request", "response", "poll"].into_iter().find(|key| route.has(key)) {
        let message = format!("[route.{key}] means something only with contract = \"custom\"");
        route.error(key, message, "leave it out, or write contract = \"custom\"");
    }
    match speaks? {
        Speaks::Article => Some(Contract::Article),
        Speaks::OpenAi => Some(Contract::OpenAi),
        Speaks::Custom => own.map(|own| Contract::Custom(Arc::new(own))),
    }
}

fn canary(canary: &mut Section<'_>) -> Canary {
    let percent = canary.or("percent", Number(0.0..=100.0), 0.0);
    let mut subjects = |key| canary.or(key, List(WORDS), Vec::new()).into_iter().map(Into::into).collect();
    Canary {
        share: Share::from_fraction(percent / 100.0).unwrap_or_default(),
        allow: subjects("allow"),
        deny: subjects("deny"),
    }
}

fn exists(route: &Section<'_>, key: &str, upstream: &str, upstreams: &[&str]) {
    if !upstreams.contains(&upstream) {
        let help = match nearest(upstream, upstreams.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => {
                format!("there are: {}; another is added as [upstreams.{upstream}]", upstreams.join(", "))
            }
        };
        route.error(key, format!("there is no upstream \"{upstream}\""), help);
    }
}

/// All routes as a table, and beside it what other modules keep at each route's place.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) table: Table,
    pub(super) contracts: Vec<Option<Contract>>,
    pub(super) authorizations: Vec<Authorize>,
    /// Routes, and the paths of their jobs.
    pub(super) polls: Vec<(Arc<str>, String)>,
    /// By the route's name.
    pub(super) notify: BTreeMap<Arc<str>, Notify>,
    /// By the name of a route under which keys stand.
    pub(super) idempotency: BTreeMap<Arc<str>, Idempotency>,
    pub(super) plans: Vec<Plan>,
    pub(super) guards: Vec<Guard>,
}

/// Puts `entries` together.
pub(super) fn table(
    document: &Document<'_>,
    entries: Vec<Entry>,
    draws: &Draws,
    upstreams: &[&upstream::Settings],
) -> Tables {
    let spans: Vec<_> =
        entries.iter().map(|entry| (entry.route.name.clone(), entry.spans.name.clone())).collect();
    let mut first_uses: HashMap<&str, &Span> = HashMap::new();
    for (name, span) in &spans {
        if let Some(first) = first_uses.insert(name, span) {
            document.report(
                Problem::error(format!("there are two routes \"{name}\""))
                    .at(span.clone())
                    .related(first.clone(), "the other one")
                    .help("rename one: evidence and canary assignment go by a route's name"),
            );
        }
    }

    let (mut routes, mut tables) = (Vec::new(), Tables::default());
    for Entry { route, contract, authorize, notify, idempotency, plan, guard, spans: _ } in entries {
        tables.idempotency.extend(idempotency.map(|idempotency| (route.name.clone(), idempotency)));
        if let Some(Contract::Custom(custom)) = &contract
            && let Some(poll) = &custom.poll
        {
            tables.polls.push((route.name.clone(), poll.path.clone()));
        }
        tables.notify.extend(notify.map(|notify| (route.name.clone(), notify)));
        tables.plans.push(parallel_run::with_arms(plan, &route, contract.as_ref(), draws, upstreams));
        routes.push(route);
        tables.contracts.push(contract);
        tables.authorizations.push(authorize);
        tables.guards.push(guard);
    }
    tables.table = Table::new(routes).unwrap_or_else(|conflicts| {
        for conflict in conflicts.into_iter().take(TIES) {
            let ((first, line), (second, other_line)) = (conflict.first, conflict.second);
            let span_at = |name: &str, line| {
                spans.iter().find(|(known, span)| **known == *name && document.line(span) >= line)
            };
            if let (Some((_, first_span)), Some((_, second_span))) =
                (span_at(&first, line), span_at(&second, other_line))
            {
                document.report(
                    Problem::error(format!("a request could go to \"{first}\" and to \"{second}\" alike"))
                        .at(second_span.clone())
                        .related(first_span.clone(), "the other one")
                        .help("give one of them a path, a host, methods or conditions that the other has not:\n\
                               what it asks of headers, cookies and query has to include all that the other asks"),
                );
            }
        }
        Table::default()
    });
    tables
}
