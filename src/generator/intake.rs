//! From a request to a job that has its place: what is asked for, whether it can be done, what it may cost, and room to
//! do it in. Nothing is claimed or called yet.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::sync::Notify;

use super::{
    Declined, Generator, Grant, Live, Outcome, RouteName, Why,
    admission::{Full, Permit, Seat},
    contract::{self, Asked, Refusal, Rejection, Reply},
    digest::Digest,
    keyed::{self, Keyed},
    metrics::Because,
    money::Usd,
    new_id,
    notify::Envelope,
    order::{AskedSize, Size},
    saga::Intent,
    settings::{Contract, Draws},
    settling,
};

/// What a request asks for, as its contract reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Width and height, where the request says them.
    pub size: Option<(u32, u32)>,
    /// How many images.
    pub count: Option<u32>,
    /// `png`, `jpeg` or `webp`.
    pub format: Option<&'static str>,
    /// Whether it is to be seen through.
    pub transparent: bool,
    /// Whether it is to be answered while it is drawn.
    pub streamed: bool,
}

impl Live {
    /// Reads a request as its contract and its route have it.
    pub(super) fn read(&self, contract: &Contract, request: &Request<Bytes>) -> Result<Asked, Rejection> {
        let settings = &self.settings;
        contract::read(contract, request, settings.max_request, keyed::place(settings, request))
    }
}

impl Asked {
    fn wanted(&self) -> Wanted {
        let Self { wish, reply } = self;
        let size = match wish.size {
            AskedSize::Exact(Size { width, height }) => Some((width, height)),
            AskedSize::Auto => None,
        };
        let transparent = wish.options.is_transparent();
        let (count, format) = (u32::try_from(wish.count).ok(), Some(wish.format.name()));
        Wanted { size, count, format, transparent, streamed: reply.is_stream() }
    }
}

impl Generator {
    /// What `request` asks for; nothing where it is no request of the contract's.
    pub fn wanted(&self, contract: &Contract, request: &Request<Bytes>) -> Wanted {
        self.live().read(contract, request).map_or_else(|_| Wanted::default(), |asked| asked.wanted())
    }

    /// The same; an error is what becomes of a request that its contract cannot read, whoever draws.
    pub fn understands(&self, contract: &Contract, request: &Request<Bytes>) -> Result<Wanted, Box<Outcome>> {
        let read = self.live().read(contract, request);
        Ok(read.map_err(|rejection| self.not_understood(contract, rejection))?.wanted())
    }

    /// The same, for a request that would be drawn; `None` where it is refused or left to the monolith, whoever asks.
    pub fn agrees(&self, contract: &Contract, request: &Request<Bytes>) -> Option<Wanted> {
        let live = self.live();
        let Asked { wish, reply } = live.read(contract, request).ok()?;
        let order = live.provider.agree(wish).ok()?;
        let size = Some((order.size.width, order.size.height));
        let (count, format) = (Some(order.count), Some(order.format.name()));
        let transparent = order.options.is_transparent();
        Some(Wanted { size, count, format, transparent, streamed: reply.is_stream() })
    }

    /// The most that `request` may cost, in US dollars: `None` where nothing is paid or drawn, and without end where the
    /// provider is paid and its price is not known.
    pub fn price(&self, contract: &Contract, request: &Request<Bytes>) -> Option<f64> {
        let live = self.live();
        if live.settings.draws == Draws::Local {
            return None;
        }
        let Asked { wish, .. } = live.read(contract, request).ok()?;
        let order = live.provider.agree(wish).ok()?;
        Some(live.provider.price(&order).map_or(f64::INFINITY, Usd::as_dollars))
    }

    /// From request to a place in the queue: what was asked, whether it can be done, and room to wait for it.
    pub(super) fn admit(
        &self,
        contract: &Contract,
        request: &Request<Bytes>,
        keyed: Keyed,
    ) -> Result<(Intent, Seat, Reply), Box<Outcome>> {
        let live = self.live();
        let Live { settings, admission, provider, .. } = &**live;
        let saga = &self.0.saga;
        let Asked { wish, reply } =
            live.read(contract, request).map_err(|rejection| self.not_understood(contract, rejection))?;
        let order = provider.agree(wish).map_err(|unable| {
            let refusal = Refusal::parameter(unable.param, "invalid_value", unable.message);
            self.decline(contract, Why::BeyondTables, &refusal)
        })?;
        if settings.daily_budget.is_some() && provider.price(&order).is_none() {
            let message = "images like this have no price here, and there is a budget";
            let refusal = Refusal::new(StatusCode::BAD_REQUEST, "unpriced", message);
            return Err(self.decline(contract, Why::Unpriced, &refusal).into());
        }
        let until = request.extensions().get().copied();
        let seat = admission.queue(keyed::tenant(request).as_ref(), &saga.metrics);
        let seat = seat.map_err(|full| self.turned_away(contract, full))?;
        let scope = request.extensions().get().map_or_else(|| Arc::from(""), |RouteName(name)| name.clone());
        let grant = request.extensions().get::<Grant>().cloned().unwrap_or_default();
        let notify = settings.notify.get(&scope);
        let notify = notify.map(|notify| Envelope::new(notify, &grant, order.prompt.text()).written());
        let id = new_id((saga.clock)());
        let intent = Intent {
            tenant: grant.tenant.map(|tenant| Digest::of(tenant.as_bytes())),
            subject: keyed::subject(request),
            notify,
            id,
            keyed,
            may_hand_over: request.extensions().get().copied(),
            scope,
            order,
            accepted: None,
            provider: provider.clone(),
            claimed: Arc::new(Notify::new()),
            arrival: saga.arrival(provider, admission, id),
            settings: settings.clone(),
            queues_until: settling::queues_until(settings, until),
            until,
        };
        Ok((intent, seat, reply))
    }

    /// Waits for the place itself, and its memory.
    pub(super) async fn place(
        &self,
        contract: &Contract,
        intent: &Intent,
        seat: Seat,
    ) -> Result<Permit, Outcome> {
        let permit = seat.wait(intent.working_bytes(), intent.queues_until).await;
        permit.map_err(|full| self.turned_away(contract, full))
    }

    fn not_understood(&self, contract: &Contract, rejection: Rejection) -> Outcome {
        match rejection {
            Rejection::Malformed(refusal) => Outcome::Answered(refusal.answer(contract)),
            Rejection::BeyondTables(refusal) => self.decline(contract, Why::BeyondTables, &refusal),
        }
    }

    fn turned_away(&self, contract: &Contract, full: Full) -> Outcome {
        let refusal = Refusal::unavailable(full.code(), full.to_string(), full.retry_after());
        let why = match full {
            Full::Tenant { .. } => Why::TenantFull,
            Full::Everybody { .. } => Why::QueueFull,
        };
        self.decline(contract, why, &refusal)
    }

    pub(super) fn decline(&self, contract: &Contract, why: Why, refusal: &Refusal) -> Outcome {
        self.0.saga.metrics.declined.get_or_create(&Because { reason: why.name() }).inc();
        Outcome::Declined(Declined { why, response: refusal.answer(contract) })
    }
}
