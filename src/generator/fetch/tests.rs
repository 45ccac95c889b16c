//! Against a real server on loopback, and against every address that must not be asked.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

/// Answers each connection with the next of `answers`, then closes it.
async fn server(answers: Vec<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let read = socket.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..read]).to_ascii_lowercase();
            assert!(!head.contains("accept-encoding") && !head.contains("referer"), "{head}");
            socket.write_all(&answer).await.unwrap();
        }
    });
    address
}

fn knowing(address: SocketAddr, largest: usize) -> Fetcher {
    Fetcher::new(vec![FetchHost::Loopback { port: address.port() }], largest)
}

fn named(host: &str) -> FetchHost {
    FetchHost::Named { host: host.into(), port: 443 }
}

#[tokio::test]
async fn an_image_is_downloaded_from_a_host_that_is_known() {
    let address = server(vec![b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nimage".to_vec()]).await;
    let fetched = knowing(address, 5).fetch(&format!("http://{address}/a.png?sig=x")).await.unwrap();
    assert_eq!(fetched, "image");
}

#[tokio::test]
async fn a_broken_download_is_tried_again_because_it_is_paid_for() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nim".to_vec();
    let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nimage".to_vec();
    let address = server(vec![cut.clone(), cut.clone(), whole]).await;
    assert_eq!(knowing(address, 9).fetch(&format!("http://{address}/")).await.unwrap(), "image");
    let address = server(vec![cut.clone(), cut.clone(), cut]).await;
    let error = knowing(address, 9).fetch(&format!("http://{address}/a?sig=canary")).await.unwrap_err();
    assert!(matches!(error, FetchError::Transport(_)) && !error.to_string().contains("canary"), "{error}");
}

#[tokio::test]
async fn what_is_no_plain_image_is_refused() {
    for (answer, expected) in [
        (&b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n"[..], "302"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "404"),
        (b"HTTP/1.1 206 Partial Content\r\ncontent-length: 1\r\n\r\nx", "206"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx", "encoding"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n", "more than 9 bytes"),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nxxxxx\r\n5\r\nxxxxx\r\n",
            "more than 9 bytes",
        ),
    ] {
        let address = server(vec![answer.to_vec()]).await;
        let error = knowing(address, 9).fetch(&format!("http://{address}/")).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error} is not about {expected}");
    }
}

#[tokio::test]
async fn literal_addresses_of_no_public_host_are_refused_even_where_they_are_named() {
    for literal in [
        "127.0.0.1",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:53aa:64c::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[ff02::1]",
    ] {
        let url = format!("https://{literal}/a.png");
        let host = Url::parse(&url).unwrap().host_str().unwrap().to_owned();
        let error = Fetcher::new(vec![named(&host)], 9).fetch(&url).await.unwrap_err();
        assert!(matches!(error, FetchError::Private(_)), "{literal}: {error}");
    }
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_refused_before_it_is_connected_to() {
    let error = Fetcher::new(vec![named("localhost")], 9).fetch("https://localhost/a.png").await.unwrap_err();
    assert!(error.to_string().contains("is a private address"), "{error}");
}

#[tokio::test]
async fn only_what_is_named_is_asked_and_only_over_tls() {
    let fetcher = Fetcher::new(vec![named("images.example"), FetchHost::Loopback { port: 9 }], 9);
    for (url, expected) in [
        ("https://other.example/a.png", "other.example:443 is not in fetch_hosts"),
        ("https://images.example:444/a.png", "not in fetch_hosts"),
        ("https://images.example.evil.example/", "not in fetch_hosts"),
        ("http://images.example:443/a.png", "not https"),
        ("https://u:p@images.example/a.png", "names a user"),
        ("http://127.0.0.1:10/", "not in fetch_hosts"),
        ("http://[::1]:9/", "not in fetch_hosts"),
        ("file:///etc/passwd", "no host"),
        ("data:image/png;base64,AAAA", "no host"),
        ("", "it is none"),
    ] {
        let error = fetcher.fetch(url).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{url}: {error}");
    }
}
