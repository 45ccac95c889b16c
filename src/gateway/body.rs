//! Bodies as the gateway hands them on: a request's, from wherever it comes, and an answer's, from whoever gives it.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};

use super::{access_log::Entry, counters::FailureKind, rescue};
use crate::{
    backend::Fault,
    forwarding::ResponseBody,
    generator::{EventBody, ImageBody},
    listener::{Answer, Incoming, Stalled},
    parallel_run::Tee,
};

/// The client's body, counted against `limits.body`.
#[derive(Debug)]
pub struct ClientBody {
    incoming: Incoming,
    limit: Option<u64>,
    seen: u64,
    /// What was read before whoever it is for asks for it.
    ahead: Option<Box<Bytes>>,
}

impl ClientBody {
    pub(super) fn new(incoming: Incoming, limit: Option<u64>) -> Self {
        Self { incoming, limit, seen: 0, ahead: None }
    }

    /// Looks at all of it, where it is announced to have at most `most` bytes; whoever it is for reads it as ever.
    pub(super) async fn look(&mut self, most: usize) -> Result<Option<Bytes>, Fault> {
        let announced = self.size_hint().exact().and_then(|length| usize::try_from(length).ok());
        let Some(length) = announced.filter(|length| (1..=most).contains(length)) else { return Ok(None) };
        let mut whole = BytesMut::with_capacity(length);
        while whole.len() < length
            && let Some(frame) = self.frame().await
        {
            if let Some(data) = frame?.data_ref() {
                whole.extend_from_slice(data);
            }
        }
        let whole = whole.freeze();
        self.ahead = Some(Box::new(whole.clone()));
        Ok(Some(whole))
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(Some(Ok(Frame::data(*ahead))));
        }
        let frame = std::task::ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(|error| {
                if error.is::<Stalled>() {
                    Fault::ClientStalled
                } else {
                    Fault::Client { reason: error.to_string() }
                }
            })?;
            self.seen += frame.data_ref().map_or(0, |data| data.len() as u64);
            match self.limit {
                Some(limit) if self.seen > limit => Err(Fault::TooLarge { limit }),
                _ => Ok(frame),
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.ahead {
            Some(ahead) => SizeHint::with_exact(ahead.len() as u64),
            None => self.incoming.size_hint(),
        }
    }
}

/// The body of a request on its way to an upstream.
#[derive(Debug, Default)]
pub enum RequestBody {
    /// There is none.
    #[default]
    Empty,
    /// As it comes from the client.
    Client(ClientBody),
    /// The same, watched by a parallel run.
    Observed(Box<Tee<ClientBody>>),
    /// Collected before, for a candidate that then left it to the control.
    Whole(Full<Bytes>),
}

impl RequestBody {
    /// These bytes and no more.
    pub fn whole(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Whole(Full::new(bytes)) }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Client(body) => Pin::new(body).poll_frame(cx),
            Self::Observed(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Whole(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client(body) => body.is_end_stream(),
            Self::Observed(body) => body.is_end_stream(),
            Self::Whole(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client(body) => body.size_hint(),
            Self::Observed(body) => body.size_hint(),
            Self::Whole(body) => body.size_hint(),
        }
    }
}

/// What an answer's body is made of.
#[derive(Debug)]
pub(super) enum Content {
    /// Ours.
    Whole(Full<Bytes>),
    /// An upstream's.
    Forwarded(ResponseBody<RequestBody>),
    /// An upstream's, watched by a parallel run.
    Observed(Box<Tee<ResponseBody<RequestBody>>>),
    /// Ours, watched by a parallel run.
    ObservedWhole(Box<Tee<Full<Bytes>>>),
    /// A stored image.
    Image(ImageBody),
    /// Ours, while it is drawn.
    Events(EventBody),
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

/// The body of an answer; when it is over, the access log hears of it.
#[derive(Debug)]
pub struct AnswerBody {
    content: Content,
    entry: Box<Entry>,
    asked: bool,
}

impl AnswerBody {
    pub(super) fn new(content: Content, entry: Box<Entry>) -> Self {
        let mut body = Self { content, entry, asked: false };
        if body.content.is_over() || body.entry.has_no_body() {
            body.entry.complete();
        }
        body
    }
}

impl Content {
    fn is_over(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Forwarded(body) => body.is_end_stream(),
            Self::Observed(body) => body.is_end_stream(),
            Self::ObservedWhole(body) => body.is_end_stream(),
            Self::Image(body) => body.is_end_stream(),
            Self::Events(body) => body.is_end_stream(),
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        this.asked = true;
        this.entry.check_deadline(cx)?;
        let frame = std::task::ready!(match &mut this.content {
            Content::Whole(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Content::Forwarded(body) => Pin::new(body).poll_frame(cx).map_err(BoxError::from),
            Content::Observed(body) => Pin::new(&mut **body).poll_frame(cx).map_err(BoxError::from),
            Content::ObservedWhole(body) => {
                Pin::new(&mut **body).poll_frame(cx).map_err(|never| match never {})
            }
            Content::Image(body) => Pin::new(body).poll_frame(cx).map_err(BoxError::from),
            Content::Events(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        });
        let over = match &frame {
            Some(Ok(frame)) => {
                this.entry.sent(frame.data_ref().map_or(0, Bytes::len));
                // hyper asks for nothing after trailers.
                frame.is_trailers() || this.content.is_over()
            }
            Some(Err(error)) => {
                let kind = error.downcast_ref().map_or(FailureKind::Protocol, rescue::kind);
                this.entry.broke(kind, error.to_string());
                false
            }
            None => true,
        };
        if over {
            this.entry.complete();
        }
        Poll::Ready(frame)
    }

    /// Of a body that is over before it began, hyper would put `Content-Length: 0` behind all other fields.
    fn is_end_stream(&self) -> bool {
        if self.asked {
            self.content.is_over()
        } else {
            self.entry.has_no_body() && !self.entry.is_sized_304()
        }
    }

    fn size_hint(&self) -> SizeHint {
        if self.entry.is_sized_304() {
            return SizeHint::default();
        }
        match &self.content {
            Content::Whole(body) => body.size_hint(),
            Content::Forwarded(body) => body.size_hint(),
            Content::Observed(body) => body.size_hint(),
            Content::ObservedWhole(body) => body.size_hint(),
            Content::Image(body) => body.size_hint(),
            Content::Events(body) => body.size_hint(),
        }
    }
}

impl Answer for AnswerBody {
    fn stalled(&mut self, after: Duration) -> BoxError {
        let fault = Fault::Stalled { after };
        self.entry.broke(rescue::kind(&fault), fault.to_string());
        fault.into()
    }

    fn cut(&mut self) {
        self.entry.cut();
    }
}
