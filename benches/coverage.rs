//! What remembering an exchange costs the worker that had it: nothing is allocated for a path that is known.

use std::time::Duration;

use divan::{AllocProfiler, Bencher, black_box};
use figueira::gateway::{
    counters::Answerer,
    coverage::{Seen, Sighting, Signs},
};
use http::Method;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn sighting(path: &str) -> Sighting<'_> {
    Sighting {
        method: &Method::GET,
        path,
        mode: None,
        answerer: Answerer::Monolith,
        status: 200,
        total: Duration::from_millis(3),
        signs: Signs::default(),
    }
}

/// Of 600 kinds of paths, more than are remembered.
fn busy() -> Seen {
    let seen = Seen::default();
    for nth in 0..600_u32 {
        let word: String = format!("{nth:03}").bytes().map(|digit| char::from(digit + 49)).collect();
        seen.saw(&sighting(&format!("/shop/{word}/cart")));
    }
    seen
}

#[divan::bench(args = ["/", "/shop/jjj/cart", "/pedidos/4711/nota/0b9a2c1e-5f3d-4c1a-9b7e-0123456789ab"])]
fn a_known_path(bencher: Bencher<'_, '_>, path: &str) {
    let seen = busy();
    for _ in 0..10 {
        seen.saw(&sighting(path));
    }
    bencher.bench_local(|| seen.saw(black_box(&sighting(path))));
}

#[divan::bench]
fn a_path_under_a_route(bencher: Bencher<'_, '_>) {
    let seen = busy();
    let routed = Sighting { mode: Some(figueira::routing::Mode::Canary), ..sighting("/api/images") };
    bencher.bench_local(|| seen.saw(black_box(&routed)));
}

/// A scan: each path is new, and takes the place of another.
#[divan::bench]
fn a_new_path_without_room(bencher: Bencher<'_, '_>) {
    let seen = busy();
    let mut nth = 0_u32;
    bencher
        .with_inputs(|| {
            nth += 1;
            let word: String = nth.to_string().bytes().map(|digit| char::from(digit + 49)).collect();
            format!("/scan/{word}")
        })
        .bench_local_refs(|path| seen.saw(&sighting(path)));
}
