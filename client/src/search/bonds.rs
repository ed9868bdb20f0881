//! Stake that bonds require. Anybody may apply announced parameters once their time has come, so a transaction may meet
//! others than those that were read.

use leasehold::{
    math::add,
    rules::machine,
    state::{Market, Params, Traits},
};

use crate::error::Refusal;

/// Stake units that bonds take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bonds {
    /// By the parameters that are in force.
    pub now: u64,
    /// By those or by the announced ones, whichever take more.
    pub most: u64,
}

impl Bonds {
    /// Bonds that `of` computes from parameters: from those in force, and from the announced ones.
    pub fn new(market: &Market, of: impl Fn(&Params) -> Result<u64, Refusal>) -> Result<Self, Refusal> {
        let now = of(&market.params)?;
        let announced = market.pending_params.as_ref().map(|pending| of(&pending.params));
        // An error means that the announced parameters allow no bond, for instance because they lack the class.
        let most = announced.and_then(Result::ok).map_or(now, |announced| announced.max(now));
        Ok(Bonds { now, most })
    }

    /// Of a machine that has so much already, if its supplier bonds `per_gpu` stake units for each GPU where that is more than
    /// the market's minimum.
    pub fn of_machine(market: &Market, traits: &Traits, per_gpu: u64, has: u64) -> Result<Self, Refusal> {
        Bonds::new(market, |params| Ok(machine::bond(params, traits, per_gpu)?.saturating_sub(has)))
    }

    /// Of a seat.
    pub fn of_seat(market: &Market) -> Self {
        let announced = market.pending_params.as_ref().map_or(0, |pending| pending.params.keeper_bond);
        let now = market.params.keeper_bond;
        Bonds { now, most: now.max(announced) }
    }

    pub fn and(self, other: Bonds) -> Result<Self, Refusal> {
        Ok(Bonds { now: add(self.now, other.now)?, most: self.most.saturating_add(other.most) })
    }
}

#[cfg(test)]
mod tests {
    use leasehold::state::PendingParams;

    use super::*;
    use crate::sample::snapshot;

    /// A market that has announced other parameters.
    fn announcing(change: impl FnOnce(&mut Params)) -> Market {
        let mut market = snapshot().market;
        let mut params = market.params.clone();
        change(&mut params);
        market.pending_params = Some(PendingParams { params, effective_at: 60, expires_at: 120 });
        market
    }

    #[test]
    fn bonds_are_of_the_dearer_parameters_machine_by_machine() {
        let traits = Traits { class: 0, gpus: 2, ..Traits::default() };
        let of = |market: &Market, has| Bonds::of_machine(market, &traits, 0, has).unwrap();
        assert_eq!(of(&snapshot().market, 0), Bonds { now: 200, most: 200 });
        let dearer = announcing(|params| params.bond_unit = 150);
        assert_eq!(of(&dearer, 0), Bonds { now: 200, most: 300 });
        assert_eq!(of(&dearer, 250), Bonds { now: 0, most: 50 });
        assert_eq!(of(&announcing(|params| params.classes[0].weight_bps = 5_000), 0).most, 200);
        let more = Bonds::of_machine(&dearer, &traits, 120, 0).unwrap();
        assert_eq!(more, Bonds { now: 240, most: 300 }, "the supplier's choice");
        let sum = of(&dearer, 0).and(of(&dearer, 250)).unwrap();
        assert_eq!(sum, Bonds { now: 200, most: 350 });
        let unknown = Traits { class: 1, ..traits };
        assert!(Bonds::of_machine(&snapshot().market, &unknown, 0, 0).is_err());
        assert_eq!(Bonds::of_seat(&announcing(|params| params.keeper_bond = 80)).most, 80);
    }
}
