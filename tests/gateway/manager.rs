//! Under a service manager: sockets that it opened, and what it is told.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::PathBuf,
    process::Stdio,
};

use tempfile::TempDir;

use crate::harness::{Origin, Process, Rules, wire::PATIENCE};

fn folder(origin: &Origin, listen: Option<SocketAddr>) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("routes.toml");
    let rules = Rules::forwarding_to(origin.address()).tables("[log]\nformat = \"json\"\n").to_string();
    let listening =
        listen.map_or_else(|| rules.clone(), |at| rules.replacen("127.0.0.1:0", &at.to_string(), 1));
    fs::write(&file, listening.replace("workers = 1", "workers = 2")).unwrap();
    (folder, file)
}

/// `sd_listen_fds(3)`: a socket that listened before the gateway did, with a client already in its queue.
#[test]
fn a_socket_that_was_passed_on_is_used() {
    let origin = Origin::open();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (_folder, file) = folder(&origin, Some(address));
    let mut early = crate::harness::Wire::connect(address);
    early.send("GET /early HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut process = Process::serve_with(&file, |command| {
        // As its standard input, which is what can be passed on from here.
        command.env("LISTEN_FDS", "1").env("LISTEN_FDS_FIRST_FD", "0");
        command.stdin(Stdio::from(OwnedFd::from(listener)));
    });
    assert_eq!(process.site, address);
    let (_upstream, request) = origin.serve("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(request.head.line(), "GET /early HTTP/1.1");
    assert_eq!(early.read_head().status(), 204);
    process.signal("TERM");
    assert_eq!(process.ended().code(), Some(0));
}

/// `sd_notify(3)`: ready, alive, reloading and ready again, stopping.
#[test]
fn the_manager_is_told_how_it_goes() {
    let origin = Origin::open();
    let (folder, file) = folder(&origin, None);
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut process = Process::serve_with(&file, |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "3000000");
    });
    let hear = |wanted: &str| {
        let mut heard = Vec::new();
        loop {
            let mut letter = [0; 512];
            let length = manager.recv(&mut letter).unwrap_or_else(|error| panic!("{error}; heard {heard:?}"));
            let letter = String::from_utf8_lossy(&letter[..length]).into_owned();
            if letter.lines().any(|line| line.starts_with(wanted)) {
                return letter;
            }
            heard.push(letter);
        }
    };
    assert_eq!(hear("READY=1"), "READY=1\n");
    hear("WATCHDOG=1");
    process.signal("HUP");
    assert!(hear("RELOADING=1").contains("MONOTONIC_USEC="));
    hear("READY=1");
    hear("WATCHDOG=1");
    process.signal("TERM");
    hear("STOPPING=1");
    assert_eq!(process.ended().code(), Some(0));
}
