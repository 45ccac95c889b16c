//! What a prompt's words ask for, in English and Portuguese.

use std::collections::BTreeSet;

use super::dice::Dice;

/// Something that a picture can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Motif {
    // The hour.
    Day,
    Dawn,
    Sunset,
    Night,
    // The sky.
    Sun,
    Moon,
    Stars,
    Cloud,
    Rain,
    Snow,
    Fog,
    // The land.
    Sea,
    Mountain,
    Forest,
    City,
    Desert,
    Field,
    // What stands in it.
    Clock,
    Boat,
    Bird,
    House,
    Balloon,
    Flower,
}

use Motif::{
    Balloon, Bird, Boat, City, Clock, Cloud, Dawn, Day, Desert, Field, Flower, Fog, Forest, House, Moon,
    Mountain, Night, Rain, Sea, Snow, Stars, Sun, Sunset,
};

/// Words without accents, in the singular.
const WORDS: [(Motif, &[&str]); 23] = [
    (Day, &["day", "dia", "morning", "manha", "blue", "azul", "summer", "verao", "spring", "primavera"]),
    (Dawn, &["dawn", "sunrise", "aurora", "amanhecer", "alvorada", "madrugada", "pink", "rosa"]),
    (
        Sunset,
        &[
            "sunset",
            "dusk",
            "evening",
            "twilight",
            "entardecer",
            "crepusculo",
            "tarde",
            "orange",
            "laranja",
            "outono",
            "autumn",
        ],
    ),
    (Night, &["night", "midnight", "noite", "dark", "escuro", "escura", "noturno", "noturna"]),
    (Sun, &["sun", "sol", "sunny", "ensolarado", "ensolarada"]),
    (Moon, &["moon", "moonlight", "lua", "luar"]),
    (Stars, &["star", "stars", "estrela", "galaxy", "galaxia", "space", "espaco", "cosmo"]),
    (Cloud, &["cloud", "cloudy", "nuvem", "nuven", "nublado"]),
    (Rain, &["rain", "rainy", "storm", "chuva", "chuvoso", "tempestade", "temporal"]),
    (Snow, &["snow", "snowy", "winter", "ice", "neve", "inverno", "gelo", "nevado"]),
    (Fog, &["fog", "foggy", "mist", "misty", "nevoa", "neblina", "bruma"]),
    (
        Sea,
        &[
            "sea", "ocean", "beach", "coast", "lake", "river", "water", "wave", "mar", "mare", "oceano",
            "praia", "costa", "lago", "rio", "agua", "onda",
        ],
    ),
    (
        Mountain,
        &["mountain", "hill", "peak", "valley", "montanha", "serra", "monte", "morro", "pico", "vale"],
    ),
    (
        Forest,
        &[
            "forest", "wood", "tree", "jungle", "pine", "floresta", "mata", "bosque", "arvore", "selva",
            "pinheiro", "figueira", "fig",
        ],
    ),
    (
        City,
        &[
            "city",
            "town",
            "skyline",
            "building",
            "street",
            "cidade",
            "predio",
            "rua",
            "centro",
            "metropole",
            "urbano",
            "urbana",
        ],
    ),
    (Desert, &["desert", "dune", "sand", "deserto", "duna", "areia", "sertao"]),
    (
        Field,
        &[
            "field", "meadow", "garden", "farm", "grass", "campo", "prado", "jardim", "fazenda", "grama",
            "horta",
        ],
    ),
    (Clock, &["clock", "watch", "time", "hour", "relogio", "tempo", "hora"]),
    (Boat, &["boat", "ship", "sail", "sailboat", "barco", "navio", "vela", "veleiro", "jangada"]),
    (Bird, &["bird", "gull", "seagull", "passaro", "ave", "gaivota", "andorinha"]),
    (House, &["house", "home", "cabin", "hut", "casa", "cabana", "lar"]),
    (Balloon, &["balloon", "balao", "baloe"]),
    (Flower, &["flower", "flor", "flore", "rose", "tulip", "tulipa", "girassol", "sunflower"]),
];

/// What one picture shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Theme(BTreeSet<Motif>);

impl Theme {
    /// From a prompt's words; what they leave open is left to chance.
    pub(super) fn of(prompt: &str, dice: &mut Dice) -> Self {
        let plain: String = prompt.chars().flat_map(char::to_lowercase).map(without_accent).collect();
        let words = plain.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
        let mut theme = Self(words.filter_map(motif).collect());
        if !theme.has_any(&[Day, Dawn, Sunset, Night]) {
            theme.0.insert(if theme.has_any(&[Moon, Stars]) {
                Night
            } else if theme.has_any(&[Rain, Snow, Fog]) {
                Day
            } else {
                dice.pick(Day, &[Dawn, Sunset, Sunset, Night])
            });
        }
        if !theme.has_any(&[Sea, Mountain, Forest, City, Desert, Field]) {
            theme.0.insert(match theme.has(Boat) {
                true => Sea,
                false if theme.has(Flower) => Field,
                false => dice.pick(Mountain, &[Sea, Forest, Field, Desert]),
            });
        }
        theme
    }

    /// Whether it shows this.
    pub(super) fn has(&self, motif: Motif) -> bool {
        self.0.contains(&motif)
    }

    /// Whether it shows one of these.
    pub(super) fn has_any(&self, motifs: &[Motif]) -> bool {
        motifs.iter().any(|motif| self.has(*motif))
    }
}

fn motif(word: &str) -> Option<Motif> {
    let known = |word: &str| WORDS.iter().find(|(_, words)| words.contains(&word)).map(|(motif, _)| *motif);
    known(word).or_else(|| known(word.strip_suffix('s')?))
}

fn without_accent(letter: char) -> char {
    match letter {
        'á' | 'à' | 'â' | 'ã' | 'ä' => 'a',
        'é' | 'ê' | 'è' => 'e',
        'í' | 'î' => 'i',
        'ó' | 'ô' | 'õ' | 'ö' => 'o',
        'ú' | 'ü' => 'u',
        'ç' => 'c',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Dice, Motif, Theme};

    #[test]
    fn both_languages_say_the_same() {
        let theme = |prompt| Theme::of(prompt, &mut Dice::new("same"));
        for (english, portuguese) in [
            ("Night over the SEA", "Noite sobre o mar"),
            ("forests in the rain", "florestas na chuva"),
            ("a clock, a city; snow", "um relógio, uma cidade; neve"),
            ("mountains, sun and flowers", "montanhas, sol e flores"),
            ("balloons over the desert at dawn", "balões sobre o deserto ao amanhecer"),
        ] {
            assert_eq!(theme(english), theme(portuguese), "{english}");
        }
    }

    #[test]
    fn a_picture_always_has_an_hour_and_a_land() {
        for seed in 0..50 {
            let theme = Theme::of("qwerty", &mut Dice::new(&seed.to_string()));
            assert!(theme.has_any(&[Motif::Day, Motif::Dawn, Motif::Sunset, Motif::Night]));
            assert!(theme.has_any(&[
                Motif::Sea,
                Motif::Mountain,
                Motif::Forest,
                Motif::Field,
                Motif::Desert
            ]));
        }
        let sea = Theme::of("search the market", &mut Dice::new("x"));
        assert!(!sea.has(Motif::City), "words, not parts of words");
    }
}
