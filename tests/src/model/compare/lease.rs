//! A lease's account.

use leasehold::state::{Lease as Account, LeaseState};

use super::{Compared, same};
use crate::model::{Lease, Program};

pub fn compare(program: &impl Program, found: &Account, nonce: u64, expected: &Lease) -> Compared {
    same!((found.serial, found.nonce), (expected.serial, nonce), "serial and nonce");
    same!(found.state, expected.state, "state");
    same!(found.buyer, program.key(expected.buyer), "buyer");
    same!(found.owner, program.key(expected.owner), "owner");
    same!(found.criteria, expected.criteria, "criteria");
    same!(found.group, expected.group, "group");
    same!((found.gpus, found.machines), (expected.gpus, expected.machines), "GPUs and machines");
    same!((found.from, found.until), (expected.from, expected.until), "rounds");
    same!(found.terms, expected.terms, "terms");
    same!((found.deposit, found.paid, found.fees), (expected.deposit, expected.paid, expected.fees), "money");
    same!((found.refunded, found.refund_due), (expected.refunded, expected.refund_due), "refund");
    same!((found.burned, found.slashed), (expected.burned, expected.slashed), "burned and slashed");
    same!(found.demands, 0, "demands");
    let meter = found.meter.map(|meter| (meter.seq, meter.units, meter.paid, meter.owes_hour));
    let expected_meter = expected.meter.map(|meter| (meter.seq, meter.units, meter.paid, meter.owes_hour));
    same!(meter, expected_meter, "meter");
    same!(found.access, expected.access, "access");
    let epochs = (expected.access_epoch, expected.data_epoch);
    same!((found.access_epoch, found.data_epoch), epochs, "access and data epochs");
    let replaced: Vec<(u16, u32)> = found.replaced.iter().map(|left| (left.slot, left.generation)).collect();
    same!(&replaced, &expected.replaced, "replaced machines");
    // Invariant 2.
    let remaining = found.deposit - found.paid - found.fees - found.refunded - found.burned;
    same!(remaining, expected.remaining(), "what is left");
    same!(found.state == LeaseState::Settled && remaining > 0, false, "settled with money left");
    Ok(())
}
