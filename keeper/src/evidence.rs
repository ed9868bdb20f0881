//! Saves the signed answers behind this keeper's votes, so that they can be shown later and a vote survives a restart.
//!
//! `DIR/BOARD/ROUND.pongs` holds the answers of a round in the order of their slots, 256 bytes each (see
//! [`leasehold_client::probe`]). They are the leaves of the tree whose root the vote carries.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use leasehold_client::probe::{SIGNED_PONG_LEN, SignedPong};
use solana_pubkey::Pubkey;

use crate::prober::ProbeReport;

const EXTENSION: &str = "pongs";
/// Rounds that are kept at least: the one that runs and the one that is voted on.
const ROUNDS: u32 = 2;

/// A folder of signed answers.
#[derive(Clone, Debug)]
pub struct Evidence {
    folder: PathBuf,
    secs: u32,
}

impl Evidence {
    /// Keeps the answers of the last `secs` seconds of each board in `folder`, which is created; those of two rounds at least.
    ///
    /// # Errors
    /// The system's, if the folder can't be written to.
    pub fn new(folder: PathBuf, secs: u32) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        // Fail now rather than after the first round.
        let probe = folder.join(format!(".{}", std::process::id()));
        fs::write(&probe, [])?;
        fs::remove_file(&probe)?;
        Ok(Self { folder, secs })
    }

    /// Saves the answers of a round, all or none, and deletes rounds that are too old. `round_secs`: length of a round.
    ///
    /// # Errors
    /// The system's.
    pub fn save(&self, board: &Pubkey, round_secs: u32, report: &ProbeReport) -> io::Result<()> {
        let folder = self.folder.join(board.to_string());
        fs::create_dir_all(&folder)?;
        let mut bytes = Vec::with_capacity(report.answers.len().saturating_mul(SIGNED_PONG_LEN));
        for answer in report.answers.values() {
            bytes.extend_from_slice(&answer.encode());
        }
        let path = file(&folder, report.round);
        let partial = path.with_extension("partial");
        let mut opened = File::create(&partial)?;
        opened.write_all(&bytes)?;
        // A vote is sent once its answers are kept.
        opened.sync_all()?;
        fs::rename(&partial, &path)?;

        let mut rounds = self.rounds_of(board)?;
        rounds.sort_unstable();
        let kept = self.secs.div_ceil(round_secs.max(1)).max(ROUNDS) as usize;
        for old in rounds.iter().rev().skip(kept) {
            fs::remove_file(file(&folder, *old))?;
        }
        Ok(())
    }

    /// Loads the answers of a round that `keeper` gathered; `None` if there are none.
    ///
    /// # Errors
    /// The system's, and `InvalidData` if the file holds anything else.
    pub fn load(&self, board: &Pubkey, round: u32, keeper: &Pubkey) -> io::Result<Option<ProbeReport>> {
        let bytes = match fs::read(file(&self.folder.join(board.to_string()), round)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut report = ProbeReport { round, ..ProbeReport::default() };
        for record in bytes.chunks(SIGNED_PONG_LEN) {
            let answer = SignedPong::decode(record).map_err(|error| invalid(&error.to_string()))?;
            let challenge = &answer.challenge;
            if (challenge.board, challenge.round, challenge.keeper) != (*board, round, *keeper) {
                return Err(invalid("the file holds an answer to another keeper, board or round"));
            }
            report.answers.insert(challenge.slot, answer);
        }
        report.stats.targets = report.answers.len() as u64;
        Ok(Some(report))
    }

    /// Saved rounds of a board, unordered.
    fn rounds_of(&self, board: &Pubkey) -> io::Result<Vec<u32>> {
        let mut rounds = Vec::new();
        for entry in fs::read_dir(self.folder.join(board.to_string()))? {
            let path = entry?.path();
            let round: Option<u32> = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                rounds.extend(round);
            }
        }
        Ok(rounds)
    }
}

fn file(folder: &Path, round: u32) -> PathBuf {
    folder.join(format!("{round}.{EXTENSION}"))
}

#[cfg(test)]
mod tests {
    use leasehold_client::probe::Challenge;

    use super::*;
    use crate::prober::ProbeStats;

    fn report(board: Pubkey, keeper: Pubkey, round: u32, slots: &[u32]) -> ProbeReport {
        let answer = |slot: &u32| {
            let challenge = Challenge {
                program: leasehold::ID,
                market: Pubkey::new_from_array([1; 32]),
                board,
                slot: *slot,
                generation: 3,
                round,
                cluster: [0; 4],
                keeper,
                seed: [7; 32],
            };
            (*slot, SignedPong { challenge, signature: [u8::try_from(*slot).unwrap(); 64] })
        };
        ProbeReport {
            round,
            answers: slots.iter().map(answer).collect(),
            stats: ProbeStats { targets: slots.len() as u64, ..ProbeStats::default() },
            ..ProbeReport::default()
        }
    }

    fn keys() -> (Pubkey, Pubkey) {
        (Pubkey::new_from_array([5; 32]), Pubkey::new_from_array([6; 32]))
    }

    #[test]
    fn what_was_saved_gives_the_same_vote() {
        let folder = tempfile::tempdir().unwrap();
        let evidence = Evidence::new(folder.path().join("pongs"), 1_800).unwrap();
        let (board, keeper) = keys();
        let saved = report(board, keeper, 9, &[0, 5, 17]);
        evidence.save(&board, 600, &saved).unwrap();
        let loaded = evidence.load(&board, 9, &keeper).unwrap().unwrap();
        assert_eq!(loaded.submission(20), saved.submission(20));
        assert_eq!(loaded, saved);
    }

    #[test]
    fn a_round_that_nobody_answered_is_known_from_one_that_was_not_probed() {
        let folder = tempfile::tempdir().unwrap();
        let evidence = Evidence::new(folder.path().to_owned(), 1_800).unwrap();
        let (board, keeper) = keys();
        evidence.save(&board, 600, &report(board, keeper, 9, &[])).unwrap();
        assert!(evidence.load(&board, 9, &keeper).unwrap().unwrap().answers.is_empty());
        assert_eq!(evidence.load(&board, 8, &keeper).unwrap(), None);
    }

    #[test]
    fn answers_are_kept_as_long_as_asked_for_and_for_two_rounds_at_least() {
        let folder = tempfile::tempdir().unwrap();
        let (board, keeper) = keys();
        let kept = |secs, round_secs| {
            let evidence = Evidence::new(folder.path().to_owned(), secs).unwrap();
            for round in [8, 9, 10, 11] {
                evidence.save(&board, round_secs, &report(board, keeper, round, &[1])).unwrap();
            }
            let mut rounds = evidence.rounds_of(&board).unwrap();
            rounds.sort_unstable();
            rounds
        };
        assert_eq!(kept(1_201, 600), [9, 10, 11], "rounded up");
        assert_eq!(kept(1_200, 600), [10, 11]);
        assert_eq!(kept(1_200, 3_600), [10, 11]);
    }

    #[test]
    fn what_is_not_this_keepers_evidence_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let evidence = Evidence::new(folder.path().to_owned(), 5_400).unwrap();
        let (board, keeper) = keys();
        evidence.save(&board, 600, &report(board, keeper, 9, &[1])).unwrap();
        let path = file(&folder.path().join(board.to_string()), 9);
        let invalid = |round| evidence.load(&board, round, &keeper).unwrap_err().kind();

        assert_eq!(evidence.load(&board, 9, &board).unwrap_err().kind(), io::ErrorKind::InvalidData);
        fs::copy(&path, path.with_file_name("10.pongs")).unwrap();
        assert_eq!(invalid(10), io::ErrorKind::InvalidData);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..200]).unwrap();
        assert_eq!(invalid(9), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(Evidence::new(file.join("pongs"), 1).is_err());
    }
}
