//! The tables of `docs/economics.md`.

use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use leasehold::{
    constants::{
        BLAME_SECS, EXIT_CAP_SECS, EXIT_FREE_SECS, EXIT_REST_BPS, GRACE_SECS, SLASH_SECS, WEEK_SECS,
    },
    math::pricing,
};

use super::{
    Report, SEED,
    attacks::{Attack, Claim, GPUS},
    honest::{Honest, LEASES, MEDIAN_SECS, ROUND_SECS, SIGMA},
    money::{self, Money, STAKE_PRICE},
    world::usual_class,
};

/// One generated part of the page, with the example's parameters.
pub fn part(name: &str) -> Result<String> {
    static REPORT: OnceLock<Result<Report>> = OnceLock::new();
    let report = REPORT.get_or_init(|| super::report(&super::example_path(), SEED));
    let report = report.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
    match name {
        "parameters" => Ok(parameters(report)),
        "summary" => Ok(summary(report)),
        "open" => Ok(open(report)),
        "hedge" => Ok(hedge(report)),
        "honest" => Ok(honest(&report.honest)),
        group => {
            let (_, attacks) =
                report.groups.iter().find(|(name, _)| *name == group).context("no such part")?;
            if attacks.is_empty() {
                bail!("no attacks of {group}");
            }
            let is_refused = |attack: &Attack| matches!(attack.claim, Claim::Refused(_));
            Ok(if attacks.iter().all(is_refused) { refused_table(attacks) } else { attacks_table(attacks) })
        }
    }
}

/// An amount in payment tokens.
fn amount(money: Money) -> String {
    let tokens = money.tokens();
    match tokens.abs() {
        0.0 => "0".to_owned(),
        small if small < 0.1 => format!("{tokens:.4}"),
        small if small < 100.0 => format!("{tokens:.2}"),
        _ => grouped(tokens.round() as i64),
    }
}

fn grouped(number: i64) -> String {
    if number < 0 {
        return format!("-{}", grouped(-number));
    }
    crate::docs::grouped(number.unsigned_abs())
}

fn result(attack: &Attack) -> String {
    match (&attack.claim, attack.holds()) {
        (Claim::Open(why), holds) => {
            format!("{}: {why}", if holds { "loses here, but not closed" } else { "**not closed**" })
        }
        (_, false) => "**wins, though claimed to lose**".to_owned(),
        (Claim::Loses, true) if attack.cost == Money::ZERO => "gains nothing".to_owned(),
        (Claim::Loses, true) => "loses".to_owned(),
        (Claim::Refused(by), true) => format!("refused: {by}"),
        (Claim::Concedes(_, _), true) if attack.yields <= attack.cost => "loses".to_owned(),
        (Claim::Destroys(_), true) if attack.damage == Money::ZERO => "gains and destroys nothing".to_owned(),
        (Claim::Concedes(most, why), true) => format!("at most {}: {why}", amount(*most)),
        (Claim::Harms(most, why), true) => {
            format!("gains nothing, destroys at most {}: {why}", amount(*most))
        }
        (Claim::Destroys(1), true) => "gains nothing, destroys no more than its cost".to_owned(),
        (Claim::Destroys(times), true) => format!("gains nothing, destroys at most {times} times its cost"),
    }
}

fn attacks_table(attacks: &[Attack]) -> String {
    let mut text = String::from(
        "| attack | what it does | cost | yield | damage | result |\n|---|---|--:|--:|--:|---|\n",
    );
    for attack in attacks {
        let Attack { name, plan, cost, yields, damage, .. } = attack;
        let [cost, yields, damage] = [*cost, *yields, *damage].map(amount);
        text += &format!("| {name} | {plan} | {cost} | {yields} | {damage} | {} |\n", result(attack));
    }
    text
}

/// Attacks that cost, yield and destroy nothing.
fn refused_table(attacks: &[Attack]) -> String {
    let mut text = String::from("| attack | what it does | result |\n|---|---|---|\n");
    for attack in attacks {
        text += &format!("| {} | {} | {} |\n", attack.name, attack.plan, result(attack));
    }
    text
}

/// How many attacks of each group lose, are worth something that is conceded, or are not closed.
fn summary(report: &Report) -> String {
    let mut text = String::from(
        "| who attacks | attacks | lose, or are refused | gain something bounded | the most of it | not closed |\n|---|--:|--:|--:|--:|--:|\n",
    );
    for (group, attacks) in &report.groups {
        let gains = |attack: &&Attack| attack.yields > attack.cost;
        let is_open = |attack: &&Attack| matches!(attack.claim, Claim::Open(_));
        let (open, gaining): (Vec<_>, Vec<_>) = attacks.iter().filter(gains).partition(is_open);
        let most = gaining.iter().map(|attack| attack.yields - attack.cost).max().unwrap_or_default();
        let lose = attacks.len() - open.len() - gaining.len();
        let title = title(group);
        text += &format!(
            "| [{title}](#{}) | {} | {lose} | {} | {} | {} |\n",
            anchor(title),
            attacks.len(),
            gaining.len(),
            amount(most),
            open.len()
        );
    }
    text
}

/// The heading of a group in the document.
fn title(group: &str) -> &str {
    match group {
        "keepers" => "Keepers",
        "flooders" => "Buyers who drown machines",
        "buyers" => "Other buyers",
        "fakes" => "Keys without GPUs and false listings",
        "suppliers" => "Suppliers who leave or go dark",
        "bidders" => "Bidders",
        "traders" => "Traders and the authority",
        "refused" => "What the program refuses",
        "random" => "Random adversaries",
        other => other,
    }
}

/// The anchor that a heading has in the document.
fn anchor(title: &str) -> String {
    title.to_lowercase().replace(' ', "-")
}

fn open(report: &Report) -> String {
    let mut text = String::from("| attack | gains | why |\n|---|--:|---|\n");
    for attack in report.attacks() {
        let gain = attack.yields - attack.cost;
        let why = match &attack.claim {
            Claim::Open(why) if gain > Money::ZERO => *why,
            _ => continue,
        };
        text += &format!("| {} | {} | {why} |\n", attack.name, amount(gain));
    }
    text
}

const SPOTS: [(&str, i128); 4] = [("1.2", 120), ("1.5", 150), ("2", 200), ("3", 300)];

/// Hours left from which on forfeiting pays, by class and by what the machine earns elsewhere.
fn hedge(report: &Report) -> String {
    let params = &report.market.params;
    let mut text = String::from("| class |");
    SPOTS.iter().for_each(|(spot, _)| text += &format!(" × {spot} |"));
    text += "\n|---|--:|--:|--:|--:|\n";
    let net = 10_000 - i128::from(params.fee_bps);
    for (index, class) in params.classes.iter().enumerate() {
        let index = u16::try_from(index).unwrap_or_default();
        let name = String::from_utf8_lossy(&class.name);
        text += &format!("| {} |", name.trim_end_matches('\0'));
        let bond = pricing::bond(params.bond_unit, class.weight_bps, 1).unwrap_or_default();
        let bond = Money::of_stake(i128::from(bond)).0;
        let price = i128::from(money::price(params, index));
        for (_, percent) in SPOTS {
            text += &format!(" {} |", bond * 10_000 / (price * (percent * 100 - net)));
        }
        text.push('\n');
    }
    text
}

fn honest(rows: &[Honest]) -> String {
    let mut text = String::new();
    for (lease, secs) in LEASES {
        text += &format!(
            "\nLeases of {} {lease}:\n\n| round | uptime | full pay | earned | lost in damages | lost in bond | bond lost whole | kept in all |\n",
            if lease == "hour" { "an" } else { "a" }
        );
        text += "|--:|--:|--:|--:|--:|--:|--:|--:|\n";
        for round in ROUND_SECS {
            for row in rows.iter().filter(|row| row.lease_secs == secs && row.round_secs == round) {
                let all = (row.earned - row.bond).tokens() / row.full.tokens() * 100.0;
                text += &format!(
                    "| {round} s | {:.1} % | {} | {} | {} | {} | {:.1} % | {all:.1} % |\n",
                    row.uptime * 100.0,
                    amount(row.full),
                    amount(row.earned),
                    amount(row.damages),
                    amount(row.bond),
                    row.abandoned * 100.0,
                );
            }
        }
    }
    text.push('\n');
    text
}

fn parameters(report: &Report) -> String {
    let rules = &report.market.rules;
    let params = &report.market.params;
    let percent = |bps: u32| format!("{} %", f64::from(bps) / 100.0);
    let hours = |secs: u64| format!("{} h", secs / 3_600);
    let (class, price) = usual_class(&report.market);
    let class = params.classes.get(usize::from(class));
    let name = class.map(|class| String::from_utf8_lossy(&class.name).into_owned()).unwrap_or_default();
    let weight = class.map_or(0, |class| class.weight_bps);
    let bond = pricing::bond(params.bond_unit, weight, GPUS).unwrap_or_default();
    let bond = Money::of_stake(i128::from(bond));
    let price = Money::from(price * u64::from(GPUS));
    let lines = [
        ("n, seats of a board", rules.seats.to_string()),
        ("k, votes against a machine that make it down", rules.threshold.to_string()),
        ("u, votes for a machine that make it up", params.up_votes.to_string()),
        ("round", format!("{} s", rules.round_secs)),
        ("SLA: a machine may be down in the rest of its rounds", percent(rules.sla_bps.into())),
        ("abandoned: rounds down of the last 64", rules.abandon_rounds.to_string()),
        ("hold: part of the pay kept until the end", percent(params.hold_bps.into())),
        ("grace: the first hours' pay is kept whole", hours(GRACE_SECS)),
        ("slash: part of the bond lost by being down all the time", percent(params.slash_multiplier_bps)),
        ("shortest time that a slash is measured against", hours(SLASH_SECS.into())),
        ("shortest time that abandonment and binding are measured against", hours(WEEK_SECS.into())),
        ("exit: part of the rest that leaving costs", percent(EXIT_REST_BPS as u32)),
        (
            "exit: least and most of its cap",
            format!("{} to {}", hours(EXIT_CAP_SECS.0), hours(EXIT_CAP_SECS.1)),
        ),
        ("exit: leases up to this length have the least cap", hours(EXIT_FREE_SECS)),
        ("blameless: not down in the last", hours(BLAME_SECS.into())),
        ("standby price of a metered lease", percent(params.standby_bps.into())),
        (
            "market's fee, and the keepers' part of it",
            format!("{}, {}", percent(params.fee_bps.into()), percent(params.keeper_share_bps.into())),
        ),
        ("outages of honest machines: median", format!("{} min", MEDIAN_SECS / 60.0)),
        ("outages of honest machines: sigma of the logarithm", SIGMA.to_string()),
        ("assumed price of a stake token", format!("{} payment tokens", amount(Money(STAKE_PRICE)))),
        (
            "assumed price of the machine attacked, an hour",
            format!("{} payment tokens ({GPUS} x {})", amount(price), name.trim_end_matches('\0')),
        ),
        ("its bond, at that price of stake", format!("{} payment tokens", amount(bond))),
    ];
    let mut text = String::from("| | |\n|---|--:|\n");
    for (name, value) in lines {
        text += &format!("| {name} | {value} |\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_as_many_digits_as_are_read() {
        let shown = [0, 12_300, 2_800_000, 2_400_000_000, -406_000_000].map(|units| amount(Money(units)));
        assert_eq!(shown, ["0", "0.0123", "2.80", "2,400", "-406"]);
    }

    #[test]
    fn every_group_has_a_heading_and_a_table() {
        let text = std::fs::read_to_string(crate::root().join("docs/economics.md")).unwrap();
        for (group, _) in super::super::attacks::run(&super::super::example(), SEED) {
            assert!(text.contains(&format!("\n### {}\n", title(group))), "{group}");
            assert!(text.contains(&format!("economics {group} -->")), "{group}");
        }
    }

    #[test]
    fn an_unknown_part_is_refused() {
        assert!(part("weather").is_err());
    }
}
