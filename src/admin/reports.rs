//! What the evidence proves, for machines under `/api` and as pages: reports, single comparisons, and what a person says
//! of them.
//!
//! It is read beside the work plane's own threads. A report over much evidence takes a moment, so that those who ask in
//! the same moment get the same one.

mod json;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Method, Request, StatusCode};
use http_body::Body;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::{sync::Mutex, task::spawn_blocking};
use uuid::Uuid;

use super::{
    operate::{Answer, BoxError, Problem, a_reason, is_name, json as answered, read},
    page, pages,
    paging::Page,
};
use crate::{
    evidence::{
        AlarmId, Evidence, Said, SaidError,
        read::{
            ReadError,
            pairs::{Ask, Line, Whole},
        },
        said,
    },
    parallel_run::{
        comparison::{Class, words::Word as _},
        settings::Plan,
    },
    report::{
        self, Report,
        summary::{Live, RouteReport},
    },
    routing::Route,
};

/// For so long a report is today's.
const FRESH: Duration = Duration::from_secs(1);
/// Comparisons of one answer, unless fewer or more are asked for.
const LIMIT: usize = 50;
/// Comparisons of one answer, at most.
const MOST: usize = 500;
/// Kept pairs on a route's page.
const EXHIBITS: usize = 6;

/// The routes in force, each with how it is compared, and what users have got of it from this gateway.
pub type Planned = Box<dyn Fn() -> Vec<(Route, Plan, Live)> + Send + Sync>;

/// Reads the evidence for those who ask.
pub struct Reports {
    data: PathBuf,
    planned: Planned,
    clock: fn() -> Timestamp,
    /// The last report; whoever makes the next one holds it.
    last: Mutex<Option<(Instant, Arc<Report>)>>,
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Home,
    Reports,
    Report(String),
    History(String),
    Comparisons,
    Comparison(String),
    Label(String),
    Acknowledge(String),
    RoutePage(String),
    PairsPage(String),
    PairPage(String),
}

/// What a list is asked for: `?route=&class=&limit=&after=`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    route: Option<String>,
    pub(super) class: Option<String>,
    limit: Option<usize>,
    after: Option<Uuid>,
}

/// `PUT /api/comparisons/{id}/label`; null takes it away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Labelling {
    label: Option<String>,
}

/// `POST /api/alarms/{id}/ack`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledging {
    reason: String,
}

impl Question {
    /// What a request asks, if it is anything of this.
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        let steps: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        match (&*steps, method) {
            ([""], _) if is_read => Some(Self::Home),
            (["api", "reports"], _) if is_read => Some(Self::Reports),
            (["api", "reports", route], _) if is_read => Some(Self::Report((*route).to_owned())),
            (["api", "reports", route, "history"], _) if is_read => Some(Self::History((*route).to_owned())),
            (["api", "comparisons"], _) if is_read => Some(Self::Comparisons),
            (["api", "comparisons", id], _) if is_read => Some(Self::Comparison((*id).to_owned())),
            (["api", "comparisons", id, "label"], &Method::PUT) => Some(Self::Label((*id).to_owned())),
            (["api", "alarms", id, "ack"], &Method::POST) => Some(Self::Acknowledge((*id).to_owned())),
            (["routes", route], _) if is_read => Some(Self::RoutePage((*route).to_owned())),
            (["routes", route, "pairs"], _) if is_read => Some(Self::PairsPage((*route).to_owned())),
            (["comparisons", id], _) if is_read => Some(Self::PairPage((*id).to_owned())),
            _ => None,
        }
    }

    /// Answers `request`, for whoever is at `peer`; host and token have been looked at.
    pub(super) async fn answer<B>(
        self,
        request: Request<B>,
        peer: SocketAddr,
        reports: &Arc<Reports>,
        standing: impl FnOnce() -> page::Standing,
    ) -> Answer
    where
        B: Body<Error: Into<BoxError>>,
    {
        let by = format!("the admin listener, from {}", peer.ip().to_canonical());
        let (head, body) = request.into_parts();
        let answer = match self {
            Self::Home => {
                // The first page stands also where the evidence cannot be read.
                let report = reports.report().await.ok();
                let page = page::render(&standing(), report.as_deref());
                Ok(pages::answer(page, pages::Script::Refreshes))
            }
            Self::Label(id) => match read::<_, Labelling>(&head, body).await {
                Ok(labelling) => reports.label(id, labelling.label, by).await,
                Err(problem) => Err(problem),
            },
            Self::Acknowledge(id) => match read::<_, Acknowledging>(&head, body).await {
                Ok(said) => reports.acknowledge(id, said.reason, by).await,
                Err(problem) => Err(problem),
            },
            question => reports.show(question, head.uri.query().unwrap_or_default()).await,
        };
        answer.unwrap_or_else(Problem::into_response)
    }
}

impl Reports {
    /// Of the evidence in the folder `data`.
    pub fn new(data: PathBuf, planned: Planned, clock: fn() -> Timestamp) -> Self {
        Self { data, planned, clock, last: Mutex::default() }
    }

    async fn show(self: &Arc<Self>, question: Question, query: &str) -> Result<Answer, Problem> {
        match question {
            Question::Report(name) => self.route(&name).await.map(|route| serialized(&route)),
            Question::History(name) => {
                self.route(&name).await.map(|route| answered(&json!({ "history": route.history })))
            }
            Question::Comparisons => {
                let asked = asked(query)?;
                let (lines, next) = self.comparisons(asked.clone()).await?;
                // Evidence outlives its route.
                if let (Some(route), []) = (&asked.route, &*lines) {
                    self.route(route).await?;
                }
                let lines: Vec<_> = lines.iter().map(json::line).collect();
                Ok(answered(&json!({ "comparisons": lines, "after": next.map(|id| id.to_string()) })))
            }
            Question::Comparison(id) => self.comparison(&id).await.map(|pair| answered(&json::whole(&pair))),
            Question::RoutePage(name) => {
                let route = self.route(&name).await?;
                let exhibits = self.read(move |evidence| report::exhibits(evidence, &name, EXHIBITS)).await?;
                let page = pages::route(&route, &exhibits.unwrap_or_default());
                Ok(pages::answer(page, pages::Script::Says))
            }
            Question::PairsPage(name) => {
                let name = self.route(&name).await?.name;
                let asked = Asked { route: Some(name.clone()), ..asked(query)? };
                let (lines, next) = self.comparisons(asked.clone()).await?;
                let page = pages::pairs(&name, &asked, &lines, next.map(|id| id.to_string()).as_deref());
                Ok(pages::answer(page, pages::Script::None))
            }
            Question::PairPage(id) => {
                let pair = self.comparison(&id).await?;
                Ok(pages::answer(pages::pair(&pair), pages::Script::Says))
            }
            _ => self.reports(query).await,
        }
    }

    /// A page of the report.
    async fn reports(self: &Arc<Self>, query: &str) -> Result<Answer, Problem> {
        let wrong = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
        let page = Page::of(Some(query)).map_err(wrong)?;
        let Report { schema, generated_at, routes } = &*self.report().await?;
        let (routes, next) = page.of_list(routes, |route| &route.name).map_err(wrong)?;
        let routes = serde_json::to_value(routes).map_err(|error| failed(&error))?;
        Ok(answered(
            &json!({ "schema": schema, "generated_at": generated_at, "routes": routes, "next": next }),
        ))
    }

    /// What all routes' evidence proves now.
    async fn report(self: &Arc<Self>) -> Result<Arc<Report>, Problem> {
        let mut last = self.last.lock().await;
        if let Some((made, report)) = &*last
            && made.elapsed() < FRESH
        {
            return Ok(report.clone());
        }
        let reports = self.clone();
        let built = spawn_blocking(move || {
            let (planned, now) = ((reports.planned)(), (reports.clock)());
            let evidence = reports.open()?;
            let routes = planned.iter().map(|(route, plan, _)| (route, plan));
            let mut report = report::build(evidence.as_ref(), routes, now)?;
            for (route, (_, _, live)) in report.routes.iter_mut().zip(planned) {
                route.live = live;
            }
            Ok::<_, ReadError>(report)
        });
        let report = Arc::new(built.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?);
        *last = Some((Instant::now(), report.clone()));
        Ok(report)
    }

    async fn route(self: &Arc<Self>, name: &str) -> Result<RouteReport, Problem> {
        let unknown = || Problem::new(StatusCode::NOT_FOUND, format!("there is no route {name}"));
        if !is_name(name) {
            return Err(Problem::new(StatusCode::NOT_FOUND, "there is no route of this name"));
        }
        let report = self.report().await?;
        report.routes.iter().find(|route| route.name == name).cloned().ok_or_else(unknown)
    }

    /// A page of comparisons, and after which the next one begins.
    async fn comparisons(self: &Arc<Self>, asked: Asked) -> Result<(Vec<Line>, Option<Uuid>), Problem> {
        let limit = asked.limit.unwrap_or(LIMIT);
        let classes = asked.class.as_deref().map_or(Ok(Vec::new()), classes)?;
        let ask = Ask { route: asked.route, classes, after: asked.after, limit };
        let lines = self.read(move |evidence| evidence.comparisons(&ask)).await?.unwrap_or_default();
        let next = (lines.len() == limit).then(|| lines.last().map(|line| line.id)).flatten();
        Ok((lines, next))
    }

    async fn comparison(self: &Arc<Self>, id: &str) -> Result<Whole, Problem> {
        let id = comparison_id(id)?;
        let found = self.read(move |evidence| evidence.comparison(id)).await?.flatten();
        found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("there is no comparison {id}")))
    }

    async fn label(
        self: &Arc<Self>,
        id: String,
        label: Option<String>,
        who: String,
    ) -> Result<Answer, Problem> {
        let id = comparison_id(&id)?;
        let at = (self.clock)();
        let said = label.map(|text| Said { at, who, text });
        let (data, labelled) = (self.data.clone(), said.clone());
        let done = spawn_blocking(move || said::label(&data, id, labelled.as_ref()));
        done.await.map_err(|error| failed(&error))??;
        Ok(answered(&json!({ "label": said.as_ref().map(json::said) })))
    }

    async fn acknowledge(
        self: &Arc<Self>,
        id: String,
        reason: String,
        who: String,
    ) -> Result<Answer, Problem> {
        let alarm: AlarmId = id.parse()?;
        let said = Said { at: (self.clock)(), who, text: a_reason(&reason)? };
        let (data, wish) = (self.data.clone(), said.clone());
        let done = spawn_blocking(move || said::acknowledge(&data, alarm, &wish));
        let done = done.await.map_err(|error| failed(&error))??;
        // The next report must not be one from before.
        *self.last.lock().await = None;
        let said = done.before.unwrap_or(said);
        let acknowledged =
            json!({ "at": report::assess::instant(said.at), "by": said.who, "reason": said.text });
        Ok(answered(&json!({
            "id": alarm.to_string(),
            "route": done.route,
            "acknowledged": acknowledged,
            "unacknowledged": done.left,
        })))
    }

    /// What `ask` finds in the evidence; `None` where there is none at all.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        ask: impl FnOnce(&Evidence) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<Option<T>, Problem> {
        let reports = self.clone();
        let found = spawn_blocking(move || reports.open()?.as_ref().map(ask).transpose());
        found.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }

    fn open(&self) -> Result<Option<Evidence>, ReadError> {
        match Evidence::open(&self.data, (self.clock)()) {
            Ok(evidence) => Ok(Some(evidence)),
            Err(ReadError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl From<SaidError> for Problem {
    fn from(error: SaidError) -> Self {
        let status = match error {
            SaidError::NoAlarm(_) | SaidError::NoComparison(_) | SaidError::Missing(_) => {
                StatusCode::NOT_FOUND
            }
            SaidError::Label => StatusCode::UNPROCESSABLE_ENTITY,
            SaidError::Sqlite(_) | SaidError::Version(_) | SaidError::Audit(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::new(status, error.to_string())
    }
}

fn failed(error: &dyn std::error::Error) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

fn serialized(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_value(value) {
        Ok(value) => answered(&value),
        Err(error) => failed(&error).into_response(),
    }
}

fn comparison_id(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| Problem::new(StatusCode::NOT_FOUND, "there is no comparison of this id"))
}

/// The classes that a word means: itself, or for `skipped` every reason.
fn classes(word: &str) -> Result<Vec<Class>, Problem> {
    let of = |(class, known): &(Class, &str)| {
        (*known == word || word == "skipped" && matches!(class, Class::Skipped(_))).then_some(*class)
    };
    let classes: Vec<Class> = Class::WORDS.iter().filter_map(of).collect();
    if classes.is_empty() {
        let words: Vec<&str> = Class::WORDS.iter().map(|(_, word)| *word).collect();
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!("there is no class \"{word}\": there are skipped, {}", words.join(", ")),
        ));
    }
    Ok(classes)
}

fn asked(query: &str) -> Result<Asked, Problem> {
    let wrong = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
    let mut asked = Asked::default();
    for (key, value) in form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
        match &*key {
            "route" => asked.route = Some(value.into_owned()),
            "class" => asked.class = Some(value.into_owned()),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                asked.limit = Some(limit.ok_or_else(|| wrong(format!("`limit` is from 1 to {MOST}")))?);
            }
            "after" => {
                let id = value.parse().map_err(|_| wrong("`after` is the id of a comparison".to_owned()))?;
                asked.after = Some(id);
            }
            other => {
                return Err(wrong(format!(
                    "there is no parameter \"{other}\": ask with route, class, limit, after"
                )));
            }
        }
    }
    Ok(asked)
}

#[cfg(test)]
mod tests;
