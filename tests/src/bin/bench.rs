//! Compute units, bytes and accounts of the hot instructions.
use leasehold::math::matching::CutOff;
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_signer::Signer;

fn main() {
    for slots in std::env::args().skip(1).map(|a| a.parse::<u16>().unwrap()) {
        let mut world = World::with(leasehold::state::RoundRules { seats: 15, threshold: 9, ..rules() }, params());
        let supplier = world.supplier();
        let machines: Vec<_> = (0..slots).map(|s| {
            let mut m = machine(s);
            m.price = 300_000 + u64::from(s.wrapping_mul(7919)) * 17 % 100_000;
            m
        }).collect();
        let m = std::time::Instant::now();
        world.list(&supplier, 5_000, &machines);
        eprintln!("listed in {:?}", m.elapsed());
        let keepers = world.keepers(13);
        let buyer = world.wallet();
        world.end_round();
        for n in [1u32, 40, 1000, 6000].into_iter().filter(|n| *n <= u32::from(slots)) {
            for hint in [true, false, ] {
                let args = world.lease_args(anything(), n, 1_008);
                let args = leasehold::instructions::OpenLeaseArgs { hint: hint.then(|| world.hint(&anything(), n, 1_008)).flatten(), ..args };
                let ix = world.open_instruction(&buyer, args);
                let tx = world.transaction(&[ix], &[&buyer]);
                let sim = world.svm.simulate_transaction(tx);
                match sim { Ok(s) => println!("{slots} open {n} hint {hint}: {}", s.meta.compute_units_consumed), Err(e) => println!("{slots} open {n} hint {hint}: {:?} {}", e.err, e.meta.compute_units_consumed) }
            }
        }
        let _ = CutOff { price: 0, score: 0 };
        let n = u32::from(slots).min(6000);
        let serial = world.open(&buyer, anything(), n, 3);
        world.end_round();
        for k in &keepers { let m = world.vote(k, |i| i % 33 != 0); if k.seat % 6 == 0 { println!("{slots} submit {}: {}", k.seat, m.compute_units_consumed);} }
        let ix = instruction::close_round(&world.board());
        let w = buyer.insecure_clone();
        println!("{slots} close (pre-lease) {}", world.ok(&[ix.clone()], &[&w]).compute_units_consumed);
        for r in 0..3 {
            world.end_round();
            for k in &keepers { world.vote(k, |i| if r == 2 { false } else { i % 33 != 0 }); }
            println!("{slots} close {r} {}", world.ok(&[ix.clone()], &[&w]).compute_units_consumed);
            println!("{slots} settle {r} {}", world.settle(&w, serial).compute_units_consumed);
        }
        let _ = w.pubkey();
    }
}
