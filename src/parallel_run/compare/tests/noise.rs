//! What a control makes up anew each time, or gives in another order: learned from it, and never held against anybody.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

use super::*;

#[test]
fn made_up_names_lack_a_digit_now_and_then() {
    let body = |id: &str, short: &str| json!({"id": id, "short": short, "url": format!("/orders/{id}")});
    let states = learned(&[
        body("V1StGXR8Z5jdHi6BmyT4q", "k3j9x2ab"),
        body("VuStGXRaZbjdHiDBmyTkq", "kajhxeab"),
        body("b52xGX_8Z5jdHi6BmyT4q", "x81jx2ab"),
    ]);
    assert_eq!(states.shapes.keys().collect::<Vec<_>>(), ["/id", "/short", "/url"]);
    let judge = |ours: &Value, theirs: &Value| found_paths(&judge(ours, theirs, &[], &states));
    let ours = body("i9StGXR8Z5jdHi6BmyT4q", "a3j9x2ab");
    for theirs in [body("oPStGXRlZpjdHiwBmyTpq", "qwertyui"), body("A9StGXR8Z5jdHi6BmyT4q", "a3j9x2a7")] {
        assert!(judge(&ours, &theirs).is_empty() && judge(&theirs, &ours).is_empty(), "{theirs}");
    }
    assert_eq!(judge(&ours, &body("not found", "two words")), ["/id", "/short", "/url"]);
}

#[test]
fn a_made_up_value_is_held_to_what_was_learned_of_it() {
    let body = |trace: &str| json!({"trace": trace});
    let states = learned(&["9f86d081884c7d65", "1f86d081884c7d66", "2f86d081884c7d67"].map(body));
    let judge = |ours: &str, theirs: &str| found_paths(&judge(&body(ours), &body(theirs), &[], &states));
    // Without a letter it could be a time, without a digit a word.
    for theirs in ["3f86d081884c7d68", "1795465440123456", "deadbeefdeadbeef", "3F86D081884C7D68"] {
        assert!(judge("4f86d081884c7d69", theirs).is_empty(), "{theirs}");
    }
    for theirs in ["3f86d081884c7d6", "3f86d081884c7d680", "req_Zk93jd02", "none"] {
        assert_eq!(judge("4f86d081884c7d69", theirs), ["/trace"], "{theirs}");
    }
    assert!(judge("req_Zk93jd02", "req_Bt04ke13").is_empty(), "the control was never like this");
}

/// What sites make up anew, in the ways in which they write it: `n` is another each time, a second later.
fn made_up(n: u32) -> Value {
    let second = 1_795_465_440 + i64::from(n);
    let at = jiff::Timestamp::from_second(second).unwrap();
    let bytes: Vec<u8> =
        (0..48).map(|i: u32| (n * 7 + i).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let base64 = STANDARD.encode(&bytes);
    let part = URL_SAFE_NO_PAD.encode(&bytes);
    json!({
        "csrf": format!("{}==", &base64[..62]), "jwt": format!("eyJhbGciOiJIUzI1NiJ9.{part}.{part}"),
        "micros": second * 1_000_000 + 77, "nanos": second * 1_000_000_000 + 77,
        "slack": format!("{second}.000{n:03}"), "net": format!("/Date({second}123)/"),
        "br": at.strftime("%d/%m/%Y %H:%M:%S").to_string(), "us": at.strftime("%m/%d/%Y %I:%M:%S %p").to_string(),
        "de": at.strftime("%d.%m.%Y %H:%M:%S").to_string(), "c": at.strftime("%a %b %e %H:%M:%S %Y").to_string(),
        "js": at.strftime("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)").to_string(),
        "basic": at.strftime("%Y%m%dT%H%M%SZ").to_string(), "compact": at.strftime("%Y%m%d%H%M%S").to_string(),
        "cdn": format!("//cdn.example.com/{n:08x}a0.png"), "file": format!("img/{n:08x}a0.png"),
    })
}

#[test]
fn what_is_made_up_is_known_however_it_is_written() {
    let mut learner = Learner::default();
    for n in 0..20 {
        let at = jiff::Timestamp::from_second(1_795_465_440 + i64::from(n)).unwrap();
        let date = at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let fields = [("content-type", "application/json"), ("date", date.as_str())];
        learner.observe(&answer(200, &fields, made_up(n).to_string()));
    }
    let states = learner.freeze();
    let control = made_up(40);
    let told = found_paths(&judge(&control, &made_up(41), &[], &states));
    assert!(told.is_empty(), "{told:?}");
    for name in control.as_object().unwrap().keys() {
        for wrong in [json!(""), json!("an error"), json!("unauthorized"), json!(7), json!(null)] {
            let mut candidate = control.clone();
            candidate[name] = wrong.clone();
            assert_eq!(
                found_paths(&judge(&control, &candidate, &[], &states)),
                [format!("/{name}")],
                "{wrong}"
            );
        }
    }
}

#[test]
fn a_time_in_a_zone_of_its_own_is_its_answers() {
    let body = |second: i64| {
        let at = jiff::Timestamp::from_second(second - 3 * 3600).unwrap();
        json!({"hora": at.strftime("%d/%m/%Y %H:%M:%S").to_string(), "aberto": "20/11/2026 08:00:00"})
    };
    let mut learner = Learner::default();
    for second in [1_795_465_440, 1_795_465_440, 1_795_465_441] {
        let date =
            jiff::Timestamp::from_second(second).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let fields = [("content-type", "application/json"), ("date", date.as_str())];
        learner.observe(&answer(200, &fields, body(second).to_string()));
    }
    assert_eq!(
        learner.freeze().shapes.keys().collect::<Vec<_>>(),
        ["/hora"],
        "two of one second tell the same"
    );
}

#[test]
fn a_time_of_day_is_its_answers_or_a_fact() {
    let body = |second: i64, lasts: &str| {
        let at = jiff::Timestamp::from_second(second - 3 * 3600).unwrap().strftime("%H:%M:%S").to_string();
        json!({"now": at, "text": format!("At {at}."), "lasts": lasts})
    };
    let mut learner = Learner::default();
    for (place, lasts) in ["00:03:25", "00:07:01", "01:13:57"].into_iter().enumerate() {
        let second = 1_795_465_440 + 7 * i64::try_from(place).unwrap();
        let date =
            jiff::Timestamp::from_second(second).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let fields = [("content-type", "application/json"), ("date", date.as_str())];
        learner.observe(&answer(200, &fields, body(second, lasts).to_string()));
    }
    let states = learner.freeze();
    let judge = |second: i64, lasts: &str| {
        found_paths(&judge(&body(1_795_466_000, "00:01:00"), &body(second, lasts), &[], &states))
    };
    assert_eq!(judge(1_795_466_003, "00:01:00"), [""; 0]);
    assert_eq!(judge(1_795_466_003, "00:02:00"), ["/lasts"], "how long it takes is known");
    assert_eq!(judge(1_795_476_000, "00:01:00"), ["/now", "/text"], "hours later");
}

#[test]
fn what_contradicts_itself_in_no_known_way_is_held_to_what_it_never_is() {
    let body =
        |tip: &str, flash: &str, etag: &str| json_answer(&json!({"tip": tip, "flash": flash, "etag": etag}));
    let mut learner = Learner::default();
    for (tip, flash, etag) in [("drink water", "", "\"a:1\""), ("take a walk", "welcome", "\"b:2\"")] {
        learner.observe(&body(tip, flash, etag));
        learner.repeated(&body(tip, flash, etag), &body("sleep well", "saved", "\"c:3\""));
    }
    let states = learner.freeze();
    let control = body("read a book", "saved", "\"d:4\"");
    let judge = |tip: &str, flash: &str, etag: &str| {
        found_paths(&compare(&plan(&[]), &states, &control, &body(tip, flash, etag)))
    };
    assert!(judge("call a friend", "", "\"e:5\"").is_empty());
    assert_eq!(judge("", "welcome", ""), ["/tip", "/etag"]);
    assert_eq!(judge("an error", "an error", "an error"), ["/etag"]);
}

#[test]
fn what_a_page_makes_up_anew_is_learned_where_it_stands() {
    let page = |token: &str, name: &str, more: &str| {
        let html = format!(
            "<h1>{name}</h1>\n{more}<form><input name=\"csrf\" value=\"{token}\"></form>\n<a href=\"/p/{name}77x\">"
        );
        answer(200, &[("content-type", "text/html")], html)
    };
    let mut learner = Learner::default();
    for token in ["Zk93jd02Bt04ke13", "9s8d7f6g5h4j3k2l", "q1w2e3r4t5y6u7i8"] {
        learner.observe(&page(token, "Loja", ""));
        learner = serde_json::from_str(&serde_json::to_string(&learner).unwrap()).unwrap();
    }
    let states = learner.freeze();
    let judge = |candidate: Answer| {
        found_paths(&compare(&plan(&[]), &states, &page("a1s2d3f4g5h6j7k8", "Loja", ""), &candidate))
    };
    assert!(judge(page("m1n2b3v4c5x6z7l8", "Loja", "")).is_empty());
    for token in ["", "none", "an error", "m1n2b3v4 c5x6z7l8"] {
        assert_eq!(judge(page(token, "Loja", "")), ["line:2"], "{token}");
    }
    assert_eq!(judge(page("m1n2b3v4c5x6z7l8", "Outra", "")), ["line:1", "line:3"]);
    assert_eq!(judge(page("m1n2b3v4c5x6z7l8", "Loja", "<p>\n")), ["line:2", "line:3", "lines"]);
}

#[test]
fn what_is_made_up_in_a_text_of_a_document_is_known_where_it_stands() {
    let body = |id: u32, plan: &str| {
        let id =
            uuid::Uuid::from_u128(u128::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15_0123_4567_89ab_cdef));
        let (simple, urn) = (id.simple().to_string(), id.urn().to_string());
        json!({
            "etag": format!("W/\"{simple}\""), "braced": format!("{{{id}}}"), "urn": urn,
            "message": format!("Job {id} was accepted for {plan}."),
            "html": format!("<form>\n<input name=\"csrf\" value=\"{simple}\"></form>"),
            "nested": format!("{{\"id\": \"{id}\", \"n\": 1}}"),
        })
    };
    let states = learned(&[1, 2, 3].map(|id| body(id, "ana")));
    let judge = |theirs: &Value| found_paths(&judge(&body(4, "ana"), theirs, &[], &states));
    let right = body(5, "ana");
    assert_eq!(judge(&right), [""; 0]);
    assert_eq!(judge(&body(5, "rui")), ["/message"]);
    for name in right.as_object().unwrap().keys() {
        let cut = |text: &str| text.replace(&text[text.len() - 24..text.len() - 12], "");
        for wrong in ["", "None", "an error", &cut(right[name].as_str().unwrap())] {
            let mut theirs = right.clone();
            theirs[name] = json!(wrong);
            assert_eq!(judge(&theirs), [format!("/{name}")], "{wrong}");
        }
    }
}

#[test]
fn what_the_request_named_is_not_made_up() {
    let order = |id: u32| uuid::Uuid::from_u128(u128::from(id) << 64).to_string();
    let body = |id: u32, trace: u32| json!({"id": order(id), "trace": order(trace)});
    for is_in_body in [false, true] {
        let mut learner = Learner::default();
        for id in 1..5 {
            let mut answer = json_answer(&body(id, 100 + id));
            if is_in_body {
                answer.asked.body = format!("{{\"order\":\"{}\"}}", order(id)).into();
            } else {
                answer.asked.target = format!("/orders/{}?x=1", order(id)).parse().unwrap();
            }
            learner.observe(&answer);
        }
        let states = learner.freeze();
        let judge = |theirs: &Value| found_paths(&judge(&body(7, 107), theirs, &[], &states));
        assert_eq!(judge(&body(7, 108)), [""; 0]);
        assert_eq!(judge(&body(8, 108)), ["/id"], "another's order");
    }
}

#[test]
fn what_counts_on_is_another_number_each_time() {
    let body = |n: u64| {
        let order = 100_000 + n;
        json!({
            "order": order, "digits": order.to_string(), "text": format!("Order #{order} of {n}"),
            // Prices of some goods, none of them twice.
            "price": 1_000 + n * 7_919 % 997, "rows": [{"id": 2 * n}, {"id": 2 * n + 1}],
        })
    };
    let wide = |n: u64| json!({"text": format!("Order #{} created", 100_000 + n), "number": 100_000 + n});
    // Two answers overtake each other.
    let seen: Vec<u64> = (1..20)
        .map(|n| {
            if n == 7 {
                8
            } else if n == 8 {
                7
            } else {
                n
            }
        })
        .collect();
    let states = learned(&seen.iter().map(|n| body(*n)).collect::<Vec<_>>());
    assert_eq!(states.shapes.keys().collect::<Vec<_>>(), ["/digits", "/order"]);
    let states = learned(&seen.iter().map(|n| wide(*n)).collect::<Vec<_>>());
    let judge = |theirs: &Value| found_paths(&judge(&wide(30), theirs, &[], &states));
    assert_eq!(judge(&wide(31)), [""; 0]);
    for wrong in [json!(0), json!(7), json!(-100_031), json!(1e9), json!("100031"), json!(100_031.5)] {
        assert_eq!(judge(&json!({"text": wide(31)["text"], "number": wrong})), ["/number"], "{wrong}");
    }
    for wrong in ["Order #7 created", "Order # created", "Order #100031 failed"] {
        assert_eq!(judge(&json!({"text": wrong, "number": 100_031})), ["/text"], "{wrong}");
    }
    assert!(learned(&(1..12).map(wide).collect::<Vec<_>>()).shapes.is_empty(), "so few may be chance");
}

#[test]
fn a_number_that_no_double_holds_is_a_name() {
    let body = |n: u64| json!({"id": 1_234_567_890_123_456_789 + n * 7_919, "unsigned": u64::MAX - n, "cents": 199_900 + n * n % 7});
    let states = learned(&(1..5).map(body).collect::<Vec<_>>());
    assert_eq!(states.shapes.keys().collect::<Vec<_>>(), ["/id", "/unsigned"]);
    let judge = |theirs: Value| {
        let mut candidate = body(5);
        candidate["id"] = theirs;
        found_paths(&judge(&body(5), &candidate, &[], &states))
    };
    assert_eq!(judge(json!(1_334_567_890_123_456_789_u64)), [""; 0]);
    for wrong in [json!(0), json!(-1), json!(1_795_465_440), json!("1234567890123456789"), json!(1.5e18)] {
        assert_eq!(judge(wrong.clone()), ["/id"], "{wrong}");
    }
}

#[test]
fn what_was_always_of_one_length_is_not_cut() {
    let bytes = |n: u32| -> Vec<u8> {
        (0..48).map(|i: u32| (n * 7 + i).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
    };
    let body = |n: u32| {
        let (token, name) = (STANDARD.encode(bytes(n)), format!("{:016x}a7", u64::from(n) * 104_729));
        json!({
            "token": token, "session": format!("s_{}", URL_SAFE_NO_PAD.encode(&bytes(n)[..30])),
            "url": format!("https://cdn.example/i/{name}.png?X-Amz-Signature={name}{name}{name}"),
            "order": format!("PED-{}", 99_990 + n),
        })
    };
    let states = learned(&(1..9).map(body).collect::<Vec<_>>());
    let (control, candidate) = (body(9), body(11));
    let told = found_paths(&judge(&control, &candidate, &[], &states));
    assert!(told.is_empty(), "{told:?}: a number with a digit more is not cut");
    for name in ["token", "session", "url", "order"] {
        let whole = candidate[name].as_str().unwrap();
        for wrong in [whole[..whole.len() / 2].to_owned(), whole.repeat(2)] {
            let mut cut = candidate.clone();
            cut[name] = json!(wrong);
            assert_eq!(found_paths(&judge(&control, &cut, &[], &states)), [format!("/{name}")], "{wrong}");
        }
    }
}

#[test]
fn what_a_page_contradicts_itself_in_is_learned_of_its_repeats() {
    let page = |took: &str, name: &str| {
        let html = format!("<html><p>{name}, since 1920</p>\n<!-- by web-7 in {took} --></html>");
        answer(200, &[("content-type", "text/html")], html)
    };
    let mut learner = Learner::default();
    for (took, again) in [("12ms", "9ms"), ("8ms", "131ms")] {
        learner.observe(&page(took, "Loja"));
        learner.repeated(&page(took, "Loja"), &page(again, "Loja"));
    }
    let states = learner.freeze();
    let judge = |took: &str, name: &str| {
        found_paths(&compare(&plan(&[]), &states, &page("10ms", "Loja"), &page(took, name)))
    };
    assert_eq!(judge("11ms", "Loja"), [""; 0]);
    for took in ["", "error", "an error", "-"] {
        assert_eq!(judge(took, "Loja"), ["line:2"], "{took}");
    }
    assert_eq!(judge("11ms", "Loja, 1921"), ["line:1"]);
}

#[test]
fn what_contradicts_itself_always_in_one_way_is_held_to_that() {
    let body = |n: u32| {
        let id = uuid::Uuid::from_u128(u128::from(n) << 64);
        json!({"took": format!("{}.{n}ms", n % 97), "address": format!("10.0.{}.{n}", n % 7), "job": format!("Job {id} is done")})
    };
    let mut learner = Learner::default();
    for n in 1..4 {
        learner.observe(&json_answer(&body(n)));
        learner.repeated(&json_answer(&body(n)), &json_answer(&body(n + 50)));
    }
    let states = learner.freeze();
    let judge = |theirs: &Value| found_paths(&judge(&body(90), theirs, &[], &states));
    assert_eq!(judge(&body(99)), [""; 0]);
    for wrong in ["undefined", "Job None is done", "an error"] {
        let theirs = json!({"took": wrong, "address": wrong, "job": wrong});
        assert_eq!(judge(&theirs), ["/took", "/address", "/job"], "{wrong}");
    }
}

#[test]
fn a_page_may_be_one_line_of_which_much_depends_on_the_request() {
    let page = |token: &str, name: &str| {
        let head =
            format!("<head><title>{}</title><meta name=csrf content=\"{token}\"></head>", "shop ".repeat(60));
        answer(200, &[("content-type", "text/html")], format!("<html>{head}<h1>{name}</h1><p>etc</p></html>"))
    };
    let mut learner = Learner::default();
    for (token, name) in
        [("Zk93jd02Bt04ke13", "Mesa"), ("9s8d7f6g5h4j3k2l", "Cama"), ("q1w2e3r4t5y6u7i8", "Banco")]
    {
        learner.observe(&page(token, name));
    }
    let states = learner.freeze();
    let judge =
        |candidate: Answer| compare(&plan(&[]), &states, &page("a1s2d3f4g5h6j7k8", "Rede"), &candidate);
    assert_eq!(judge(page("m1n2b3v4c5x6z7l8", "Rede")).class, Class::Match);
    assert_eq!(judge(page("", "Rede")).class, Class::Mismatch);
    let told = &judge(page("m1n2b3v4c5x6z7l8", "Muro")).differences[0];
    assert_eq!(
        (told.path.as_str(), told.candidate.as_deref()),
        ("line:1", Some("..Muro</h1><p>etc</p></html>"))
    );
}

#[test]
fn a_time_may_have_a_fraction() {
    let body = |seconds: f64| json!({"created": seconds});
    let states = learned(&[1_795_465_440.25, 1_795_465_441.5, 1_795_465_442.75].map(body));
    let judge = |theirs: f64| found_paths(&judge(&body(1_795_465_450.5), &body(theirs), &[], &states));
    assert!(judge(1_795_465_451.0).is_empty());
    assert_eq!(judge(1_795_469_999.5), ["/created"], "more than an hour later");
    assert_eq!(judge(0.5), ["/created"]);
}

#[test]
fn words_are_words_though_one_of_them_has_a_digit() {
    let users = ["ana_maria", "joao_silva", "maria22", "rui_costa"].map(|user| json!({"user": user}));
    assert!(learned(&users).shapes.is_empty());
}

#[test]
fn a_list_that_the_control_itself_shuffles_has_no_order() {
    let answer = |tags: &[&str]| json_answer(&json!({"tags": tags, "steps": ["one", "two"]}));
    let mut learner = Learner::default();
    for _ in 0..2 {
        learner.observe(&answer(&["a", "b", "c"]));
        learner.repeated(&answer(&["a", "b", "c"]), &answer(&["c", "a", "b"]));
        learner = serde_json::from_str(&serde_json::to_string(&learner).unwrap()).unwrap();
    }
    let states = learner.freeze();
    let verdict = |candidate: &Value| {
        found_paths(&compare(&plan(&[]), &states, &answer(&["a", "b", "c"]), &json_answer(candidate)))
    };
    assert!(verdict(&json!({"tags": ["b", "c", "a"], "steps": ["one", "two"]})).is_empty());
    assert_eq!(verdict(&json!({"tags": ["b", "c", "a"], "steps": ["two", "one"]})), ["/steps"]);
    assert_eq!(verdict(&json!({"tags": ["b", "c", 1], "steps": ["one", "two"]})), ["/tags/*"]);
    let fewer = verdict(&json!({"tags": ["a", "b"], "steps": ["one", "two"]}));
    assert_eq!(fewer, ["/tags"], "it was never of another length");
}

#[test]
fn what_was_learned_below_made_up_keys_holds_also_where_they_recur() {
    let body = |etag: &str| json!({"stock": {"00012345": {"etag": etag, "left": 3}}});
    let states = learned(&[body("9f86d081884c7d65"), body("1f86d081884c7d66"), body("2f86d081884c7d67")]);
    assert!(states.dynamic.is_empty());
    let judge = |theirs: &Value| found_paths(&judge(&body("3f86d081884c7d68"), theirs, &[], &states));
    assert!(judge(&body("4f86d081884c7d69")).is_empty());
    assert_eq!(judge(&body("none")), ["/stock/00012345/etag"]);
}

#[test]
fn members_of_made_up_keys_are_paired_by_what_they_hold() {
    let body = |keys: [u128; 3]| {
        let of = |key: u128| uuid::Uuid::from_u128(key << 64).to_string();
        let [first, second, third] = keys.map(of);
        json!({"items": {first: {"name": "a"}, second: {"name": "b"}, third: {"name": "c"}}})
    };
    let states = learned(&[body([1, 2, 3]), body([4, 5, 6])]);
    // Written in the order of their keys.
    let theirs = json!({"items": {
        "00000000-0000-0007-0000-000000000000": {"name": "c"},
        "00000000-0000-0008-0000-000000000000": {"name": "a"},
        "00000000-0000-0009-0000-000000000000": {"name": "x"},
    }});
    assert_eq!(found_paths(&judge(&body([7, 8, 9]), &theirs, &[], &states)), ["/items/*/name"]);
}

#[test]
fn a_number_that_counts_on_is_not_missed_where_the_contract_does_not_know_it() {
    let body = |n: u64| json!({"processed": 200, "order": 30_447 + n, "price": 3});
    let states = learned(&[body(1), body(2), body(3)]);
    assert!(states.shapes.is_empty() && states.numbers.iter().eq(["/order"]));
    let plan = Plan { beside: Beside::Told, ..plan(&[]) };
    let judge = |theirs: &Value| compare(&plan, &states, &json_answer(&body(4)), &json_answer(theirs));
    let told = judge(&json!({"processed": 200, "price": 3}));
    assert_eq!((told.class, found_paths(&told)), (Class::Match, vec!["/order".to_owned()]));
    assert_eq!(judge(&json!({"processed": 200, "order": 7, "price": 3})).class, Class::Mismatch);
    assert_eq!(judge(&json!({"processed": 200})).class, Class::Mismatch, "a price is known");
}

fn found_paths(judgement: &Judgement) -> Vec<String> {
    judgement.differences.iter().map(|difference| difference.path.clone()).collect()
}
