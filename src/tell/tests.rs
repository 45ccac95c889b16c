//! Hooks on real sockets: those that listen, and those that do not.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

use super::*;

const QUICK: &[Duration] = &[Duration::from_millis(1), Duration::from_millis(1)];

fn teller(hooks: Vec<Hook>, metrics: &Metrics) -> (Teller, Shutdown) {
    let life = Shutdown::default();
    let teller = Teller::with_pauses(hooks, Handle::current(), life.clone(), metrics.clone(), QUICK);
    (teller.unwrap(), life)
}

fn hook(address: SocketAddr, on: &[Topic]) -> Hook {
    let url = format!("http://{address}/hook").into();
    Hook { url, on: on.iter().copied().collect(), secret: Some(SecretString::from("s3cret")) }
}

fn news() -> News {
    let facts = [("route".to_owned(), json!("images"))].into_iter().collect();
    News { topic: Topic::Brake, at: Timestamp::UNIX_EPOCH, text: "images is held".into(), facts }
}

/// Takes one request and answers with `status`: its head and its body.
async fn take(listener: &TcpListener, status: &str) -> (String, String) {
    let (mut socket, _) = timeout(Duration::from_secs(10), listener.accept()).await.unwrap().unwrap();
    let mut request = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let read = socket.read(&mut piece).await.unwrap();
        request.extend_from_slice(&piece[..read]);
        let text = String::from_utf8(request.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() == length.unwrap().parse::<usize>().unwrap() {
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                socket.write_all(answer.as_bytes()).await.unwrap();
                return (head.to_owned(), body.to_owned());
            }
        }
    }
}

fn header<'h>(head: &'h str, name: &str) -> &'h str {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap()
}

fn counted(metrics: &Metrics, outcome: &'static str) -> u64 {
    metrics.deliveries.get_or_create(&[("topic", "brake"), ("outcome", outcome)]).get()
}

#[tokio::test]
async fn a_hook_is_told_signed_and_again_until_it_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let metrics = Metrics::default();
    let (teller, life) = teller(vec![hook(listener.local_addr().unwrap(), &[Topic::Brake])], &metrics);
    teller.tell(&news());
    let (first, body) = take(&listener, "503 Busy").await;
    let (second, again) = take(&listener, "204 No Content").await;
    assert_eq!(body, again);
    assert_eq!(header(&first, "figueira-delivery"), header(&second, "figueira-delivery"));

    let sent: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&sent["text"], &sent["event"], &sent["route"]),
        (&json!("images is held"), &json!("brake"), &json!("images"))
    );
    let timestamp = header(&second, "figueira-timestamp").parse().unwrap();
    let expected = signature::of(&SecretString::from("s3cret"), timestamp, body.as_bytes());
    assert_eq!(header(&second, "figueira-signature"), expected);
    assert!(life.drained(Duration::from_secs(5)).await);
    assert_eq!(counted(&metrics, "delivered"), 1);
}

#[tokio::test]
async fn a_dead_hook_is_given_up_and_delays_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let metrics = Metrics::default();
    let hooks = vec![hook(dead, &[Topic::Brake]), hook(listener.local_addr().unwrap(), &[Topic::Brake])];
    let (teller, life) = teller(hooks, &metrics);
    teller.tell(&news());
    take(&listener, "200 OK").await;
    assert!(life.drained(Duration::from_secs(5)).await);
    assert_eq!((counted(&metrics, "delivered"), counted(&metrics, "gave-up")), (1, 1));
}

#[tokio::test]
async fn only_what_a_hook_wants_to_hear_is_told_and_never_more_than_there_is_room_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let metrics = Metrics::default();
    let address = listener.local_addr().unwrap();
    let (teller, life) = teller(vec![hook(address, &[Topic::Config])], &metrics);
    teller.tell(&news());
    assert_eq!(teller.0.queue.available_permits(), QUEUE);
    assert!(teller.is_heard(Topic::Config) && !teller.is_heard(Topic::Brake));

    // Nobody accepts: all wait for an answer.
    teller.configure(vec![hook(address, &[Topic::Brake])]);
    (0..QUEUE + 3).for_each(|_| teller.tell(&news()));
    assert_eq!(counted(&metrics, "dropped"), 3);
    life.begin();
}
