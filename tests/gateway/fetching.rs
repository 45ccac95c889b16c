//! The images that answers only name: where the gateway looks for them, and as whom.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{
    harness::{Gateway, Rules, Site, Wire, gateway::eventually},
    modes::reported,
};

const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const NAMED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{\"imagem\":\"a.png\"}";

/// What a shop was asked for besides orders, each with who asked.
type Asked = Arc<Mutex<Vec<(String, Vec<String>)>>>;

/// A shop whose answers name an image, which it shows under `/old/`.
fn shop() -> (Site, Asked) {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let conduct = move |mut wire: Wire| {
        while let Some(request) = wire.next_message() {
            let line = request.head.line().to_owned();
            if line.starts_with("POST ") {
                wire.send(NAMED);
                continue;
            }
            let is_there = line.starts_with("GET /old/a.png ");
            let who = ["cookie", "authorization"].map(|name| request.head.values(name).concat());
            noted.lock().unwrap().push((line, who.into()));
            if is_there {
                let png = BASE64_STANDARD.decode(PNG).unwrap();
                wire.send(&format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: {}\r\n\r\n",
                    png.len()
                ));
                wire.send_bytes(&png).unwrap();
            } else {
                wire.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
            }
        }
    };
    (Site::open("127.0.0.1", conduct), asked)
}

fn rules(control: SocketAddr, candidate: SocketAddr) -> Rules {
    Rules::forwarding_to(control).tables(&format!(
        "[[generator.serve]]\npath = \"/img/{{name}}\"\n[[generator.serve]]\npath = \"/old/{{name}}\"\n\
         [upstreams.other]\nurl = \"http://{candidate}\"\npass = [\"cookie\"]\n\
         [[route]]\nname = \"orders\"\npath = \"/api/orders\"\nmode = \"shadow\"\ncandidate = \"other\"\n\
         subject = \"cookie:session\"\n[route.compare]\nimages = [\"/imagem\"]\n[route.gate]\ncalibration = 0\n"
    ))
}

/// A user's own pictures are shown to nobody else: the control is asked as the user, and another service gets of the
/// user's credentials what its operator says.
#[test]
fn an_image_is_looked_for_wherever_it_is_shown_and_as_its_user() {
    let ((control, of_control), (candidate, of_candidate)) = (shop(), shop());
    let gateway = Gateway::start(&rules(control.address(), candidate.address()));
    let mut client = gateway.connect();
    client.send(
        "POST /api/orders HTTP/1.1\r\nHost: a\r\nCookie: session=s1\r\nAuthorization: Bearer t\r\n\
         Content-Length: 2\r\n\r\n{}",
    );
    client.read_message();
    let route = eventually("the record", || {
        let route = reported(&gateway).routes.remove(0);
        if route.counts.sampled == 1 { Ok(route) } else { Err(route.counts.sampled) }
    });
    let seen = |asked: &Asked| asked.lock().unwrap().clone();
    let as_who = |who: [&str; 2]| {
        ["GET /img/a.png HTTP/1.1", "GET /old/a.png HTTP/1.1"]
            .map(|line| (line.to_owned(), who.map(str::to_owned).to_vec()))
    };
    assert_eq!(seen(&of_control), as_who(["session=s1", "Bearer t"]));
    assert_eq!(seen(&of_candidate), as_who(["session=s1", ""]));
    // Both were had: they are found to be the same picture.
    assert!(route.differences.iter().any(|told| told.path.starts_with("image")), "{:?}", route.differences);
}
