//! The challenges of a round, signed before the first is sent.

use super::{ProberConfig, RoundContext, Target, endpoint};
use leasehold_client::probe::{CHALLENGE_LEN, Challenge, ProbeError, Pubkey, SigningKey};
use std::collections::HashMap;
use std::net::SocketAddr;

/// A machine's challenge. Every attempt sends the same bytes.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) node_key: Pubkey,
    pub(super) endpoint: SocketAddr,
    pub(super) challenge: Challenge,
    pub(super) datagram: [u8; CHALLENGE_LEN],
    /// True for a machine of this process.
    pub(super) is_control: bool,
}

#[derive(Debug, Default)]
pub(super) struct Challenges {
    pub(super) probes: Vec<Probe>,
    /// Position in `probes` by hash of the challenge.
    pub(super) by_hash: HashMap<[u8; 32], usize>,
    /// Slots whose endpoint must not be probed.
    pub(super) refused: Vec<u32>,
}

impl Challenges {
    /// Signs a challenge with a random seed for each target and each control: about 20 µs each.
    pub(super) fn new(
        keeper: &SigningKey,
        config: &ProberConfig,
        context: &RoundContext,
        targets: &[Target],
        controls: &[Target],
    ) -> Result<Self, ProbeError> {
        let mut challenges = Self::default();
        let controls = controls.iter().map(|target| (target, true));
        for (target, is_control) in targets.iter().map(|target| (target, false)).chain(controls) {
            let Some(endpoint) = endpoint::probeable(target.endpoint, config.allow_private || is_control)
            else {
                challenges.refused.push(target.slot);
                continue;
            };
            let challenge = Challenge {
                program: context.program,
                market: context.market,
                board: context.board,
                slot: target.slot,
                generation: target.generation,
                round: context.round,
                cluster: context.cluster,
                keeper: Pubkey::from(keeper.verifying_key().to_bytes()),
                seed: rand::random(),
            };
            let datagram = challenge.sign(keeper)?;
            challenges.by_hash.insert(challenge.hash(), challenges.probes.len());
            let node_key = target.node_key;
            challenges.probes.push(Probe { node_key, endpoint, challenge, datagram, is_control });
        }
        Ok(challenges)
    }
}
