//! A folder with a `routes.toml`, the gateways that run by it, and what they are asked.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tempfile::TempDir;

/// What every change has to be in force within.
pub(crate) const PROMPT: Duration = Duration::from_secs(2);

/// An upstream that always gives one answer.
pub(crate) fn upstream(status: &'static str, body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            thread::spawn(move || {
                let mut request = BufReader::new(socket.try_clone().unwrap());
                let mut line = String::new();
                while request.read_line(&mut line).is_ok_and(|read| read > 2) {
                    line.clear();
                }
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                socket.write_all(answer.as_bytes()).ok();
            });
        }
    });
    address
}

/// A folder with a `routes.toml`, and the gateways that run by it.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
}

pub(crate) struct Gateway {
    pub(crate) process: Child,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Its log lines until "listening".
    pub(crate) started: Vec<Value>,
    /// Those after it.
    pub(crate) log: Receiver<Value>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Site {
    /// A migrated route `r` whose candidate answers so.
    pub(crate) fn new(candidate: SocketAddr, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let monolith = upstream("200 OK", "monolith");
        let text = format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nworkers = 1\n[log]\nformat = \"json\"\n\
             [monolith]\nurl = \"http://{monolith}\"\n[parallel_run]\nmax_lag = \"10m\"\nmax_share = \"off\"\n[upstreams.new]\nurl = \"http://{candidate}\"\n\n\
             [[route]] # the one\nname = \"r\"\npath = \"/r\"\ncandidate = \"new\"\nmode = \"migrated\" # walks\n{more}"
        );
        fs::write(folder.path().join("routes.toml"), text).unwrap();
        Self { folder }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("routes.toml")
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("figueira"));
        command.args(arguments).arg("--config").arg(self.file());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that succeeds; what it printed.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn start(&self) -> Gateway {
        self.start_trusting(None)
    }

    /// Starts a gateway for which this bundle of authorities is the system's.
    pub(crate) fn start_trusting(&self, bundle: Option<&Path>) -> Gateway {
        let mut command = self.command(&["serve"]);
        if let Some(bundle) = bundle {
            command.env("SSL_CERT_FILE", bundle).env_remove("SSL_CERT_DIR");
        }
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (send, log) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                send.send(serde_json::from_str(&line).unwrap_or(Value::Null)).ok();
            }
        });
        let mut started = Vec::new();
        let listening = loop {
            let line: Value = log.recv_timeout(Duration::from_secs(20)).unwrap();
            if line["message"] == "listening" || line["event"] == "listening" {
                break line;
            }
            started.push(line);
        };
        let address = |key: &str| listening[key].as_str().unwrap().parse().unwrap();
        Gateway { process, public: address("public"), admin: address("admin"), started, log }
    }

    pub(crate) fn audit(&self) -> Vec<Value> {
        let text =
            fs::read_to_string(self.folder.path().join("figueira-data/audit.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub(crate) fn exchange(address: SocketAddr, request: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// What comes to a hook next; it is never answered.
pub(crate) fn told(hook: &TcpListener) -> Value {
    body(hook.accept().unwrap().0)
}

/// The JSON that a request brings.
pub(crate) fn body(request: impl Read) -> Value {
    let mut request = BufReader::new(request);
    let mut line = String::new();
    while request.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
    serde_json::Deserializer::from_reader(request).into_iter().next().unwrap().unwrap()
}

/// An authority's certificate, and one of its for 127.0.0.1 with the key to it.
pub(crate) fn certificates() -> (String, CertificateDer<'static>, PrivateKeyDer<'static>) {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let root = authority.self_signed(&authority_key).unwrap();
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    (root.pem(), leaf.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

impl Gateway {
    /// The next line of its log with this message.
    pub(crate) fn says(&self, message: &str) -> Value {
        loop {
            let line = self.log.recv_timeout(Duration::from_secs(20)).unwrap();
            if line["message"] == message {
                return line;
            }
        }
    }

    /// Who answers the route now.
    pub(crate) fn answers(&self) -> String {
        self.answers_to("nobody")
    }

    /// Who answers `user` now.
    pub(crate) fn answers_to(&self, user: &str) -> String {
        let request = format!("GET /r HTTP/1.1\r\nhost: site\r\nx-user: {user}\r\nconnection: close\r\n\r\n");
        exchange(self.public, &request).1
    }

    /// Waits until `who` answers everybody.
    pub(crate) fn reaches(&self, who: &str) {
        self.reaches_for("nobody", who);
    }

    /// Waits until `who` answers `user`, no longer than promised.
    pub(crate) fn reaches_for(&self, user: &str, who: &str) {
        let since = Instant::now();
        while self.answers_to(user) != who {
            assert!(since.elapsed() < PROMPT, "{} answers still", self.answers_to(user));
            thread::yield_now();
        }
    }

    pub(crate) fn admin(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, Value) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             {headers}connection: close\r\n\r\n{body}",
            self.admin,
            body.len()
        );
        let (status, text) = exchange(self.admin, &request);
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}
