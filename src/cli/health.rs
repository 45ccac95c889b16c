//! `figueira health`: asks a running gateway whether it is ready. The container's health check.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::Args;

use super::an_address;

/// How long an answer may take: a gateway that is slower is not healthy.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ask a running gateway whether it is ready.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 0 when it is ready, with 1 when it is not or does not answer.

Example:
  figueira health --admin 127.0.0.1:9901")]
pub(super) struct Health {
    /// Its admin address, as in `gateway.admin`.
    #[arg(long, value_name = "ADDR", value_parser = an_address, default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
}

impl Health {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (ready, answer) = runtime.block_on(ask(reachable(self.admin)))?;
        writeln!(io::stdout(), "{}", answer.trim_end())?;
        Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Where a listener on `admin` is reached from this machine.
pub(super) fn reachable(admin: SocketAddr) -> SocketAddr {
    let ip = match admin.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, admin.port())
}

/// Asks the operator's pages, and waits so long for all of an answer.
pub(super) fn client(patience: Duration) -> reqwest::Result<reqwest::Client> {
    // A proxy of the environment's would be asked about itself; and no certificate of the system's is needed.
    reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(patience).build()
}

/// What is said where they do not answer.
pub(super) fn unanswered(admin: SocketAddr) -> String {
    format!("no answer from {admin} (is `figueira serve` running, with this admin address?)")
}

async fn ask(admin: SocketAddr) -> anyhow::Result<(bool, String)> {
    let unanswered = || unanswered(admin);
    let asked = client(PATIENCE)?.get(format!("http://{admin}/readyz"));
    let response = asked.send().await.with_context(unanswered)?;
    let ready = response.status().is_success();
    Ok((ready, response.text().await.with_context(unanswered)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_is_asked_on_loopback() {
        let reached = |admin: &str| reachable(admin.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:9901"), "127.0.0.1:9901");
        assert_eq!(reached("[::]:9901"), "[::1]:9901");
        assert_eq!(reached("10.1.2.3:9901"), "10.1.2.3:9901");
    }

    #[tokio::test]
    async fn nobody_there_says_what_to_do() {
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let error = format!("{:#}", ask(closed).await.unwrap_err());
        assert!(error.contains("is `figueira serve` running"), "{error}");
    }
}
