//! One HTTP/1.1 connection to an upstream, which has no task of its own: whoever waits for something of it drives it, so
//! that an exchange costs no switch to another task and back.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{self, Builder, SendRequest},
    },
    ext::ReasonPhrase,
};
use hyper_util::rt::TokioIo;
use tokio::task::unconstrained;
use tokio_util::task::AbortOnDropHandle;

use super::{
    awaits::Awaits,
    bell::Bell,
    body::{Progress, Upload},
    last_word::LastWord,
    sieve::Sieve,
};
use crate::{
    backend::Fault,
    stream::{Duplex as _, Stream},
    timer::LazyTimer,
};

/// What becomes of a request: the head of its answer, or why there is none, with the request where nothing of it was sent.
pub(super) type Sent<B> = Result<Response<Incoming>, TrySendError<Request<Upload<B>>>>;

/// Of a response; how large they may be together is `limits.response_head`. hyper's default is 100.
const FIELDS: usize = 1024;

/// hyper holds a whole head, and as much of an upload that the upstream does not take yet.
const BESIDE_A_HEAD: usize = 8 * 1024;

/// A connection that carries one exchange at a time.
pub(super) struct Connection<B> {
    sender: SendRequest<Upload<B>>,
    wire: Wire<B>,
    bell: Arc<Bell>,
    /// Rings it.
    rope: Waker,
    /// Somebody listens to it.
    is_heard: bool,
    timer: LazyTimer,
    sieve: Sieve,
}

/// Who has the socket.
enum Wire<B> {
    /// hyper, which reads and writes when it is polled.
    Driven(Driven<B>),
    /// A task, because an upload goes on whether or not its answer is read.
    Apart(#[expect(dead_code, reason = "held for its drop")] AbortOnDropHandle<()>),
    /// hyper is done: it is a tunnel from now on, or of no use.
    Over(Option<(Stream, Bytes)>),
}

/// hyper's side of a connection. Whatever a body must be able to do is known where one begins, and nowhere else.
trait Driver<B>: Send {
    /// Ready when it has ended: true where that was in order.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool>;

    /// The socket, what was read from it and belongs to no answer, and how far its request came.
    fn into_parts(self: Box<Self>) -> (Stream, Bytes, Reached);
}

impl<B> Driver<B> for http1::Connection<TokioIo<LastWord>, Upload<B>>
where
    B: Body<Data = Bytes, Error = Fault> + Send + Unpin + 'static,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        // Errors reach the exchange through `sender`; an idle connection that ends is only gone.
        self.poll_without_shutdown(cx).map(|ended| ended.is_ok())
    }

    fn into_parts(self: Box<Self>) -> (Stream, Bytes, Reached) {
        let parts = (*self).into_parts();
        let socket = parts.io.into_inner();
        let reached = if socket.is_flushed() { Reached::Kernel } else { Reached::Hyper };
        (socket.into_inner(), parts.read_buf, reached)
    }
}

/// Where the last byte of what hyper was given to send is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Hyper,
    Kernel,
}

/// What hyper drives, and what it uploads. Given up before the last of that is with the kernel, the socket is reset: an
/// upstream that is content with what it gets would take a close for the end (RFC 9112, 8).
struct Driven<B> {
    /// Absent only at its end.
    driver: Option<Box<dyn Driver<B>>>,
    upload: Option<Arc<Progress>>,
}

impl<B> Driven<B> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.driver.as_mut().map_or(Poll::Ready(false), |driver| driver.poll(cx))
    }

    /// The socket, and what was read from it and belongs to no answer; none where it has to be reset.
    fn take_socket(&mut self) -> Option<(Stream, Bytes)> {
        let (mut stream, unread, reached) = self.driver.take()?.into_parts();
        if reached == Reached::Kernel && self.upload.as_ref().is_none_or(|upload| upload.has_ended()) {
            return Some((stream, unread));
        }
        stream.reset_at_end();
        None
    }
}

impl<B> Drop for Driven<B> {
    fn drop(&mut self) {
        drop(self.take_socket());
    }
}

impl<B> Wire<B> {
    /// Reads and writes what can be. What follows for the exchange is then to be had without waiting.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Self::Driven(driven) = self
            && let Poll::Ready(in_order) = driven.poll(cx)
        {
            // hyper ends in order after a body that broke off, too, and after a 101 whatever it has yet to write.
            let socket = if in_order { driven.take_socket() } else { None };
            *self = Self::Over(socket);
        }
    }
}

impl<B> Connection<B>
where
    B: Body<Data = Bytes, Error = Fault> + Send + Unpin + 'static,
{
    /// Over a socket on which nothing is under way; `response_head` bounds what may be answered, and a small request is
    /// acknowledged `within` this time.
    pub(super) async fn over(
        stream: Stream,
        response_head: usize,
        within: Duration,
    ) -> Result<Self, hyper::Error> {
        let sieve = Sieve::of(response_head);
        let (sender, driver) = Builder::new()
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .max_headers(FIELDS)
            .max_header_size(response_head)
            .max_buf_size(response_head + BESIDE_A_HEAD)
            .preserve_header_case(true)
            .handshake(TokioIo::new(LastWord::acknowledged(stream, sieve.clone(), within)))
            .await?;
        let wire = Wire::Driven(Driven { driver: Some(Box::new(driver)), upload: None });
        let bell = Arc::new(Bell::default());
        let rope = Waker::from(bell.clone());
        Ok(Self { sender, wire, bell, rope, is_heard: false, timer: LazyTimer::new(), sieve })
    }

    /// Hands a request over; what comes of it is for [`poll_answer`](Self::poll_answer).
    pub(super) fn send(
        &mut self,
        request: Request<Upload<B>>,
    ) -> impl Future<Output = Sent<B>> + Send + use<B> {
        self.sieve.listen();
        if let Wire::Driven(driven) = &mut self.wire {
            driven.upload = request.body().progress().cloned();
        }
        // The budget of a task must not keep an answer from being seen that was driven here.
        unconstrained(self.sender.try_send_request(request))
    }

    /// Ready with the head of the answer, or with none where that is late.
    pub(super) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        mut answer: Pin<&mut impl Future<Output = Sent<B>>>,
        awaits: &Awaits,
    ) -> Poll<Option<Sent<B>>> {
        match self.poll(cx, |cx| answer.as_mut().poll(cx)) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => awaits.poll_late(cx, &mut self.timer).map(|()| None),
        }
    }
}

impl<B> Connection<B> {
    /// Drives the connection until it brings what is `wanted`, of hyper's other side.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        /// More than an exchange ever needs at once; a task whose budget is used up would go on for ever.
        const TURNS: usize = 4;
        if let Wire::Apart(_) = self.wire {
            return wanted(cx);
        }
        self.hush();
        // What is wanted comes of driving alone: nobody need be woken for it.
        let unheard = &mut Context::from_waker(Waker::noop());
        for _ in 0..TURNS {
            if let Poll::Ready(came) = wanted(unheard) {
                return Poll::Ready(came);
            }
            self.drive();
            if let Poll::Ready(came) = wanted(unheard) {
                return Poll::Ready(came);
            }
            if !self.bell.has_rung() {
                break;
            }
        }
        self.listen(cx);
        Poll::Pending
    }

    fn listen(&mut self, cx: &Context<'_>) {
        self.bell.listen(cx.waker());
        self.is_heard = true;
    }

    fn hush(&mut self) {
        if std::mem::take(&mut self.is_heard) {
            self.bell.hush();
        }
    }

    fn drive(&mut self) {
        self.bell.reset();
        self.wire.drive(&mut Context::from_waker(&self.rope));
    }

    /// Whether a request may be sent over it: the last exchange is over to the last byte both ways, the upstream has not
    /// closed it, nor said what nobody asked.
    pub(super) fn is_idle(&mut self) -> bool {
        if self.bell.has_rung() || !self.sender.is_ready() {
            self.hush();
            self.drive();
        }
        self.sender.is_ready()
    }

    /// The socket alone, of a connection that is idle: without what hyper's buffers have grown to.
    pub(super) fn into_socket(self) -> Option<Stream> {
        let Wire::Driven(mut driven) = self.wire else { return None };
        let (stream, unread) = driven.take_socket()?;
        unread.is_empty().then_some(stream)
    }

    /// Gives it a task of its own, until the end of this exchange: an upload goes on while nobody reads the answer.
    pub(super) fn set_apart(&mut self)
    where
        B: 'static,
    {
        if let Wire::Driven(mut driven) = std::mem::replace(&mut self.wire, Wire::Over(None)) {
            // Not tracked by the drain: it lives as long as its exchange.
            let drive = async move { _ = poll_fn(|cx| driven.poll(cx)).await };
            self.wire = Wire::Apart(AbortOnDropHandle::new(tokio::spawn(drive)));
        }
    }

    /// The socket behind a 101, and what was already read from it; none where the last of the request had not gone before,
    /// or is not to be had within `after`.
    pub(super) async fn upgraded(&mut self, after: Duration) -> Option<(Stream, Bytes)> {
        let due = Instant::now() + after;
        poll_fn(|cx| {
            self.drive();
            if let Wire::Over(socket) = &mut self.wire {
                return Poll::Ready(socket.take());
            }
            self.listen(cx);
            self.timer.poll_until(cx, due).map(|()| None)
        })
        .await
    }

    /// The reason phrase of the answer that came last, where hyper has lost it.
    pub(super) fn reason(&self) -> Option<ReasonPhrase> {
        self.sieve.reason()
    }
}

impl<B> fmt::Debug for Connection<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("sender", &self.sender).finish_non_exhaustive()
    }
}
