//! `figueira lambda`: the generator alone, as an AWS Lambda function.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

/// Answer the events of an AWS Lambda function by the generator; chosen by itself where Lambda starts figueira.
#[derive(Debug, Args)]
#[command(after_help = "\
Requests by API Gateway, a load balancer or a function URL are answered by the routes whose candidate is the generator; \
a schedule runs the janitor. Images and records have to be in S3 and DynamoDB. See docs/lambda.md.

Example, beside `cargo lambda watch --only-lambda-apis`, which says what to set:
  AWS_LAMBDA_RUNTIME_API=http://127.0.0.1:9000/.rt AWS_LAMBDA_FUNCTION_NAME=_ \\
  AWS_LAMBDA_FUNCTION_VERSION=1 AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1024 \\
  figueira lambda --config function.toml

FIGUEIRA_INVOKE_MODE=RESPONSE_STREAM where its URL or REST API is set up to take answers as streams.")]
pub(super) struct Lambda {
    /// The file with routes, store and catalog.
    #[arg(long, value_name = "FILE", default_value = "routes.toml")]
    config: PathBuf,
    /// Where it works; lost with the sandbox. [default: `figueira` in the system's temporary folder]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

impl Lambda {
    #[cfg(feature = "aws")]
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        use anyhow::Context as _;

        use crate::{
            config,
            lambda::{self, InvokeMode},
            telemetry::log::{self, Sink},
        };

        let config = config::load(&self.config)?;
        let mode = match std::env::var("FIGUEIRA_INVOKE_MODE") {
            Ok(name) => InvokeMode::named(&name).with_context(|| {
                format!("FIGUEIRA_INVOKE_MODE is {name:?}, not BUFFERED or RESPONSE_STREAM")
            })?,
            Err(_) => InvokeMode::default(),
        };
        let log = log::init(&config.log, Sink::Stdout)?;
        if !config.warnings.is_empty() {
            tracing::warn!(warnings = %config.warnings, "routes.toml is legal and unwise");
        }
        let data = self.data.unwrap_or_else(|| std::env::temp_dir().join("figueira"));
        lambda::run(config, &data, mode, &log.control())?;
        Ok(ExitCode::SUCCESS)
    }

    #[cfg(not(feature = "aws"))]
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { config, data } = self;
        drop((config, data));
        anyhow::bail!("AWS Lambda is not in this binary: build it with the feature `aws`")
    }
}
