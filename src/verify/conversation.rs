//! An exchange with one side, over a connection of its own.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    Unreachable,
    answer::{Answer, End, Framing, Head, trailers},
    exchange::{Exchange, Step},
    side::{Side, Stream},
};

/// For a connection, and for each next piece of an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// For all of an exchange: some answers never end.
const WHOLE: Duration = Duration::from_mins(1);
/// Interim responses of one answer.
const MOST_INTERIM: usize = 100;
/// For a 100: a body is then sent all the same (RFC 9110, 10.1.1).
const CONTINUE_PATIENCE: Duration = Duration::from_secs(3);
/// Bytes of one body that are compared.
const MOST: usize = 64 << 20;

/// Sends the exchange, and reads what comes for it. Only a side that takes no connection is an error.
pub(super) async fn hold(side: &Side, exchange: &Exchange) -> Result<Vec<Answer>, Unreachable> {
    let unreachable = |reason: String| Unreachable { url: side.to_string(), reason };
    let stream = timeout(PATIENCE, side.connect()).await;
    let stream = stream
        .map_err(|_| unreachable(format!("no connection within {PATIENCE:?}")))?
        .map_err(|error| unreachable(error.to_string()))?;
    let mut conversation = Conversation::new(stream, Instant::now() + WHOLE);
    let mut owed = exchange.methods.iter();
    for step in &exchange.steps {
        match step {
            // An answer that came before all was sent is read all the same.
            Step::Send(bytes) => drop(timeout(PATIENCE, conversation.stream.write_all(bytes)).await),
            Step::AwaitContinue => {
                if !conversation.is_told_to_continue().await {
                    break;
                }
            }
            Step::AwaitAnswer => {
                if let Some(method) = owed.next() {
                    conversation.read_answer(method).await;
                }
            }
            Step::Finish => drop(conversation.stream.shutdown().await),
        }
        drop(conversation.stream.flush().await);
    }
    for method in owed {
        conversation.read_answer(method).await;
    }
    Ok(conversation.into_answers())
}

struct Conversation {
    stream: Box<dyn Stream>,
    /// When all has to be over.
    deadline: Instant,
    /// Read, and of no answer yet.
    ahead: Vec<u8>,
    /// Nothing more will come, and why.
    over: Option<End>,
    /// By a reset, which a close that ends a body is not.
    is_reset: bool,
    answers: Vec<Answer>,
}

impl Conversation {
    fn new(stream: Box<dyn Stream>, deadline: Instant) -> Self {
        Self { stream, deadline, ahead: Vec::new(), over: None, is_reset: false, answers: Vec::new() }
    }

    /// Reads once; false at the end.
    async fn more(&mut self, patience: Duration) -> bool {
        if self.over.is_some() {
            return false;
        }
        let mut piece = vec![0; 64 * 1024];
        let patience = patience.min(self.deadline.saturating_duration_since(Instant::now()));
        if patience.is_zero() {
            // What always has more would never be waited for.
            self.over = Some(End::Late);
            return false;
        }
        let read = timeout(patience, self.stream.read(&mut piece)).await;
        match read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(read @ 1..) => {
                self.ahead.extend_from_slice(piece.get(..read).unwrap_or_default());
                return true;
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => self.over = Some(End::Late),
            Err(error) => {
                self.is_reset = error.kind() == io::ErrorKind::ConnectionReset;
                self.over = Some(End::Cut);
            }
            Ok(_) => self.over = Some(End::Cut),
        }
        false
    }

    /// What comes up to and with `end`.
    async fn until(&mut self, end: &[u8], patience: Duration) -> Option<Vec<u8>> {
        let mut from = 0;
        loop {
            let rest = self.ahead.get(from..).unwrap_or_default();
            if let Some(at) = rest.windows(end.len()).position(|window| window == end) {
                return Some(self.take(from + at + end.len()));
            }
            from = self.ahead.len().saturating_sub(end.len() - 1);
            if !self.more(patience).await {
                return None;
            }
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.ahead.split_off(length.min(self.ahead.len()));
        std::mem::replace(&mut self.ahead, rest)
    }

    /// Whether the body may follow: after a 100, or a while without anything.
    async fn is_told_to_continue(&mut self) -> bool {
        loop {
            let Some(head) = self.until(b"\r\n\r\n", CONTINUE_PATIENCE).await else {
                let is_silent = self.over == Some(End::Late) && self.ahead.is_empty();
                if is_silent {
                    self.over = None;
                }
                return is_silent;
            };
            match Head::read(&head).status() {
                Some(100) => return true,
                Some(101..=199) => {}
                _ => {
                    // To be read as the answer that it is.
                    self.ahead = [head, std::mem::take(&mut self.ahead)].concat();
                    return false;
                }
            }
        }
    }

    async fn read_answer(&mut self, method: &str) {
        let mut answer = Answer::default();
        while let Some(head) = self.until(b"\r\n\r\n", PATIENCE).await {
            let head = Head::read(&head);
            match head.status() {
                Some(100) => {}
                Some(102..=199) if answer.interim.len() == MOST_INTERIM => {
                    self.over = Some(End::Unread);
                    break;
                }
                Some(102..=199) => answer.interim.push(head),
                _ => {
                    answer.head = Some(head);
                    break;
                }
            }
        }
        let framing = answer.head.as_ref().map(|head| head.framing(method));
        answer.end = match framing {
            Some(framing) => self.read_body(framing, &mut answer).await,
            None => self.over.unwrap_or_default(),
        };
        self.answers.push(answer);
    }

    async fn read_body(&mut self, framing: Framing, answer: &mut Answer) -> End {
        match framing {
            Framing::Length(length) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                while self.ahead.len() < length.min(MOST) && self.more(PATIENCE).await {}
                answer.body = self.take(length.min(MOST));
                match answer.body.len() {
                    read if read == length => End::Whole,
                    MOST => self.unread(),
                    _ => self.over.unwrap_or_default(),
                }
            }
            Framing::UntilClose => {
                while self.ahead.len() < MOST && self.more(PATIENCE).await {}
                answer.body = self.take(MOST);
                match self.over {
                    None => self.unread(),
                    Some(End::Late) => End::Late,
                    Some(_) if self.is_reset => End::Cut,
                    Some(_) => End::Whole,
                }
            }
            Framing::Chunks => self.read_chunks(answer).await,
        }
    }

    async fn read_chunks(&mut self, answer: &mut Answer) -> End {
        while let Some(line) = self.until(b"\r\n", PATIENCE).await {
            let digits: Vec<u8> = line.iter().copied().take_while(u8::is_ascii_hexdigit).collect();
            let size =
                std::str::from_utf8(&digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
            match size {
                None => return End::Cut,
                Some(0) => {
                    let mut section = Vec::new();
                    while let Some(line) = self.until(b"\r\n", PATIENCE).await {
                        if line == b"\r\n" {
                            answer.trailers = trailers(&section);
                            return End::Whole;
                        }
                        section.extend(line);
                    }
                }
                Some(size) if answer.body.len().saturating_add(size) > MOST => return self.unread(),
                Some(size) => {
                    while self.ahead.len() < size + 2 && self.more(PATIENCE).await {}
                    let chunk = self.take(size + 2);
                    answer.body.extend_from_slice(chunk.get(..size).unwrap_or(&chunk));
                    if !chunk.ends_with(b"\r\n") || chunk.len() < size + 2 {
                        return self.over.unwrap_or_default();
                    }
                }
            }
        }
        self.over.unwrap_or_default()
    }

    /// What came for the requests. What is left then was asked for by none of them.
    fn into_answers(mut self) -> Vec<Answer> {
        if let Some(last) = self.answers.last_mut()
            && last.end == End::Whole
            && !self.ahead.is_empty()
        {
            last.end = End::Followed;
        }
        self.answers
    }

    fn unread(&mut self) -> End {
        self.over = Some(End::Unread);
        End::Unread
    }
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// What is read of a side that says `answer` and then closes, or resets.
    async fn read_until(answer: &'static str, linger: Option<Duration>) -> Answer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        theirs.write_all(answer.as_bytes()).await.unwrap();
        let mut conversation = Conversation::new(Box::new(ours), Instant::now() + WHOLE);
        while conversation.ahead.len() < answer.len() {
            assert!(conversation.more(PATIENCE).await);
        }
        SockRef::from(&theirs).set_linger(linger).unwrap();
        drop(theirs);
        conversation.read_answer("GET").await;
        conversation.into_answers().remove(0)
    }

    #[tokio::test]
    async fn a_body_ends_with_a_close_and_not_with_a_reset() {
        let answer = "HTTP/1.0 200 OK\r\n\r\nhello";
        let closed = read_until(answer, None).await;
        let reset = read_until(answer, Some(Duration::ZERO)).await;
        assert_eq!((closed.end, reset.end), (End::Whole, End::Cut));
        assert_eq!(closed.body, reset.body);
    }

    #[tokio::test]
    async fn what_nobody_asked_for_is_seen() {
        for (answer, end) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", End::Whole),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello there", End::Followed),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", End::Followed),
        ] {
            assert_eq!(read_until(answer, None).await.end, end, "{answer:?}");
        }
    }

    /// What is read of a side that says `begin` and then `more` for ever.
    async fn read_of(begin: &str, more: &'static str, patience: Duration) -> Answer {
        let (ours, mut theirs) = tokio::io::duplex(1 << 10);
        let begin = begin.to_owned();
        let endless = tokio::spawn(async move {
            let mut next = begin.as_bytes();
            while theirs.write_all(next).await.is_ok() {
                next = more.as_bytes();
            }
        });
        let mut conversation = Conversation::new(Box::new(ours), Instant::now() + patience);
        conversation.read_answer("GET").await;
        endless.abort();
        conversation.answers.remove(0)
    }

    #[tokio::test]
    async fn what_never_ends_is_left() {
        let events = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = read_of(events, "5\r\nhello\r\n", Duration::from_millis(100)).await;
        assert_eq!((answer.end, answer.is_endless()), (End::Late, true));
        let answer = read_of("", "HTTP/1.1 103 Early Hints\r\n\r\n", WHOLE).await;
        assert_eq!(
            (answer.end, answer.is_endless(), answer.interim.len()),
            (End::Unread, true, MOST_INTERIM)
        );
    }
}
