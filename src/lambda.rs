//! The generator alone, as an AWS Lambda function: events come by Lambda's runtime API, one at a time, and between two of
//! them nothing runs.
//!
//! ```text
//! event -> call -> route -> generator -> wire        a request, by whichever front
//!      \-> article -> generator                      a direct invocation with an article's body
//!      \-> begin -> generator                        what an event before has promised
//!      \-> janitor                                   a schedule
//!                      \-> settle -> flush -> answer
//! ```
//!
//! What a function has on its disk is lost with its sandbox, so images and records are kept elsewhere, and only the spool
//! is here. An event is answered when nothing of it is left to do: whatever were left would stand still with the sandbox.

mod call;
mod event;
mod fit;
mod function;
mod itself;
mod leaving;
mod moments;
mod wire;

use std::{env, fmt, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use lambda_runtime::{Diagnostic, FunctionResponse, LambdaEvent, service_fn, streaming};
use serde_json::{Value, value::RawValue};
use tokio::runtime::Builder;

use crate::{
    app::visiting, config::Config, forwarding::Surroundings, shutdown::Shutdown, telemetry::log::Control,
};
use function::Function;
use itself::Itself;

/// What Lambda sets for every function, and its runtime API cannot be spoken without.
const ENVIRONMENT: [&str; 4] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
];

/// How a function is invoked by those fronts that can take its answer as a stream: REST APIs and function URLs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InvokeMode {
    /// Whole.
    #[default]
    Buffered,
    /// As it comes.
    ResponseStream,
}

impl InvokeMode {
    /// As AWS writes it of a function's URL.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "BUFFERED" => Some(Self::Buffered),
            "RESPONSE_STREAM" => Some(Self::ResponseStream),
            _ => None,
        }
    }
}

/// Answers events until the process is told to end. `data` is what lasts as long as the sandbox.
///
/// # Errors
///
/// Where Lambda is not around, the configuration is none that a function can work by, or the runtime API is gone.
pub fn run(config: Config, data: &Path, mode: InvokeMode, log: &Control) -> anyhow::Result<()> {
    let missing: Vec<_> = ENVIRONMENT.into_iter().filter(|name| env::var(name).is_err()).collect();
    anyhow::ensure!(
        missing.is_empty(),
        "not started by AWS Lambda: {} not set; to try it here, use `cargo lambda watch --only-lambda-apis`",
        missing.join(", ")
    );
    fit::check(&config)?;
    let work = Builder::new_multi_thread().thread_name("work").enable_all().build()?;
    work.block_on(serve(config, data, mode, log))
}

async fn serve(config: Config, data: &Path, mode: InvokeMode, log: &Control) -> anyhow::Result<()> {
    let life = Shutdown::default();
    let generator = visiting::open(&config, data, &life).await?;
    let around = Surroundings::current(life.clone());
    generator.begin_elsewhere(Arc::new(Itself::of_environment(&config.generator.aws.region, &around)?));
    let function = Arc::new(Function::new(config, generator, mode, life.clone(), log.clone()));
    let answering = lambda_runtime::Runtime::new(service_fn(move |event: LambdaEvent<Value>| {
        let function = function.clone();
        async move { function.answer(event).await }
    }));
    tokio::select! {
        ended = answering.run() => {
            ended.map_err(anyhow::Error::from_boxed).context("Lambda's runtime API cannot be spoken to")
        }
        signalled = end(life.clone()) => Ok(signalled?),
    }
}

/// Resolves at SIGTERM or SIGINT. No event is at work then: a sandbox is ended between two of them.
async fn end(life: Shutdown) -> std::io::Result<()> {
    tokio::select! {
        heard = life.clone().on_signals() => heard,
        () = life.draining() => Ok(()),
    }
}

/// What Lambda is told of an event that has no answer.
fn failed(kind: &str, message: &dyn fmt::Display) -> Diagnostic {
    Diagnostic { error_type: kind.to_owned(), error_message: message.to_string() }
}

/// What Lambda is handed as an answer: an event of its front, or a stream.
type Answer = FunctionResponse<Box<RawValue>, streaming::Body>;

/// How long a URL is good that stands for an image which is too large to be answered.
const ELSEWHERE: Duration = Duration::from_mins(5);
