//! Finds the classes that fit a GPU by its name.

use super::Gpu;

/// Classes that a GPU fits, of those with these names: number of the class, and how much its name says besides the model.
pub fn candidates(gpu: &Gpu, classes: &[String]) -> Vec<(u16, usize)> {
    let words = Words::of(&gpu.name);
    let fit = |(class, name): (u16, &String)| Some((class, words.fit(&Words::of(name), gpu.memory_mib)?));
    (0..).zip(classes).filter_map(fit).collect()
}

/// Gigabytes that the GPU's model is made with, if the GPU reports more: then it is a modified card. `None` also for a
/// model of which that is not known.
pub fn made_with(gpu: &Gpu) -> Option<u64> {
    let (mib, words) = (gpu.memory_mib?, Words::of(&gpu.name));
    let (_, made) = MADE_WITH.iter().find(|(model, _)| *model == words.model)?;
    let most = *made.iter().max()?;
    (mib > most.saturating_mul(1_024 * 101) / 100).then_some(most)
}

/// Gigabytes of the models that are sold with more by others than NVIDIA.
const MADE_WITH: [(&str, &[u64]); 17] = [
    ("2080ti", &[11]),
    ("3060", &[8, 12]),
    ("3070", &[8]),
    ("3070ti", &[8]),
    ("3080", &[10, 12]),
    ("3080ti", &[12]),
    ("3090", &[24]),
    ("3090ti", &[24]),
    ("4070", &[12]),
    ("4070ti", &[12]),
    ("4070tisuper", &[16]),
    ("4080", &[16]),
    ("4080super", &[16]),
    ("4090", &[24]),
    ("4090d", &[24]),
    ("5080", &[16]),
    ("5090", &[32]),
];

/// Words that are not said of every GPU of a model, or that no two models differ by.
const PLAIN: [&str; 11] = [
    "nvidia",
    "geforce",
    "tesla",
    "rtx",
    "gtx",
    "gpu",
    "generation",
    "blackwell",
    "server",
    "workstation",
    "edition",
];

/// How a GPU is mounted, and its kind of memory: sxm4, pcie, hbm3.
const BUILDS: [&str; 4] = ["sxm", "pcie", "nvl", "hbm"];

/// The words of a GPU's or a class's name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    /// Part that sets it apart: 4090, 4070tisuper, a100, 6000ada. It must be equal: neither a 4090 D nor the 4090 of a
    /// laptop is a 4090.
    model: String,
    /// GB.
    memory: Option<u64>,
    builds: Vec<String>,
}

impl Words {
    fn of(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        let mut words = Words::default();
        let mut parts =
            lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).peekable();
        while let Some(part) = parts.next() {
            let unit = |part: &str| matches!(part, "gb" | "gib" | "g");
            let digits = part.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let apart = digits == part && parts.peek().is_some_and(|next| unit(next));
            let is_size = apart || unit(part.strip_prefix(digits).unwrap_or_default());
            if is_size && let Ok(memory) = digits.parse() {
                words.memory = Some(memory);
                if apart {
                    parts.next();
                }
                continue;
            }
            if BUILDS.iter().any(|build| part.starts_with(build)) {
                words.builds.push(part.to_owned());
            } else if !PLAIN.contains(&part) {
                words.model.push_str(part);
            }
        }
        // Written as one word: RTX4090.
        let model =
            ["rtx", "gtx"].iter().find_map(|plain| words.model.strip_prefix(plain)).map(str::to_owned);
        Words { model: model.unwrap_or(words.model), ..words }
    }

    /// How much a class says of this GPU besides its model, if it fits.
    fn fit(&self, class: &Words, memory_mib: Option<u64>) -> Option<usize> {
        let built = |build: &String| self.builds.iter().any(|own| own.starts_with(build.as_str()));
        let remembers = class.memory.is_none_or(|memory| {
            self.memory == Some(memory) || memory_mib.is_some_and(|found| is_about(found, memory))
        });
        let fits = !class.model.is_empty() && self.model == class.model;
        let fits = fits && remembers && class.builds.iter().all(built);
        fits.then(|| class.builds.len().saturating_add(usize::from(class.memory.is_some())))
    }
}

/// True if a GPU that is sold with so many GB may report so many MiB. The driver and error correction reserve up to 7
/// percent (a T4 of 16 GB has 15,360 MiB, an L40S of 48 GB 46,068).
fn is_about(mib: u64, gb: u64) -> bool {
    let full = gb.saturating_mul(1_024);
    (full.saturating_mul(92) / 100..=full.saturating_mul(101) / 100).contains(&mib)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(name: &str, memory_mib: u64) -> Gpu {
        Gpu { name: name.to_owned(), uuid: "GPU-1".to_owned(), memory_mib: Some(memory_mib), mig: false }
    }

    #[test]
    fn cards_with_more_memory_than_their_model_is_made_with_are_known() {
        for (name, mib, made) in [
            ("NVIDIA GeForce RTX 4090", 24_564, None),
            ("NVIDIA GeForce RTX 4090", 49_140, Some(24)),
            ("NVIDIA GeForce RTX 4090 D", 49_140, Some(24)),
            ("NVIDIA GeForce RTX 3080", 10_240, None),
            ("NVIDIA GeForce RTX 3080", 12_288, None),
            ("NVIDIA GeForce RTX 3080", 20_480, Some(12)),
            ("NVIDIA GeForce RTX 2080 Ti", 22_528, Some(11)),
            // Cards that are made with as much.
            ("NVIDIA RTX 6000 Ada Generation", 49_140, None),
            ("NVIDIA L40S", 46_068, None),
        ] {
            assert_eq!(made_with(&gpu(name, mib)), made, "{name} {mib}");
        }
        assert_eq!(made_with(&Gpu { memory_mib: None, ..gpu("NVIDIA GeForce RTX 4090", 0) }), None);
    }
}
