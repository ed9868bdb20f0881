//! What a buyer asks for, on the command line.

use std::{fmt, str::FromStr};

use clap::Args;
use isocountry::CountryCode;
use leasehold::math::matching::{Criteria, Place, Policy};
use leasehold_client::quote::ANY;

use serde_json::json;

use crate::{chain::MarketView, failure::Failure, plan::Plan, table::count};

/// What every machine must be.
#[derive(Args, Clone, Debug, Default)]
pub struct CriteriaArgs {
    /// Hardware class, by the market's name or number for it.
    #[arg(long, value_name = "NAME|NUMBER")]
    pub class: Option<String>,
    /// Least GPUs of a machine.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub min_gpus: u8,
    /// Least speed of its connection, as the market ranks it.
    #[arg(long, value_name = "RANK", default_value_t = 0)]
    pub min_speed: u8,
    /// Country it stands in: DE, DEU or 276.
    #[arg(long, conflicts_with = "region")]
    pub country: Option<Country>,
    /// Region it stands in, as the market numbers it.
    #[arg(long, value_name = "NUMBER")]
    pub region: Option<u8>,
    /// Least reputation, 0 to 10000.
    #[arg(long, value_name = "SCORE", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    pub min_score: u16,
    /// Most to pay for an hour of a machine, in the market's payment mint.
    #[arg(long, value_name = "AMOUNT")]
    pub max_price: Option<String>,
    /// Take the machines of the best reputation, and not the cheapest.
    #[arg(long)]
    pub best: bool,
}

impl CriteriaArgs {
    /// The same as the program takes it.
    pub fn criteria(&self, market: &MarketView) -> Result<Criteria, Failure> {
        let place = match (self.country, self.region) {
            (Some(country), _) => Place::Country(country.0),
            (None, Some(region)) => Place::Region(region),
            (None, None) => Place::Anywhere,
        };
        let max_price = self.max_price.as_deref().map(|price| market.payment.parse(price)).transpose()?;
        Ok(Criteria {
            class: self.class.as_deref().map(|class| market.class(class)).transpose()?,
            min_gpus: self.min_gpus,
            min_speed: self.min_speed,
            place,
            min_score: self.min_score,
            max_price: max_price.map_or(ANY.max_price, |price| price.amount),
            policy: if self.best { Policy::Best } else { Policy::Cheapest },
            ..ANY
        })
    }
}

/// Adds what a lease is opened with: the machines it gets are those that meet this when it is opened.
pub fn shown(plan: Plan, market: &MarketView, criteria: &Criteria) -> Plan {
    let Criteria { class, min_gpus, min_speed, place, min_score, max_price, policy, metered: _ } = *criteria;
    let price = (max_price != ANY.max_price).then(|| market.payment.money(max_price));
    let (country, region) = match place {
        Place::Country(code) => (Some(code), None),
        Place::Region(region) => (None, Some(region)),
        Place::Anywhere => (None, None),
    };
    let (name, order) = match policy {
        Policy::Cheapest => ("cheapest", "the cheapest first"),
        Policy::Best => ("best", "the best first"),
    };
    let parts = [
        Some(class.map_or("any class".to_owned(), |class| market.class_in_full(class))),
        (min_gpus > 0).then(|| format!("{} or more", count(min_gpus.into(), "GPU"))),
        (min_speed > 0).then(|| format!("speed {min_speed} or more")),
        country.map(|code| format!("in {}", Country(code))),
        region.map(|region| format!("in region {region}")),
        (min_score > 0).then(|| format!("score {min_score} or more")),
        price.map(|price| format!("{price} an hour or less")),
        Some(order.to_owned()),
    ];
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let value = json!({
        "class": class,
        "class_name": class.map(|class| market.class_name(class)),
        "min_gpus": min_gpus,
        "min_speed": min_speed,
        "country": country,
        "region": region,
        "min_score": min_score,
        "max_price": price,
        "policy": name,
    });
    plan.fact_as("Criteria:", "criteria", text, value)
}

/// A country by its ISO 3166-1 numeric code; people know it by its letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Country(pub u16);

impl FromStr for Country {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let code = match (text.parse(), text.len()) {
            (Ok(number), _) => CountryCode::for_id(number),
            (Err(_), 3) => CountryCode::for_alpha3_caseless(text),
            (Err(_), _) => CountryCode::for_alpha2_caseless(text),
        };
        let number = code.ok().and_then(|code| u16::try_from(code.numeric_id()).ok());
        number.map(Country).ok_or("give a code of ISO 3166-1, such as DE, DEU or 276")
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match CountryCode::for_id(self.0.into()) {
            Ok(code) => f.write_str(code.alpha2()),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

/// How long, in rounds of the market or in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Rounds(u32),
    Secs(u64),
}

impl Length {
    /// Rounds that make at least this length.
    pub fn rounds(self, round_secs: u32) -> Result<u32, Failure> {
        match self {
            Length::Rounds(rounds) => Ok(rounds),
            Length::Secs(secs) => u32::try_from(secs.div_ceil(u64::from(round_secs.max(1))))
                .map_err(|_| Failure::Input("that is longer than any lease: give less time".to_owned())),
        }
    }
}

impl FromStr for Length {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "give a number and r for rounds, s, m, h or d: 144r, 90m, 24h, 7d";
        let unit = text.chars().last().ok_or(wrong)?;
        let number = text.strip_suffix(unit).unwrap_or_default();
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong);
        }
        let number: u64 = number.parse().map_err(|_| wrong)?;
        let secs = match unit {
            'r' => return u32::try_from(number).map(Length::Rounds).map_err(|_| wrong),
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(wrong),
        };
        number.checked_mul(secs).map(Length::Secs).ok_or(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::tests::view;

    #[test]
    fn criteria_are_those_of_the_program() {
        let args = CriteriaArgs {
            class: Some("rtx 4090".to_owned()),
            country: Some("de".parse().unwrap()),
            max_price: Some("0.00036".to_owned()),
            best: true,
            min_gpus: 2,
            ..CriteriaArgs::default()
        };
        let criteria = args.criteria(&view()).unwrap();
        assert_eq!((criteria.class, criteria.place), (Some(0), Place::Country(276)));
        assert_eq!((criteria.max_price, criteria.policy, criteria.min_gpus), (360, Policy::Best, 2));
        assert_eq!(CriteriaArgs::default().criteria(&view()).unwrap(), ANY);
        let fine = CriteriaArgs { max_price: Some("0.0000001".to_owned()), ..CriteriaArgs::default() };
        assert_eq!(fine.criteria(&view()).unwrap_err().code(), 2);
    }

    #[test]
    fn what_is_asked_of_machines_is_shown() {
        let text = |criteria: &Criteria| shown(Plan::default(), &view(), criteria).facts[0].text.clone();
        assert_eq!(text(&ANY), "any class, the cheapest first");
        let criteria = Criteria {
            class: Some(0),
            min_gpus: 2,
            min_speed: 3,
            place: Place::Country(276),
            min_score: 5_000,
            max_price: 360,
            policy: Policy::Best,
            ..ANY
        };
        let mint = crate::amount::short(&view().payment.mint);
        let expected = format!(
            "RTX 4090 (number 0), 2 GPUs or more, speed 3 or more, in DE, score 5000 or more, \
             0.00036 of {mint} an hour or less, the best first"
        );
        assert_eq!(text(&criteria), expected);
        let json = shown(Plan::default(), &view(), &criteria).details()["criteria"].clone();
        assert_eq!((&json["class"], &json["class_name"]), (&0.into(), &"RTX 4090".into()));
        assert_eq!((&json["max_price"]["amount"], &json["country"]), (&"360".into(), &276.into()));
        // The number is what is signed, whatever the node calls it.
        assert_eq!(text(&Criteria { class: Some(9), ..ANY }), "9 (number 9), the cheapest first");
        assert!(text(&Criteria { place: Place::Region(2), ..ANY }).contains("in region 2"));
    }

    #[test]
    fn countries_are_read_by_any_of_their_codes() {
        for text in ["DE", "de", "DEU", "276"] {
            assert_eq!(text.parse(), Ok(Country(276)), "{text}");
        }
        for text in ["", "XX", "Germany", "999", "-1"] {
            assert!(text.parse::<Country>().is_err(), "{text}");
        }
        assert_eq!((Country(276).to_string(), Country(999).to_string()), ("DE".into(), "999".into()));
    }

    #[test]
    fn lengths_are_rounded_up_to_rounds() {
        for (text, expected) in [("144r", 144), ("24h", 144), ("90m", 9), ("601s", 2), ("7d", 1_008)] {
            assert_eq!(text.parse::<Length>().unwrap().rounds(600).unwrap(), expected, "{text}");
        }
        for text in ["", "h", "24", "1.5h", "-1h", "+1h", "4294967296r", "1w", "5\u{20ac}"] {
            assert!(text.parse::<Length>().is_err(), "{text}");
        }
        assert!(Length::Secs(u64::MAX).rounds(600).is_err());
    }
}
