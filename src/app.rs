//! The composition root. On this branch a stand-in: a byte relay with a generation gauge, replaced whole at the merge.

use std::{net::SocketAddr, path::PathBuf};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{config::Relay, shutdown::Shutdown};

/// Where the rules come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file.
    File(PathBuf),
}

/// How it ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome;

/// Bound addresses.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Public.
    pub listen: Vec<SocketAddr>,
    /// The operator's.
    pub admin: Option<SocketAddr>,
}

/// The relay.
#[derive(Debug)]
pub struct App {
    runtime: tokio::runtime::Runtime,
    public: TcpListener,
    admin: TcpListener,
    config: Relay,
    file: PathBuf,
}

impl App {
    /// Binds.
    pub fn build(config: Relay, Source::File(file): Source) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Runtime::new()?;
        let public = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let admin = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        Ok(Self { runtime, public, admin, config, file })
    }

    /// Addresses.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            listen: self.public.local_addr().into_iter().collect(),
            admin: self.admin.local_addr().ok(),
        }
    }

    /// Runs.
    pub fn run(self, shutdown: Shutdown) -> anyhow::Result<Outcome> {
        let Self { runtime, public, admin, config, file } = self;
        runtime.block_on(async {
            let mut seen = String::new();
            let mut generation = 0;
            loop {
                tokio::select! {
                    () = shutdown.draining() => return Ok(Outcome),
                    Ok((mut client, _)) = public.accept() => {
                        let monolith = config.monolith.clone();
                        shutdown.spawn(async move {
                            let mut upstream = TcpStream::connect(monolith).await?;
                            tokio::io::copy_bidirectional(&mut client, &mut upstream).await
                        });
                    }
                    Ok((mut client, _)) = admin.accept() => {
                        let now = std::fs::read_to_string(&file)?;
                        if now != seen {
                            seen = now;
                            generation += 1;
                        }
                        let mut head = [0; 1024];
                        let _ = client.read(&mut head).await?;
                        let body = format!("figueira_config_generation {generation}\nfigueira_comparisons_total 1000\n");
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                        client.write_all(format!("{head}{body}").as_bytes()).await?;
                    }
                }
            }
        })
    }
}
