//! What no key is wrong about by itself: modes without what they need, routes that nothing can reach, and what is legal
//! and unwise.

use std::net::IpAddr;

use http::Method;

use super::{diagnostic::Problem, document::Document, route::Entry, section::Section};
use crate::{
    brake::guard::Settings as Guard,
    forwarding::upstream,
    gateway::settings::{Authorize, Settings as Gateway},
    generator::settings::{Draws, PublicUrl, Query, Settings as Generator, Unknown},
    parallel_run::settings::{Plan, Start},
    routing::{Canary, Candidate, Mode, Pattern, Share, Subject},
};

/// What a route needs to walk.
pub(super) struct Walk<'w> {
    pub(super) canary: &'w Canary,
    pub(super) subject: Option<&'w Subject>,
    pub(super) plan: &'w Plan,
    pub(super) guard: &'w Guard,
}

/// Reports what the route's mode lacks.
pub(super) fn of_mode(route: &Section<'_>, mode: Mode, walk: &Walk<'_>) {
    let &Walk { canary, subject, plan, guard } = walk;
    match (mode, subject) {
        (Mode::Canary, None) => route.error(
            "mode",
            "a canary needs a `subject`: nobody can be told apart from anybody",
            "add one, such as subject = \"cookie:session\"",
        ),
        (Mode::Canary, Some(_)) if canary.share == Share::NONE && canary.allow.is_empty() => route.warning(
            "mode",
            "a canary of 0 percent is answered by the monolith, always",
            "set `percent` or `allow` in [route.canary]",
        ),
        (Mode::Shadow, None) if plan.gate.min_subjects > 0 => route.warning(
            "mode",
            format!(
                "without a `subject` it is never SAFE: {} subjects are asked for",
                plan.gate.min_subjects
            ),
            "add one, such as subject = \"cookie:session\";\n\
             or min_subjects = 0 in [route.gate], which takes all pairs for independent ones",
        ),
        _ => {}
    }
    let is_compared = matches!(mode, Mode::Shadow | Mode::Canary);
    if is_compared && plan.sample == Share::NONE {
        route.warning(
            "mode",
            "its sample is 0: nothing is compared, and nothing is ever proved",
            "raise `sample` in [route.shadow]",
        );
    }
    if let Some(both) = canary.allow.iter().find(|subject| canary.deny.contains(subject)) {
        route.warning(
            "canary",
            format!("\"{both}\" is allowed and denied: denied it is"),
            "leave it out of one of them",
        );
    }
    let Guard { window: _, min_requests: _, max_error_rate, max_latency_ratio, max_fallback_rate } = guard;
    let watches = max_error_rate.is_some() || max_latency_ratio.is_some() || max_fallback_rate.is_some();
    if matches!(mode, Mode::Canary | Mode::Migrated) && !watches {
        route.warning(
            "guard",
            "every limit is off: no failure of the candidate pulls the brake",
            "leave max_error_rate at its default",
        );
    }
}

/// Reports a monolith that is this gateway.
pub(super) fn of_a_loop(
    monolith: &Section<'_>,
    settings: &upstream::Settings,
    listen: &[std::net::SocketAddr],
) {
    let is_ours = |ours: IpAddr| match settings.host.parse::<IpAddr>() {
        Ok(address) => ours == address || (ours.is_unspecified() && address.is_loopback()),
        Err(_) => {
            settings.host.eq_ignore_ascii_case("localhost") && (ours.is_unspecified() || ours.is_loopback())
        }
    };
    if listen.iter().any(|ours| ours.port() == settings.port && is_ours(ours.ip())) {
        monolith.warning(
            "url",
            "this is where the gateway listens: it would ask itself",
            "name the site's own address, or set gateway.listen",
        );
    }
}

/// Reports what is wrong with `entries` in the light of all other tables.
pub(super) fn of_routes(
    document: &Document<'_>,
    entries: &[Entry],
    gateway: &Gateway,
    upstreams: &[&upstream::Settings],
    generator: &Generator,
) {
    let ours = paths_of_ours(generator);
    for Entry { route, authorize, plan, spans, .. } in entries {
        let answers = matches!(route.mode, Mode::Canary | Mode::Migrated);
        let paid = generator.draws != Draws::Local && route.candidate == Candidate::Generator;
        if answers && paid && *authorize == Authorize::Off {
            let problem = Problem::error(format!(
                "\"{}\" is an open wallet: whoever asks is drawn for, and the provider is paid",
                route.name
            ));
            document.report(problem.at(spans.mode.clone()).help(
                "[route.authorize]\nurl = \"/internal/may-generate\"\nasks the monolith first; authorize = \"public\" is open on purpose",
            ));
        }
        let is_compared = matches!(route.mode, Mode::Shadow | Mode::Canary) && plan.sample > Share::NONE;
        if is_compared && paid && plan.budget_usd_per_day.is_none() {
            let problem = Problem::error(format!(
                "\"{}\" compares at a price: each pair is paid for, and nothing says how much a day may cost",
                route.name
            ));
            let help =
                "[route.shadow]\nbudget_usd_per_day = 5.0\nor sample = 0.0 there, which proves nothing";
            document.report(problem.at(spans.mode.clone()).help(help));
        }
        if paid && plan.gate.max_cost_ratio.is_some() && plan.gate.control_usd_per_image.is_none() {
            let problem = Problem::warning(format!(
                "\"{}\" is never SAFE: `max_cost_ratio` asks for a multiple of the control's cost, which nothing tells",
                route.name
            ));
            let help = "[route.gate]\ncontrol_usd_per_image = 0.04";
            document.report(problem.at(spans.mode.clone()).help(help));
        }
        if paid && plan.start == Start::Together {
            let problem = Problem::error(format!(
                "\"{}\" starts its candidate together with the control, and the candidate is paid",
                route.name
            ));
            let help = "leave `start` at \"after-control\": strangers must not spend the budget";
            document.report(problem.at(spans.mode.clone()).help(help));
        }
        let only = |methods: &[Method]| {
            !route.methods.is_empty() && route.methods.iter().all(|method| methods.contains(method))
        };
        if route.path.as_str().split('/').any(|segment| matches!(segment, "." | "..")) {
            document.report(
                Problem::warning(format!(
                    "clients resolve `.` and `..` before they ask for \"{}\"",
                    route.path.as_str()
                ))
                .at(spans.path.clone())
                .help("write the path that they ask for then"),
            );
        }
        if let Some((segment, here)) = route.path.as_str().split('/').find_map(of_another_notation) {
            let problem = Problem::warning(format!("`{segment}` is taken as it stands, letter by letter"));
            document.report(problem.at(spans.path.clone()).help(here));
        }
        if only(&[Method::CONNECT]) {
            let problem =
                Problem::error(format!("no request reaches \"{}\": CONNECT is for proxies", route.name));
            document.report(problem.at(spans.methods.clone()).help("name other methods"));
        }
        if only(&[Method::GET, Method::HEAD])
            && let Some(path) = ours.iter().find(|path| route.path.is_within(path))
        {
            document.report(
                Problem::error(format!(
                    "no request reaches \"{}\": the generator answers GET and HEAD of {path} itself",
                    route.name
                ))
                .at(spans.path.clone())
                .help(
                    "another path; or another `public_url` in [generator.store], or `serve` in [generator]",
                ),
            );
        }
        let find = |name: &str| upstreams.iter().find(|upstream| *upstream.name == *name);
        if let Candidate::Upstream(candidate) = &route.candidate
            && let (Some(a), Some(b)) = (find(candidate), find(&route.control))
            && (&a.host, a.port) == (&b.host, b.port)
        {
            let problem = Problem::warning(format!("{candidate} and {} are one address", route.control));
            document.report(problem.at(spans.candidate.clone()).help("name another upstream"));
        }
        if route.subject == Some(Subject::ClientIp) && gateway.trusted_proxies.is_empty() {
            document.report(
                Problem::warning("no proxy is trusted: behind a balancer all its users are one subject")
                    .at(spans.subject.clone())
                    .help("name its network in gateway.trusted_proxies; or take a cookie or a header"),
            );
        }
    }
}

/// A segment that other routers take for a parameter (`:id`, `<id>`, `*`), and how that is written here.
fn of_another_notation(segment: &str) -> Option<(&str, String)> {
    let name = segment.trim_matches([':', '<', '>', '*']);
    let here = match segment.as_bytes() {
        [b':', ..] | [b'<', .., b'>'] if is_name(name) => format!("a parameter is written {{{name}}}"),
        [b'*', ..] if is_name(name) => format!("the rest of a path is written {{*{name}}}"),
        b"*" | b"**" => "a parameter is written {name}, the rest of a path {*rest}".to_owned(),
        _ => return None,
    };
    Some((segment, here))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The paths of which no GET is left to any route.
fn paths_of_ours(generator: &Generator) -> Vec<Pattern> {
    let public = match &generator.public_url {
        PublicUrl::Path(path) => Some(format!("{path}/{{name}}")),
        PublicUrl::Presigned(_) => None,
    };
    let all = generator
        .serve
        .iter()
        .filter(|serve| serve.unknown == Unknown::NotFound && serve.query == Query::Ignore);
    let all = all.map(|serve| serve.path.as_str());
    all.chain(public.as_deref()).filter_map(|path| Pattern::new(path).ok()).collect()
}
