//! The shop's pages.

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use super::shop::{Customer, GUEST, Picture, Stranger};

/// Pieces of the streamed page.
pub(super) const NEWS: [&str; 5] = [
    "The presses are warming up.",
    "Two brushes were found behind the boiler.",
    "The ultramarine has arrived from the harbour.",
    "A customer asks for a cat in a lighthouse. Again.",
    "That is all for now.",
];

fn layout(title: &str, customer: Option<&Customer>, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Atelier Aurora" }
                link rel="stylesheet" href="/static/style.css";
                link rel="icon" href="/static/logo.svg";
            }
            body {
                header {
                    img src="/static/logo.svg" alt="";
                    div { strong { "Atelier Aurora" } br; small { "pictures on request, since 2009" } }
                    nav {
                        a href="/" { "Shop" }
                        a href="/live" { "News" }
                        @if let Some(customer) = customer {
                            a href="/account" { (customer.name) " (" (customer.credits) ")" }
                            form method="post" action="/logout" { button { "Sign out" } }
                        } @else {
                            a href="/login" { "Sign in" }
                        }
                    }
                }
                main { (main) }
                footer { "This page was made by the monolith." }
                script src="/static/shop.js" {}
            }
        }
    }
}

/// The shop front.
pub(super) fn home(customer: Option<&Customer>, pictures: &[Picture]) -> Markup {
    let main = html! {
        h1 { "Say it, and it hangs on the wall" }
        p.lead { "Our painter reads your words and takes a moment, never less than a quarter of a second." }
        div.card {
            @if customer.is_some() {
                form #order {
                    label for="prompt" { "What shall it be?" }
                    input #prompt name="prompt" required maxlength="1000" placeholder="a lighthouse over the sea at night";
                    div.row {
                        select name="size" aria-label="Size" {
                            option value="256x256" { "small" }
                            option value="512x512" selected { "medium" }
                            option value="1024x1024" { "large" }
                        }
                        button { "Paint it (1 credit)" }
                    }
                }
                noscript { p.wrong { "The painter needs JavaScript." } }
                p #status role="status" {}
                div #fresh {}
            } @else {
                p { a href="/login" { "Sign in" } " to order a picture; any name will do." }
            }
        }
        h1 { "On the wall" }
        ul.gallery {
            @for picture in pictures {
                li {
                    img src={ "/img/" (picture.name) } alt=(picture.title) loading="lazy" width=(picture.size) height=(picture.size);
                    p { (picture.title) }
                }
            }
        }
    };
    layout("Shop", customer, &main)
}

/// The form to sign in.
pub(super) fn login(refused: Option<Stranger>) -> Markup {
    let main = html! {
        h1 { "Sign in" }
        p.lead { "A new name opens a new account, with credits. The account " code { (GUEST) } " has none." }
        form.card method="post" action="/login" {
            @match refused {
                Some(Stranger::Name) => p.wrong { "A name has 1 to 24 of a-z, 0-9 and -." },
                Some(Stranger::Password) => p.wrong { "That is not this account's password." },
                None => {},
            }
            label for="name" { "Name" }
            input #name name="name" required autocomplete="username";
            label for="password" { "Password" }
            input #password name="password" type="password" autocomplete="current-password";
            div.row { button { "Come in" } }
        }
    };
    layout("Sign in", None, &main)
}

/// A customer's own page.
pub(super) fn account(customer: &Customer) -> Markup {
    let main = html! {
        h1 { "Good day, " span #customer { (customer.name) } }
        p.lead { "You have " strong #credits { (customer.credits) } " credits." }
        form.card method="post" action="/upload" enctype="multipart/form-data" {
            label for="file" { "Leave us a sketch to work from" }
            input #file type="file" name="file" required;
            div.row { button { "Hand it in" } }
        }
    };
    layout("Account", Some(customer), &main)
}

/// The receipt of an upload.
pub(super) fn receipt(customer: Option<&Customer>, name: &str, bytes: usize, seal: &str) -> Markup {
    let main = html! {
        h1 { "Thank you" }
        p { "We have " strong { (name) } ", " span #bytes { (bytes) } " bytes, seal " code #seal { (seal) } "." }
    };
    layout("Upload", customer, &main)
}

/// What the streamed page opens with; it is never closed but by the end of the body.
pub(super) fn news_head(now: Timestamp) -> Markup {
    html! {
        (DOCTYPE)
        title { "News · Atelier Aurora" }
        link rel="stylesheet" href="/static/style.css";
        link rel="icon" href="/static/logo.svg";
        h1 { "News of the day" }
        p { "Written as you watch, from " (now.strftime("%H:%M:%S")) " UTC." }
    }
}

/// One piece of it.
pub(super) fn news_item(number: usize, text: &str) -> Markup {
    html! { p id={ "news-" (number) } { (text) } }
}

/// A page for an error of any kind.
pub(super) fn trouble(title: &str, text: &str) -> Markup {
    let main = html! { h1 { (title) } p.lead { (text) } p { a href="/" { "Back to the shop" } } };
    layout(title, None, &main)
}
