//! Criteria of machines, on the command line.

use clap::Args;
use leasehold::constants::MAX_SCORE;
use leasehold::math::matching::{Criteria, Place, Policy};
use leasehold_client::{
    quote::ANY,
    search::{Country, Part},
};
use leasehold_operate::{failure::Failure, market::MarketView, plan::Plan, table::count};
use serde_json::json;

/// Criteria that every machine must meet.
#[derive(Args, Clone, Debug, Default)]
pub struct CriteriaArgs {
    /// Hardware class, by the market's name or number.
    #[arg(long, value_name = "NAME|NUMBER")]
    pub class: Option<String>,
    /// Fewest GPUs of a machine.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub min_gpus: u8,
    /// Most GPUs of a machine [default with --gpus: that number]
    #[arg(long, value_name = "COUNT")]
    pub max_gpus: Option<u8>,
    /// Lowest speed rank of its connection.
    #[arg(long, value_name = "RANK", default_value_t = 0)]
    pub min_speed: u8,
    /// Country: DE, DEU or 276.
    #[arg(long, conflicts_with = "region")]
    pub country: Option<Country>,
    /// Region, by the market's number.
    #[arg(long, value_name = "NUMBER")]
    pub region: Option<u8>,
    /// Lowest score, 0 to 10000.
    #[arg(long, value_name = "SCORE", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=i64::from(MAX_SCORE)))]
    pub min_score: u16,
    /// Highest price per GPU and hour, in the market's payment mint.
    #[arg(long, value_name = "AMOUNT")]
    pub max_price: Option<String>,
    /// Lowest bond of a machine for each of its GPUs, in the market's stake mint.
    #[arg(long, value_name = "AMOUNT")]
    pub min_bond: Option<String>,
    /// Take the machines with the best scores, not the cheapest.
    #[arg(long)]
    pub best: bool,
    /// Take machines, too, that keepers did not see up in the last rounds: they may be down, or nothing but a key.
    #[arg(long)]
    pub allow_unseen: bool,
}

impl CriteriaArgs {
    /// The criteria for the program.
    pub fn criteria(&self, market: &MarketView) -> Result<Criteria, Failure> {
        let place = match (self.country, self.region) {
            (Some(country), _) => Place::Country(country.0),
            (None, Some(region)) => Place::Region(region),
            (None, None) => Place::Anywhere,
        };
        let max_price = self.max_price.as_deref().map(|price| market.payment.parse(price)).transpose()?;
        let min_bond = self.min_bond.as_deref().map(|bond| market.stake.parse(bond)).transpose()?;
        Ok(Criteria {
            class: self.class.as_deref().map(|class| market.class(class)).transpose()?,
            min_gpus: self.min_gpus,
            max_gpus: self.max_gpus.unwrap_or(ANY.max_gpus),
            min_speed: self.min_speed,
            place,
            min_score: self.min_score,
            max_price: max_price.map_or(ANY.max_price, |price| price.amount),
            min_bond: min_bond.map_or(ANY.min_bond, |bond| bond.amount),
            policy: if self.best { Policy::Best } else { Policy::Cheapest },
            allow_unseen: self.allow_unseen,
            metered: ANY.metered,
        })
    }
}

/// Adds the criteria of a lease. It gets the machines that meet them when it is opened.
pub fn shown(plan: Plan, market: &MarketView, criteria: &Criteria) -> Plan {
    let Criteria { class, min_gpus, max_gpus, min_speed, place, min_score, max_price, .. } = *criteria;
    let Criteria { min_bond, policy, allow_unseen, metered: _, .. } = *criteria;
    let price = (max_price != ANY.max_price).then(|| market.payment.money(max_price));
    let bond = (min_bond != ANY.min_bond).then(|| market.stake.money(min_bond));
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
        gpus_each(min_gpus, max_gpus),
        (min_speed > 0).then(|| format!("speed {min_speed} or more")),
        country.map(|code| format!("in {}", Country(code))),
        region.map(|region| format!("in region {region}")),
        (min_score > 0).then(|| format!("score {min_score} or more")),
        price.map(|price| format!("{price} per GPU and hour or less")),
        bond.map(|bond| format!("bonds of {bond} per GPU or more")),
        allow_unseen.then(|| "also machines that were NOT SEEN UP".to_owned()),
        Some(order.to_owned()),
    ];
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let value = json!({
        "class": class.map(|class| market.class_name(class)),
        "class_number": class,
        "min_gpus": min_gpus,
        "max_gpus": max_gpus,
        "min_speed": min_speed,
        "country": country.map(|code| Country(code).to_string()),
        "region": region,
        "min_score": min_score,
        "max_price": price,
        "min_bond": bond,
        "allow_unseen": allow_unseen,
        "policy": name,
    });
    plan.fact_as("Criteria:", "criteria", text, value)
}

/// How many GPUs a machine must have, `None` if any number does.
fn gpus_each(min: u8, max: u8) -> Option<String> {
    let gpus = |number: u8| count(number.into(), "GPU");
    // Every machine has one.
    match (min.max(1), max) {
        (1, max) if max == ANY.max_gpus => None,
        (min, max) if max == ANY.max_gpus => Some(format!("at least {} each", gpus(min))),
        (min, max) if min == max => Some(format!("{} each", gpus(max))),
        (1, max) => Some(format!("at most {} each", gpus(max))),
        (min, max) => Some(format!("{min} to {} each", gpus(max))),
    }
}

/// Adds the machines that are not taken, if any are named.
pub fn avoided(plan: Plan, parts: &[Part]) -> Plan {
    let of = |part: &Part| {
        part.quote.avoid.iter().map(|slot| format!("{}:{slot}", part.board)).collect::<Vec<_>>()
    };
    let avoided: Vec<_> = parts.iter().flat_map(of).collect();
    if avoided.is_empty() {
        return plan;
    }
    plan.fact_as("Not taken:", "avoid", avoided.join(", "), avoided)
}

#[cfg(test)]
mod tests {
    use leasehold_operate::{amount::short, sample::view};

    use super::*;

    #[test]
    fn criteria_are_those_of_the_program() {
        let args = CriteriaArgs {
            class: Some("rtx 4090".to_owned()),
            country: Some("de".parse().unwrap()),
            max_price: Some("0.00036".to_owned()),
            min_bond: Some("1.5".to_owned()),
            best: true,
            min_gpus: 2,
            ..CriteriaArgs::default()
        };
        let criteria = args.criteria(&view()).unwrap();
        assert_eq!((criteria.class, criteria.place), (Some(0), Place::Country(276)));
        assert_eq!((criteria.max_price, criteria.policy, criteria.min_gpus), (360, Policy::Best, 2));
        assert_eq!((criteria.max_gpus, criteria.min_bond, criteria.allow_unseen), (255, 150, false));
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
            max_gpus: 8,
            min_bond: 150,
            allow_unseen: true,
            policy: Policy::Best,
            ..ANY
        };
        let [mint, stake] = [view().payment, view().stake].map(|token| short(&token.mint));
        let expected = format!(
            "RTX 4090 (number 0), 2 to 8 GPUs each, speed 3 or more, in DE, score 5000 or more, \
             0.00036 of {mint} per GPU and hour or less, bonds of 1.5 of {stake} per GPU or more, also machines that \
             were NOT SEEN UP, the best first"
        );
        assert_eq!(text(&criteria), expected);
        let json = shown(Plan::default(), &view(), &criteria).details()["criteria"].clone();
        assert_eq!((&json["class_number"], &json["class"]), (&0.into(), &"RTX 4090".into()));
        assert_eq!((&json["max_price"]["amount"], &json["country"]), (&"360".into(), &"DE".into()));
        assert_eq!((&json["min_bond"]["amount"], &json["allow_unseen"]), (&"150".into(), &true.into()));
        for (min_gpus, max_gpus, expected) in
            [(0, 1, "1 GPU"), (0, 2, "at most 2 GPUs"), (4, 255, "at least 4 GPUs")]
        {
            let text = text(&Criteria { min_gpus, max_gpus, ..ANY });
            assert_eq!(text, format!("any class, {expected} each, the cheapest first"));
        }
        // The number is signed, so it is shown whatever name the RPC node gives for it.
        assert_eq!(text(&Criteria { class: Some(9), ..ANY }), "9 (number 9), the cheapest first");
        assert!(text(&Criteria { place: Place::Region(2), ..ANY }).contains("in region 2"));
    }
}
