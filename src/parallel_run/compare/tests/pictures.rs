//! Pairs of real image files, each judged as it should be: two different good pictures match, whatever the format, and
//! each way in which a picture can be no answer is told.

use ::image::{DynamicImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage, codecs::jpeg::JpegEncoder};
use bytes::Bytes;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{images::encoded, *};

const WIDTH: u32 = 96;
const HEIGHT: u32 = 64;

/// A picture with a sky, a sun, hills and the grain of a camera.
fn landscape(seed: u64) -> RgbImage {
    let mut random = StdRng::seed_from_u64(seed);
    let (sun, ridge): (u32, f64) = (random.random_range(20..76), random.random_range(0.4..0.8));
    RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        let hill = f64::from(HEIGHT) * (0.62 + 0.2 * (f64::from(x) / 13.0 * ridge).sin());
        let is_sun = x.abs_diff(sun).pow(2) + y.abs_diff(14).pow(2) < 60;
        let base = match () {
            () if f64::from(y) > hill => [70 + y, 110 + x / 3, 40],
            () if is_sun => [250, 230, 120],
            () => [90 + y, 140 + y, 235 - y / 2],
        };
        Rgb(base.map(|level| u8::try_from(level + random.random_range(0..9)).unwrap_or(u8::MAX)))
    })
}

fn colour(seed: u64) -> DynamicImage {
    landscape(seed).into()
}

fn static_noise(seed: u64) -> DynamicImage {
    let mut random = StdRng::seed_from_u64(seed);
    RgbImage::from_fn(WIDTH, HEIGHT, |_, _| Rgb(random.random())).into()
}

fn plain(level: u8) -> DynamicImage {
    RgbImage::from_pixel(WIDTH, HEIGHT, Rgb([level; 3])).into()
}

fn png(image: &DynamicImage) -> Bytes {
    encoded(image, ImageFormat::Png)
}

fn webp(image: &DynamicImage) -> Bytes {
    encoded(image, ImageFormat::WebP)
}

fn jpeg(image: &DynamicImage, quality: u8) -> Bytes {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(image).unwrap();
    bytes.into()
}

/// The beginning of a file, and `end`.
fn cut(file: &Bytes, share: f64, end: &[u8]) -> Bytes {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "small"
    )]
    let kept = (file.len() as f64 * share) as usize;
    [&file[..kept], end].concat().into()
}

/// A JPEG that says by its EXIF how it is to be turned.
fn turned(file: &Bytes, orientation: u8) -> Bytes {
    let mut exif = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    [&file[..2], &exif, &file[2..]].concat().into()
}

/// A PNG of at most 256 colours.
fn palette(image: &RgbImage) -> Bytes {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Indexed);
    // Two bits of red, green and blue each.
    let colours = (0..64u8).flat_map(|index| [index >> 4, index >> 2 & 3, index & 3].map(|level| level * 85));
    encoder.set_palette(colours.collect::<Vec<u8>>());
    let mut writer = encoder.write_header().unwrap();
    let indices = image.pixels().map(|pixel| pixel.0[0] >> 6 << 4 | pixel.0[1] >> 6 << 2 | pixel.0[2] >> 6);
    writer.write_image_data(&indices.collect::<Vec<u8>>()).unwrap();
    writer.finish().unwrap();
    bytes.into()
}

fn animated_png(frames: [&RgbImage; 2]) -> Bytes {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    for frame in frames {
        writer.write_image_data(frame.as_raw()).unwrap();
    }
    writer.finish().unwrap();
    bytes.into()
}

/// Two stills in the container of an animation (RFC 9649, 2.7).
fn animated_webp(frames: [&RgbImage; 2]) -> Bytes {
    let u24 = |value: u32| value.to_le_bytes()[..3].to_vec();
    let chunk = |name: &[u8], content: &[u8]| {
        let length = u32::try_from(content.len()).unwrap().to_le_bytes();
        let padding = vec![0; content.len() % 2];
        [name, &length, content, &padding].concat()
    };
    let size = || [u24(WIDTH - 1), u24(HEIGHT - 1)].concat();
    let frame = |image: &RgbImage| {
        let still = webp(&image.clone().into());
        chunk(b"ANMF", &[u24(0), u24(0), size(), u24(100), vec![0], still[12..].to_vec()].concat())
    };
    let content = [
        b"WEBP".to_vec(),
        chunk(b"VP8X", &[vec![2, 0, 0, 0], size()].concat()),
        chunk(b"ANIM", &[0; 6]),
        frame(frames[0]),
        frame(frames[1]),
    ];
    chunk(b"RIFF", &content.concat()).into()
}

fn through_glass(seed: u64) -> DynamicImage {
    let mut image = colour(seed).to_rgba8();
    image.pixels_mut().step_by(3).for_each(|pixel| pixel.0[3] = 90);
    image.into()
}

/// What is said of one pair: its class, its alarms, and the candidate's side of every failure.
fn said(control: Bytes, candidate: Bytes, asked: &Asked) -> (Class, Vec<Alarm>, String) {
    let answer = |bytes: Bytes| {
        let declared = Some(format!("image/{}", asked.format.as_deref().unwrap_or("png")));
        let path = String::new();
        let image = FetchedImage { path, delivery: Delivery::Body, bytes: Ok(bytes.clone()), declared };
        Answer { images: vec![image], asked: asked.clone(), ..answer(200, &[], bytes) }
    };
    let judgement = compare(&plan(&[]), &PathStates::default(), &answer(control), &answer(candidate));
    let failures = judgement.differences.into_iter().filter(|found| found.severity == Severity::Failure);
    let told: Vec<_> = failures.filter_map(|failure| failure.candidate).collect();
    (judgement.class, judgement.alarms, told.join("; "))
}

fn asked(format: &str) -> Asked {
    Asked { size: Some((WIDTH, HEIGHT)), n: Some(1), format: Some(format.to_owned()), ..Asked::default() }
}

#[test]
fn good_pairs_of_real_files_match() {
    let dark = |seed| {
        let mut image = landscape(seed);
        image.pixels_mut().for_each(|pixel| pixel.0 = pixel.0.map(|level| level / 6));
        DynamicImage::from(image)
    };
    let grey = |seed| DynamicImage::from(colour(seed).to_luma8());
    let pairs = [
        ("png", "two landscapes", png(&colour(1)), png(&colour(2))),
        ("jpeg", "two landscapes", jpeg(&colour(1), 85), jpeg(&colour(2), 85)),
        ("webp", "two landscapes", webp(&colour(1)), webp(&colour(2))),
        ("jpeg", "another quality", jpeg(&colour(1), 95), jpeg(&colour(2), 30)),
        ("png", "a palette", png(&colour(1)), palette(&landscape(2))),
        ("png", "two of few colours", palette(&landscape(1)), palette(&landscape(2))),
        ("png", "two that can be seen through", png(&through_glass(1)), png(&through_glass(2))),
        ("png", "alpha nobody asked for", png(&colour(1)), png(&through_glass(2))),
        ("png", "two in grey", png(&grey(1)), png(&grey(2))),
        ("png", "grey with room for colours", png(&grey(1)), png(&grey(2).to_rgb8().into())),
        ("jpeg", "grey without it", jpeg(&grey(1).to_rgb8().into(), 85), jpeg(&grey(2), 85)),
        ("jpeg", "two by night", jpeg(&dark(1), 85), jpeg(&dark(2), 85)),
        ("jpeg", "two turned alike", turned(&jpeg(&colour(1), 85), 6), turned(&jpeg(&colour(2), 85), 6)),
        ("png", "blank where the control is", png(&plain(9)), png(&plain(0))),
        ("png", "noise where the control is", png(&static_noise(1)), png(&static_noise(2))),
    ];
    for (format, what, control, candidate) in pairs {
        let found = said(control, candidate, &asked(format));
        assert_eq!(found, (Class::Match, vec![], String::new()), "{format}: {what}");
    }
}

#[test]
fn each_way_to_be_no_answer_is_told() {
    let good = [png(&colour(1)), jpeg(&colour(1), 85), webp(&colour(1))];
    let [_, theirs, _] = [png(&colour(2)), jpeg(&colour(2), 85), webp(&colour(2))];
    let nearly = {
        let mut image = RgbImage::from_pixel(WIDTH, HEIGHT, Rgb([250; 3]));
        image.put_pixel(3, 3, Rgb([0, 0, 0]));
        DynamicImage::from(image)
    };
    let unseen: DynamicImage = RgbaImage::from_pixel(WIDTH, HEIGHT, Rgba([200, 30, 30, 0])).into();
    let filled = {
        let mut image = landscape(2);
        image.rows_mut().skip(40).flatten().for_each(|pixel| *pixel = Rgb([128; 3]));
        DynamicImage::from(image)
    };
    let small = DynamicImage::from(landscape(2)).crop_imm(0, 0, WIDTH, HEIGHT - 1);
    let luma = DynamicImage::from(::image::GrayImage::from_fn(WIDTH, HEIGHT, |x, y| {
        Luma([u8::try_from(x + y).unwrap()])
    }));
    let still = landscape(2);
    let end = [0xff, 0xd9];
    let cases: Vec<(usize, &str, Bytes, &[Alarm], &str)> = vec![
        (0, "black", png(&plain(0)), &[Alarm::Blank], "blank"),
        (1, "white", jpeg(&plain(255), 85), &[Alarm::Blank], "blank"),
        (2, "grey", webp(&plain(128)), &[Alarm::Blank], "blank"),
        (0, "white but for a pixel", png(&nearly), &[Alarm::Blank], "blank"),
        (0, "seen through altogether", png(&unseen), &[Alarm::Blank], "blank"),
        (0, "noise", png(&static_noise(2)), &[], "noise"),
        (2, "noise", webp(&static_noise(2)), &[], "noise"),
        (1, "noise", jpeg(&static_noise(2), 90), &[], "noise"),
        (1, "noise, smoothed", jpeg(&static_noise(2), 40), &[], "noise"),
        (0, "cut", cut(&png(&colour(2)), 0.7, b""), &[], "does not decode"),
        (0, "without its end", cut(&png(&colour(2)), 0.995, b""), &[], "does not decode"),
        (1, "cut", cut(&theirs, 0.5, b""), &[], "does not decode"),
        (1, "cut and ended", cut(&theirs, 0.5, &end), &[], ""),
        (2, "cut", cut(&webp(&colour(2)), 0.6, b""), &[], "does not decode"),
        (0, "a grey tail", png(&filled), &[], "grey from 62 % of its height on"),
        (1, "a grey tail", jpeg(&filled, 90), &[], "grey from 6"),
        (0, "another size", png(&small), &[Alarm::WrongSize], "96x63"),
        (0, "another type", theirs.clone(), &[], "is jpeg"),
        (1, "another type", webp(&colour(2)), &[], "is webp"),
        (0, "no image", Bytes::from_static(b"<html>try again later</html>"), &[], "does not decode"),
        (0, "without colours", png(&luma), &[], "colours grey"),
        (1, "turned", turned(&theirs, 6), &[], "orientation rotate90"),
        (0, "moving", animated_png([&still, &landscape(3)]), &[], "picture animated"),
        (2, "moving", animated_webp([&still, &landscape(3)]), &[], "picture animated"),
        (0, "the control's own", good[0].clone(), &[Alarm::CopyOfControl], "byte for byte"),
        (1, "the control's own", good[1].clone(), &[Alarm::CopyOfControl], "byte for byte"),
        (2, "the control's own", good[2].clone(), &[Alarm::CopyOfControl], "byte for byte"),
    ];
    for (format, what, candidate, alarms, told) in cases {
        let name = ["png", "jpeg", "webp"][format];
        let (class, raised, failures) = said(good[format].clone(), candidate, &asked(name));
        assert_eq!(class, Class::Mismatch, "{name}: {what}");
        assert_eq!(raised, alarms, "{name}: {what}: {failures}");
        assert!(failures.contains(told), "{name}: {what}: {failures}");
    }
}

#[test]
fn transparency_that_was_asked_for_has_to_be_there() {
    let wanted = Asked { transparent: true, ..asked("png") };
    let control = || png(&through_glass(1));
    assert_eq!(said(control(), png(&through_glass(2)), &wanted).0, Class::Match);
    assert_eq!(said(control(), png(&colour(2)), &wanted).2, "no alpha");
}
