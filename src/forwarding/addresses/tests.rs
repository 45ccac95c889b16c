//! Names and addresses over real sockets, with a resolver that says what the test wants.

use std::{
    io,
    time::{Duration, Instant},
};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{net::TcpListener, time::sleep};

use super::*;
use crate::{
    forwarding::{
        dial::{self, Greeting, Missed, Opened, Speak},
        resolver::{Pace, Resolve, Resolving},
        standing::State,
        upstream::Http2,
        watched::{Surroundings, Watched},
    },
    shutdown::Shutdown,
};

const PATIENCE: Duration = Duration::from_secs(10);
const WITHIN: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
enum Says {
    These(Vec<SocketAddr>),
    Error(&'static str),
    Nothing,
}

/// Says what it was told to say.
#[derive(Debug)]
struct Told(watch::Sender<Says>);

impl Told {
    fn to_say(says: Says) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(says)))
    }

    fn says(&self, says: Says) {
        self.0.send_replace(says);
    }
}

impl Resolve for Told {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        assert_eq!((host, port), ("shop.internal", 8000));
        Box::pin(async move {
            let mut told = self.0.subscribe();
            // Who has nothing to say is waited for.
            let says = told.wait_for(|says| !matches!(says, Says::Nothing)).await.unwrap().clone();
            match says {
                Says::These(addresses) => Ok(addresses),
                Says::Error(error) => Err(io::Error::other(error)),
                Says::Nothing => unreachable!(),
            }
        })
    }
}

pub(in crate::forwarding) fn settings(host: &str, eject: Option<Eject>) -> Settings {
    Settings {
        name: "monolith".into(),
        host: host.into(),
        port: 8000,
        tls: None,
        h2: Http2::Auto,
        headers: Vec::new(),
        sign: None,
        connect_timeout: WITHIN,
        first_byte_timeout: WITHIN,
        idle_connections: 1,
        idle_connection_timeout: WITHIN,
        retries: 0,
        health: None,
        eject,
        pass: Vec::new(),
        version_header: None,
    }
}

fn watched(resolver: Arc<Told>, eject: Option<Eject>) -> Watched {
    let around = Surroundings {
        plane: tokio::runtime::Handle::current(),
        lifetime: Shutdown::default(),
        resolver,
        pace: Pace {
            refresh: Duration::from_millis(4),
            again: Duration::from_millis(1),
            patience: Duration::from_millis(50),
        },
        seed: || 7,
    };
    Watched::start(&settings("shop.internal", eject), Arc::new(Tally::new(1)), &around)
}

/// One that listens, and is never accepted from: the kernel does what is needed here.
async fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// One that refuses, for as long as the socket lives.
fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// One that swallows every attempt, for as long as these live.
fn swallowing() -> (Socket, Vec<std::net::TcpStream>, SocketAddr) {
    let (socket, address) = refusing();
    socket.listen(0).unwrap();
    let fill = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
    let filled = std::iter::from_fn(fill).collect();
    (socket, filled, address)
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "{what} never came");
        sleep(Duration::from_millis(1)).await;
    }
}

const PLAIN: Greeting<'_> = Greeting { tls: None, speak: Speak::Http1, response_head: 4096 };

async fn dial(addresses: &Addresses, within: Duration) -> Result<(Opened, Arc<Address>), Missed> {
    dial::dial(addresses, None, within, PLAIN).await
}

async fn reached(addresses: &Addresses) -> Result<SocketAddr, Missed> {
    dial(addresses, WITHIN).await.map(|(_, address)| address.at())
}

/// P6.
#[tokio::test]
async fn the_last_good_answer_serves_while_the_resolver_fails_in_any_way() {
    let ((_kept, first), (_other, second)) = (listening().await, listening().await);
    let told = Told::to_say(Says::These(vec![first]));
    let addresses = watched(told.clone(), None);
    assert_eq!(reached(&addresses).await, Ok(first));

    let failures = [
        (Says::Error("Name or service not known"), Lookup::Failed),
        (Says::Error("Temporary failure in name resolution"), Lookup::Failed),
        (Says::These(Vec::new()), Lookup::Empty),
        (Says::Nothing, Lookup::Late),
    ];
    for (says, counted) in failures {
        let before = addresses.tally().lookups(counted);
        told.says(says.clone());
        until("the failure", || addresses.tally().lookups(counted) > before).await;
        assert!(matches!(addresses.resolution(), Resolution::Failing { .. }), "{says:?}");
        let began = Instant::now();
        assert_eq!(reached(&addresses).await, Ok(first), "{says:?}");
        assert!(began.elapsed() < Duration::from_millis(500), "{says:?} was waited for");

        told.says(Says::These(vec![first]));
        until("the recovery", || matches!(addresses.resolution(), Resolution::Good)).await;
    }

    let old = addresses.all()[0].clone();
    told.says(Says::These(vec![second]));
    until("the move", || old.is_retired()).await;
    assert_eq!(reached(&addresses).await, Ok(second));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_yet_fails_at_once_and_serves_as_soon_as_it_does() {
    let (_listener, address) = listening().await;
    let told = Told::to_say(Says::Error("no such host"));
    let addresses = watched(told.clone(), None);
    for _ in 0..3 {
        let missed = reached(&addresses).await;
        assert_eq!(missed, Err(Missed::Nobody(Nobody::Known("no such host".to_owned()))));
    }
    told.says(Says::These(vec![address]));
    until("the first answer", || !addresses.all().is_empty()).await;
    assert_eq!(reached(&addresses).await, Ok(address));
}

#[tokio::test]
async fn the_first_answer_is_waited_for_as_long_as_a_connection_is() {
    let (_listener, address) = listening().await;
    let told = Told::to_say(Says::Nothing);
    let addresses = watched(told.clone(), None);
    assert_eq!(dial(&addresses, Duration::from_millis(10)).await.err(), Some(Missed::Late));
    let early = dial(&addresses, WITHIN);
    told.says(Says::These(vec![address]));
    // Unless it is clear by now that the resolver hangs.
    match early.await {
        Ok((_, found)) => assert_eq!(found.at(), address),
        Err(missed) => assert!(matches!(missed, Missed::Nobody(Nobody::Known(_))), "{missed:?}"),
    }
}

#[tokio::test]
async fn a_literal_is_never_looked_up() {
    let tally = Arc::new(Tally::new(1));
    for (literal, expected) in [("127.0.0.1", "127.0.0.1:8000"), ("::1", "[::1]:8000")] {
        let addresses = Addresses::new(&settings(literal, None), tally.clone());
        assert!(matches!(addresses.resolution(), Resolution::Literal));
        assert_eq!(addresses.known()[0].at, expected.parse().unwrap());
    }
}

#[tokio::test]
async fn an_address_that_refuses_is_passed_over_and_asked_last_for_a_while() {
    let ((_bound, bad), (_listener, good)) = (refusing(), listening().await);
    let addresses = watched(Told::to_say(Says::These(vec![bad, good])), None);
    for _ in 0..4 {
        assert_eq!(reached(&addresses).await, Ok(good));
    }
    assert_eq!(addresses.tally().connects(crate::forwarding::Connect::Failed), 1, "asked once");
}

/// RFC 8305, 5.
#[tokio::test]
async fn an_address_that_swallows_everything_costs_a_moment_once() {
    let ((_socket, _filled, hole), (_listener, good)) = (swallowing(), listening().await);
    let addresses = watched(Told::to_say(Says::These(vec![hole, good])), None);
    let began = Instant::now();
    assert_eq!(reached(&addresses).await, Ok(good));
    assert!(began.elapsed() < Duration::from_millis(1500), "took {:?}", began.elapsed());
    let began = Instant::now();
    assert_eq!(reached(&addresses).await, Ok(good));
    assert!(began.elapsed() < Duration::from_millis(200), "took {:?}", began.elapsed());
}

#[tokio::test]
async fn addresses_take_turns_and_one_that_is_ejected_is_left_out() {
    let (all, one) = (["127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1"], "127.0.0.2:1".parse().unwrap());
    let all: Vec<SocketAddr> = all.iter().map(|text| text.parse().unwrap()).collect();
    let eject = Eject { consecutive_errors: 2, rest: Duration::from_mins(1) };
    let addresses = watched(Told::to_say(Says::These(all.clone())), Some(eject));
    until("the addresses", || !addresses.all().is_empty()).await;
    let turns = || -> Vec<SocketAddr> {
        let turn = |_| match addresses.turn() {
            Ok(Turn::Of(address)) => address.at(),
            other => panic!("{other:?}"),
        };
        (0..300).map(turn).collect()
    };
    let share = |turns: &[SocketAddr], of| turns.iter().filter(|turn| **turn == of).count();
    let taken = turns();
    assert!(all.iter().all(|address| share(&taken, *address) == 100), "{taken:?}");

    // Also where each needs a connection of its own: the order in which others would be tried takes nobody's turn.
    let mut firsts: Vec<_> = (0..3)
        .map(|_| {
            drop(addresses.turn());
            addresses.in_turn()[0].at()
        })
        .collect();
    firsts.sort_unstable();
    assert_eq!(firsts, all);

    let bad = addresses.all().iter().find(|address| address.at() == one).unwrap().clone();
    bad.failed("refused");
    bad.failed("refused");
    assert_eq!((bad.known().state, share(&turns(), one)), (State::Ejected, 0));

    for address in &*addresses.all() {
        address.failed("refused");
        address.failed("refused");
    }
    let Err(Nobody::Admitted(wait)) = addresses.turn() else { panic!("nobody is left") };
    assert!(wait > Duration::from_secs(50) && wait <= Duration::from_mins(1), "{wait:?}");
    let missed = reached(&addresses).await;
    assert!(matches!(missed, Err(Missed::Nobody(Nobody::Admitted(_)))), "{missed:?}");
    assert_eq!(addresses.tally().ejections(), 3);
}

/// Nobody is turned away for the sake of a share of which nobody else gets the rest.
#[tokio::test]
async fn addresses_that_all_come_back_share_every_request() {
    let all: Vec<SocketAddr> = ["127.0.0.1:1", "127.0.0.2:1"].map(|text| text.parse().unwrap()).to_vec();
    let eject = Eject { consecutive_errors: 1, rest: Duration::from_mins(1) };
    let addresses = Addresses::new(&settings("shop.internal", Some(eject)), Arc::new(Tally::new(1)));
    addresses.resolved(&all);
    for address in &*addresses.all() {
        address.failed("refused");
        address.answered();
        assert_eq!(address.known().state, State::Returning);
    }
    let turn = || match addresses.turn() {
        Ok(Turn::Of(address)) => address.at(),
        other => panic!("{other:?}"),
    };
    let turns: Vec<_> = (0..100).map(|_| turn()).collect();
    let share = turns.iter().filter(|at| **at == all[0]).count();
    assert!((40..=60).contains(&share), "{share}");
}

#[tokio::test]
async fn who_comes_before_the_first_addresses_are_in_place_waits_for_them() {
    let addresses = Addresses::new(&settings("shop.internal", None), Arc::new(Tally::new(1)));
    addresses.count.store(2, Relaxed);
    assert!(matches!(addresses.turn(), Ok(Turn::Any)));
}

/// What is known of an address is not forgotten when another one joins it.
#[tokio::test]
async fn an_address_that_is_named_again_stays_what_it_is() {
    let (first, second) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.2:1".parse().unwrap());
    let addresses = Addresses::new(&settings("shop.internal", None), Arc::new(Tally::new(1)));
    addresses.resolved(&[first, first]);
    assert_eq!(addresses.known().len(), 1);
    let kept = addresses.all()[0].clone();
    addresses.resolved(&[second, first]);
    assert!(addresses.all().iter().any(|address| Arc::ptr_eq(address, &kept)));
    addresses.resolved(&[second]);
    assert!(kept.is_retired());
}
