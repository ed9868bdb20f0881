//! `leasehold machine move`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueHint};
use leasehold::instructions::{Machine, Move};
use leasehold_client::board::BoardView;
use leasehold_operate::{
    act::act,
    chain::{Chain, MarketArgs},
    failure::Failure,
    market::MarketView,
};
use solana_pubkey::Pubkey;

use super::{
    endpoint::{packed, parse},
    file, load,
    plan::relocate,
    rows::{self, FileFormat},
    slots::{self, Keys, Slots},
};

#[derive(Args)]
pub struct MoveArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Number of the board.
    #[arg(long, value_name = "NUMBER")]
    pub board: u32,
    /// The machine: its slot, or its node key.
    #[arg(
        value_name = "SLOT|NODE_KEY",
        required_unless_present = "file",
        conflicts_with = "file",
        requires = "endpoint"
    )]
    pub machine: Option<Slots>,
    /// Address and UDP port at which it answers, for example 203.0.113.7:7000.
    #[arg(value_parser = parse)]
    pub endpoint: Option<SocketAddr>,
    /// File of `machine list`: moves each machine of it whose address differs from the board's.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Format of the file, whatever its name.
    #[arg(long, value_name = "FORMAT", requires = "file")]
    pub format: Option<FileFormat>,
}

pub async fn run(chain: &Chain, args: MoveArgs) -> Result<(), Failure> {
    let rows = args.file.as_deref().map(|file| rows::read(file, args.format)).transpose()?;
    let (market, board) = load(chain, args.market, args.board).await?;
    let (view, wallet) = (board.view()?, chain.wallet()?);
    let moves = match (rows, args.machine, args.endpoint) {
        (Some(rows), ..) => of_file(&market, &view, wallet, &file::machines(&rows, &market)?)?,
        (None, Some(machine), Some(endpoint)) => {
            let slots = slots::numbers(&market, &view, wallet, &[machine])?;
            let [slot] = slots[..] else {
                return Err(Failure::Input("two machines can't have one address: name one slot".to_owned()));
            };
            vec![Move { slot, endpoint: packed(endpoint) }]
        }
        // The definition of the arguments excludes this.
        _ => return Err(Failure::Input("name a machine and its address, or pass --file".to_owned())),
    };
    act(chain, relocate(&market, &view, wallet, &moves)?).await
}

/// Moves of the machines of a file whose addresses differ.
fn of_file(
    market: &MarketView,
    view: &BoardView,
    authority: Pubkey,
    machines: &[Machine],
) -> Result<Vec<Move>, Failure> {
    let keys = Keys::new(market, view, authority);
    let mut moves = Vec::new();
    for machine in machines {
        let slot = keys.slot(&machine.node_key).map_err(Failure::Input)?;
        if view.slot(slot).is_some_and(|slot| slot.endpoint != machine.endpoint) {
            moves.push(Move { slot, endpoint: machine.endpoint });
        }
    }
    if moves.is_empty() {
        return Err(Failure::Refused("nothing to move: the board has the file's addresses".to_owned()));
    }
    Ok(moves)
}

#[cfg(test)]
mod tests {
    use anchor_lang::{AnchorDeserialize, Discriminator};
    use leasehold::instruction::MoveMachines;
    use leasehold_client::sample::{change, wallet};
    use leasehold_operate::sample::{rule, view};

    use super::{
        super::{
            file::tests::{machines, section},
            plan::tests::board,
        },
        *,
    };

    fn at(slot: u16, endpoint: &str) -> Move {
        Move { slot, endpoint: packed(endpoint.parse().unwrap()) }
    }

    #[test]
    fn a_leased_machine_is_moved_and_both_addresses_shown() {
        let data = board();
        let to = [at(0, "203.0.113.9:7000")];
        let plan = relocate(&view(), &data.view().unwrap(), wallet(0), &to).unwrap();
        let step = &plan.steps[0].instructions[0];
        assert!(step.data.starts_with(MoveMachines::DISCRIMINATOR));
        assert_eq!(Vec::<Move>::try_from_slice(&step.data[8..]).unwrap(), to);
        assert!(plan.facts[0].text.ends_with("to 203.0.113.9:7000"), "{}", plan.facts[0].text);
        assert_eq!(plan.details()["moves"][0]["to"], "203.0.113.9:7000");
        let foreign = relocate(&view(), &data.view().unwrap(), wallet(1), &to).unwrap_err();
        assert_eq!(rule(foreign), "WrongSupplier");
        let empty = relocate(&view(), &data.view().unwrap(), wallet(0), &[at(0, "0.0.0.0:0")]).unwrap_err();
        assert_eq!(rule(empty), "EndpointEmpty");
    }

    #[test]
    fn a_file_moves_only_machines_whose_addresses_differ() {
        let mut data = board();
        let listed = machines(&(section(4) + &section(5))).unwrap();
        change(&mut data, |_, slots| {
            (slots[0].node_key, slots[1].node_key) = ([4; 32], [5; 32]);
            slots[0].endpoint = listed[0].endpoint;
        });
        let moves = |machines: &[Machine]| of_file(&view(), &data.view().unwrap(), wallet(0), machines);
        assert_eq!(moves(&listed).unwrap(), [Move { slot: 1, endpoint: listed[1].endpoint }]);
        assert_eq!(moves(&listed[..1]).unwrap_err().code(), 3, "nothing differs");
        assert_eq!(moves(&machines(&section(6)).unwrap()).unwrap_err().code(), 2, "not on the board");
    }
}
