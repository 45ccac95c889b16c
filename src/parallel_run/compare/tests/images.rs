//! Images that an answer names: compared by what they are, whatever they are called.

use super::*;

fn scene(width: u32, height: u32, seed: u8) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| {
        let level = u8::try_from((x * 255 / width + y) % 256).unwrap();
        Rgb([level, level.wrapping_add(seed), level.wrapping_mul(3)])
    })
    .into()
}

pub(super) fn encoded(image: &DynamicImage, format: ImageFormat) -> Bytes {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner().into()
}

fn named(name: &str, image: Result<Bytes, String>) -> Answer {
    let declared = Some("image/png".to_owned());
    let fetched = FetchedImage { path: "/image".into(), delivery: Delivery::Name, bytes: image, declared };
    let asked = Asked { size: Some((64, 48)), n: Some(1), ..Asked::default() };
    Answer { images: vec![fetched], asked, ..json_answer(&json!({"status": 200, "image": name})) }
}

fn judge_image(control: Result<Bytes, String>, candidate: Result<Bytes, String>) -> Judgement {
    compare(
        &plan(&[]),
        &PathStates::default(),
        &named("1763-ab.png", control),
        &named("fg-00770.png", candidate),
    )
}

fn good(seed: u8) -> Bytes {
    encoded(&scene(64, 48, seed), ImageFormat::Png)
}

#[test]
fn two_different_good_pictures_match_whatever_they_are_called() {
    let judgement = judge_image(Ok(good(1)), Ok(good(90)));
    assert_eq!((judgement.class, judgement.alarms.len()), (Class::Match, 0), "{:?}", judgement.differences);
    let [ours, theirs] = &judgement.images[..] else { panic!("two images") };
    assert_eq!((ours.candidate, theirs.candidate, theirs.width, theirs.height), (false, true, 64, 48));
    assert_eq!(
        (theirs.sniffed.as_deref(), theirs.color.as_str(), theirs.decodes),
        (Some("png"), "rgb8", true)
    );
    assert!(theirs.entropy > 5.0 && theirs.luma_deviation > 20.0 && theirs.dominant < 0.1);
}

#[test]
fn it_reaches_the_client_as_the_controls_does() {
    let given = |delivery| {
        let mut answer = named("", Ok(good(if delivery == Delivery::Base64 { 1 } else { 90 })));
        answer.images[0].delivery = delivery;
        answer
    };
    let judge =
        |theirs| compare(&plan(&[]), &PathStates::default(), &given(Delivery::Base64), &given(theirs));
    for theirs in [Delivery::DataUrl, Delivery::Url, Delivery::Name] {
        let judgement = judge(theirs);
        assert_eq!(
            (judgement.class, found(&judgement)),
            (Class::Mismatch, vec![("image:0", DifferenceKind::Image)])
        );
    }
}

#[test]
fn what_must_hold_of_an_image() {
    let black = encoded(&RgbImage::new(64, 48).into(), ImageFormat::Png);
    let small = encoded(&scene(32, 48, 1), ImageFormat::Png);
    let jpeg = encoded(&scene(64, 48, 9), ImageFormat::Jpeg);
    let grey = encoded(&scene(64, 48, 9).to_luma8().into(), ImageFormat::Png);
    let cut = |whole: Bytes| Ok(whole.slice(..whole.len() - 40));
    let cases: [(&str, Result<Bytes, String>, &[Alarm]); 8] = [
        ("blank", Ok(black.clone()), &[Alarm::Blank]),
        ("size", Ok(small), &[Alarm::WrongSize]),
        ("format", Ok(jpeg.clone()), &[]),
        ("colours", Ok(grey), &[]),
        ("cut png", cut(good(2)), &[]),
        ("cut jpeg", cut(jpeg), &[]),
        ("not there", Err("404".into()), &[]),
        ("copy", Ok(good(1)), &[Alarm::CopyOfControl]),
    ];
    for (name, candidate, alarms) in cases {
        let judgement = judge_image(Ok(good(1)), candidate);
        assert_eq!((judgement.class, &judgement.alarms[..]), (Class::Mismatch, alarms), "{name}");
        assert!(found(&judgement).iter().all(|found| *found == ("image:0", DifferenceKind::Image)), "{name}");
    }
    let also_black = encoded(&RgbImage::from_pixel(64, 48, Rgb([3, 3, 3])).into(), ImageFormat::Png);
    assert_eq!(
        judge_image(Ok(also_black), Ok(black)).class,
        Class::Match,
        "blank where the control is blank"
    );
}

#[test]
fn an_image_of_the_control_that_cannot_be_had_is_told_and_does_not_fail() {
    let judgement = judge_image(Err("404".into()), Ok(good(1)));
    assert_eq!(judgement.class, Class::Match);
    assert_eq!(judgement.differences[0].severity, Severity::Info);
}

#[test]
fn the_name_of_an_image_that_cannot_be_had_is_compared_by_shape() {
    let control = named("1763-ab.png", Err("404".into()));
    let judge = |name: &str| compare(&plan(&[]), &PathStates::default(), &control, &named(name, Ok(good(1))));
    assert_eq!(judge("fg-00770.webp").class, Class::Match);
    assert_eq!(found(&judge("no picture today"))[0], ("/image", DifferenceKind::Shape));
}

#[test]
fn another_number_of_images_is_an_alarm() {
    let mut two = named("fg-00770.png", Ok(good(1)));
    two.images.push(two.images[0].clone());
    let judgement = compare(&plan(&[]), &PathStates::default(), &named("1763-ab.png", Ok(good(4))), &two);
    assert_eq!((judgement.class, &judgement.alarms[..]), (Class::Mismatch, &[Alarm::WrongCount][..]));
}

#[test]
fn what_neither_arm_can_decode_is_not_taken_for_equal() {
    let svg = |content: &'static str| Ok(Bytes::from_static(content.as_bytes()));
    let gif = || Ok(Bytes::from_static(b"GIF89a of some picture"));
    let none = || Err("404".to_owned());
    let cases = [
        ("two drawings", svg("<svg>a fig</svg>"), svg("<svg>BROKEN"), Class::Incomparable),
        ("one drawing", svg("<svg>a fig</svg>"), svg("<svg>a fig</svg>"), Class::Match),
        ("no gif", gif(), svg("not a gif at all"), Class::Mismatch),
        ("none", gif(), none(), Class::Mismatch),
        ("both broken", Ok(good(1).slice(..200)), Ok(good(2).slice(..200)), Class::Incomparable),
        ("nothing known of the control", none(), none(), Class::Match),
    ];
    for (name, control, candidate, class) in cases {
        let named = |name, image: Result<Bytes, String>| {
            let mut answer = named(name, image);
            answer.asked = Asked::default();
            answer.images[0].declared = None;
            answer
        };
        let (control, candidate) = (named("1763-ab.png", control), named("fg-00770.png", candidate));
        let judgement = compare(&plan(&[]), &PathStates::default(), &control, &candidate);
        assert_eq!(judgement.class, class, "{name}: {:?}", judgement.differences);
    }
}

#[test]
fn the_control_s_image_is_known_at_any_place() {
    let two = |images: [Bytes; 2]| {
        let mut answer = named("a-1.png", Ok(good(1)));
        answer.asked = Asked::default();
        let image = answer.images.remove(0);
        answer.images = images.map(|bytes| FetchedImage { bytes: Ok(bytes), ..image.clone() }).into();
        answer
    };
    let judge =
        |candidate| compare(&plan(&[]), &PathStates::default(), &two([good(1), good(2)]), &two(candidate));
    let swapped = judge([good(2), good(1)]);
    assert_eq!((swapped.class, swapped.alarms), (Class::Mismatch, vec![Alarm::CopyOfControl]));
    assert_eq!(judge([good(3), good(4)]).class, Class::Match);
}
