//! The shop's state: accounts with credits, sessions, and the gallery. All of it in memory, as much as fits.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use jiff::Timestamp;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};

use super::{
    counts::Counts,
    credits::{HELD_FOR, Holds, Notice},
    painter,
};

/// The account that may look but not buy.
pub const GUEST: &str = "guest";

/// Pictures kept; the oldest goes first.
const GALLERY: usize = 256;
/// Sessions kept; above, everybody signs in again.
const SESSIONS: usize = 10_000;
/// Pictures that hang there when the shop opens.
const DECORATION: [&str; 6] = [
    "a lighthouse over the sea",
    "a forest at dawn",
    "an old clock at night",
    "hills behind the harbour",
    "the last ferry",
    "a garden in winter",
];
const DECORATION_SIZE: u32 = 512;

/// How the shop behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Credits of a new account; a picture costs one.
    pub credits: u64,
    /// Every so many orders, one ends in a 500; zero is never.
    pub breakdown_every: u64,
    /// The least time that a picture takes.
    pub slowest_at_best: Duration,
    /// How much longer it may take.
    pub slower_by: Duration,
    /// Of session tokens and picture names.
    pub seed: u64,
    /// The clock of receipts.
    pub now: fn() -> Timestamp,
    /// What notices of images made elsewhere are signed with; none: they are believed unsigned.
    pub notify_secret: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            credits: 100,
            breakdown_every: 13,
            slowest_at_best: Duration::from_millis(250),
            slower_by: Duration::from_millis(150),
            seed: 0,
            now: Timestamp::now,
            notify_secret: None,
        }
    }
}

/// One picture on the wall.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) size: u32,
    pub(super) png: Bytes,
    pub(super) etag: String,
}

/// Who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Customer {
    pub(super) name: String,
    pub(super) credits: u64,
}

/// What came of an order's turn at the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Paid for, under this number; the picture takes this long.
    Accepted { number: u64, takes: Duration },
    /// Not enough credits.
    Broke,
    /// The shop's own failure; nothing was charged.
    Breakdown { number: u64 },
}

/// Why somebody could not sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stranger {
    /// No such name is allowed.
    Name,
    /// The password is another.
    Password,
}

/// The shop.
#[derive(Debug)]
pub struct Shop {
    settings: Settings,
    counts: Counts,
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    accounts: HashMap<String, Account>,
    sessions: HashMap<String, String>,
    gallery: VecDeque<Picture>,
    orders: u64,
    holds: Holds,
    /// Names of pictures that were made elsewhere, by customer.
    elsewhere: HashMap<String, Vec<String>>,
    random: StdRng,
}

#[derive(Debug)]
struct Account {
    password: [u8; 32],
    credits: u64,
}

impl Shop {
    pub(super) fn new(settings: Settings) -> Self {
        let books = Books {
            accounts: HashMap::new(),
            sessions: HashMap::new(),
            gallery: VecDeque::new(),
            orders: 0,
            holds: Holds::default(),
            elsewhere: HashMap::new(),
            random: StdRng::seed_from_u64(settings.seed),
        };
        Self { settings, counts: Counts::default(), books: Mutex::new(books) }
    }

    /// What the shop has seen.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.settings.now)()
    }

    /// Hangs the first pictures; takes a while.
    pub(super) fn decorate(&self) {
        for title in DECORATION {
            if let Some(png) = painter::paint(title, 0, DECORATION_SIZE) {
                self.hang(title, DECORATION_SIZE, png);
            }
        }
    }

    /// Opens the account at the first visit. The token is the session cookie's value.
    pub(super) fn sign_in(&self, name: &str, password: &str) -> Result<String, Stranger> {
        let proper = (1..=24).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !proper {
            return Err(Stranger::Name);
        }
        let password = Sha256::digest([name.as_bytes(), b"\0", password.as_bytes()].concat()).into();
        let credits = if name == GUEST { 0 } else { self.settings.credits };
        let mut books = self.books();
        let account = books.accounts.entry(name.to_owned()).or_insert(Account { password, credits });
        if account.password != password {
            return Err(Stranger::Password);
        }
        if books.sessions.len() >= SESSIONS {
            books.sessions.clear();
        }
        let token = format!("{:032x}", books.random.random::<u128>());
        books.sessions.insert(token.clone(), name.to_owned());
        Ok(token)
    }

    pub(super) fn sign_out(&self, token: &str) {
        self.books().sessions.remove(token);
    }

    pub(super) fn customer(&self, token: &str) -> Option<Customer> {
        let books = self.books();
        let name = books.sessions.get(token)?;
        let credits = books.accounts.get(name)?.credits;
        Some(Customer { name: name.clone(), credits })
    }

    /// Charges `price` credits, or says why not.
    pub(super) fn take_order(&self, customer: &Customer, price: u64) -> Turn {
        let mut books = self.books();
        let number = books.orders + 1;
        let Some(account) = books.accounts.get_mut(&customer.name) else { return Turn::Broke };
        let Some(left) = account.credits.checked_sub(price) else { return Turn::Broke };
        let breaks = number.checked_rem(self.settings.breakdown_every) == Some(0);
        if !breaks {
            account.credits = left;
        }
        books.orders = number;
        if breaks {
            self.counts.broke_down();
            return Turn::Breakdown { number };
        }
        let takes = self.settings.slowest_at_best + self.settings.slower_by.mul_f64(books.random.random());
        Turn::Accepted { number, takes }
    }

    /// Holds `price` credits for a request that another draws; the hold's name, or none where there are not enough.
    pub(super) fn hold(&self, customer: &str, request: &str, price: u64) -> Option<String> {
        let now = Instant::now();
        let mut books = self.books();
        if let Some(known) = books.holds.known(customer, request) {
            return Some(known);
        }
        let held = books.holds.of(customer, now);
        let credits = books.accounts.get(customer)?.credits;
        let enough = credits.checked_sub(held).is_some_and(|free| free >= price);
        enough.then(|| books.holds.place(customer, request, price, now + HELD_FOR))
    }

    /// What became of it: pays for what was made, once, and lets go of the hold.
    pub(super) fn settle(&self, notice: &Notice) {
        let mut books = self.books();
        let first = books.holds.settle(notice);
        let Some(customer) = notice.tenant.as_ref().filter(|_| first && notice.event == "done") else {
            return;
        };
        if let Some(account) = books.accounts.get_mut(customer) {
            account.credits = account.credits.saturating_sub(notice.n);
        }
        let names = notice.images.iter().map(|image| image.name.clone());
        books.elsewhere.entry(customer.clone()).or_default().extend(names);
    }

    /// What a customer has: credits, credits held, and the names of pictures made elsewhere.
    pub(super) fn balance(&self, customer: &str) -> (u64, u64, Vec<String>) {
        let mut books = self.books();
        let held = books.holds.of(customer, Instant::now());
        let credits = books.accounts.get(customer).map_or(0, |account| account.credits);
        (credits, held, books.elsewhere.get(customer).cloned().unwrap_or_default())
    }

    pub(super) fn notify_secret(&self) -> Option<&str> {
        self.settings.notify_secret.as_deref()
    }

    /// Puts a picture on the wall and returns its name.
    pub(super) fn hang(&self, title: &str, size: u32, png: Vec<u8>) -> String {
        let etag = etag(&png);
        let mut books = self.books();
        let name = format!("{:016x}.png", books.random.random::<u64>());
        if books.gallery.len() >= GALLERY {
            books.gallery.pop_back();
        }
        let picture = Picture { name: name.clone(), title: title.to_owned(), size, png: png.into(), etag };
        books.gallery.push_front(picture);
        name
    }

    pub(super) fn picture(&self, name: &str) -> Option<Picture> {
        self.books().gallery.iter().find(|picture| picture.name == name).cloned()
    }

    /// The newest pictures.
    pub(super) fn newest(&self, count: usize) -> Vec<Picture> {
        self.books().gallery.iter().take(count).cloned().collect()
    }

    /// A panic elsewhere leaves nothing half-written here, so a poisoned lock is taken all the same.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// SHA-256, in base64url.
pub(super) fn seal(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(bytes))
}

/// A strong entity tag (RFC 9110, 8.8.3) of some bytes.
pub(super) fn etag(bytes: &[u8]) -> String {
    format!("\"{:.16}\"", seal(bytes))
}
