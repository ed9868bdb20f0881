//! What nvidia-smi writes: lines of fields, and between them whatever the driver has to say.

use super::Gpu;

/// Fields to query. The mode of MIG is known since driver 450.
pub const FIELDS: &str = "name,uuid,memory.total,mig.mode.current";
/// Fields that older drivers know.
pub const OLD_FIELDS: &str = "name,uuid,memory.total";

/// Longest line that is quoted.
const QUOTED: usize = 200;

/// What stands in a field of a GPU that doesn't work.
const BROKEN: [&str; 5] = ["err!", "requires reset", "is lost", "unknown error", "fallen off"];
/// What a line about a GPU that doesn't work contains.
const COMPLAINTS: [&str; 7] =
    ["unable to", "failed", "is lost", "requires reset", "fallen off", "err!", "unknown error"];

/// An answer of nvidia-smi.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// GPUs that work, each once.
    pub gpus: Vec<Gpu>,
    /// Lines about GPUs that don't, or that were named before.
    pub broken: Vec<String>,
    /// Other lines.
    pub notes: Vec<String>,
}

/// Reads the answer to a query of [`FIELDS`] or [`OLD_FIELDS`] with `--format=csv,noheader`, with units or without.
pub fn parse(text: &str) -> Answer {
    let mut answer = Answer::default();
    for line in text.lines() {
        let line: String = line.chars().filter(|character| !character.is_control()).collect();
        let line = line.trim();
        let fields: Vec<_> = line.split(',').map(str::trim).collect();
        match fields[..] {
            _ if line.is_empty() => {}
            [name, uuid, memory, ref mig @ ..] if mig.len() < 2 && is_uuid(uuid) => {
                match gpu(name, uuid, memory, mig.first().copied()) {
                    Some(gpu) if !answer.has(&gpu) => answer.gpus.push(gpu),
                    _ => answer.broken.push(quoted(line)),
                }
            }
            _ if contains_any(line, &COMPLAINTS) => answer.broken.push(quoted(line)),
            _ => answer.notes.push(quoted(line)),
        }
    }
    answer
}

impl Answer {
    /// True if it has a GPU with the same UUID already. Some hosts hide them.
    fn has(&self, gpu: &Gpu) -> bool {
        gpu.uuid.starts_with("GPU-") && self.gpus.iter().any(|other| other.uuid == gpu.uuid)
    }
}

/// `None` if the GPU doesn't work.
fn gpu(name: &str, uuid: &str, memory: &str, mig: Option<&str>) -> Option<Gpu> {
    let fields = [name, uuid, memory].into_iter().chain(mig);
    if fields.into_iter().any(|field| contains_any(field, &BROKEN))
        || name.is_empty()
        || name.starts_with('[')
    {
        return None;
    }
    // Unknown values are in brackets, as [N/A], or not, as N/A.
    let memory_mib = memory.strip_suffix("MiB").unwrap_or(memory).trim_end().parse().ok();
    if memory_mib == Some(0) {
        return None;
    }
    let mig = mig.is_some_and(|mig| mig.eq_ignore_ascii_case("enabled"));
    Some(Gpu { name: name.to_owned(), uuid: uuid.to_owned(), memory_mib, mig })
}

/// True of a UUID, or of what stands in place of one.
fn is_uuid(field: &str) -> bool {
    field.starts_with("GPU-") || field.starts_with('[') || contains_any(field, &["err!", "n/a"])
}

fn contains_any(text: &str, parts: &[&str]) -> bool {
    let text = text.to_ascii_lowercase();
    parts.iter().any(|part| text.contains(part))
}

fn quoted(line: &str) -> String {
    line.chars().take(QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_drivers_are_read() {
        // Driver 580 on an A100; then one with MIG, a card without it, an integrated one whose memory is the
        // host's, a part of a GPU, and an old driver.
        let text = "NVIDIA A100-SXM4-80GB, GPU-1f1b65b3-e559-713a-e355-9dd901bfd8e6, 81920 MiB, Disabled\n\
                    NVIDIA A100-SXM4-80GB, GPU-513536b6-7d19-9063-b049-1e69664bb298, 81920, Enabled\r\n\
                    Tesla T4, GPU-2a7fadae-a692-1c44-2c57-6c9fb1d1e1a5, 15360 MiB, [N/A]\n\
                    NVIDIA GB10, GPU-c7b57be0-94ff-d352-a59b-d0ee00aeed43, [N/A], [Not Supported]\n\
                    NVIDIA H100L-2-24C, GPU-8c0e3b6e-e8f4-11ee-9d11-42a7d1e02e83, 24576, N/A\n\
                    GeForce GTX 1080 Ti, GPU-d6de6afc-bdfe-75c4-5273-0544439153fc, 11178\n\n";
        let answer = parse(text);
        let told: Vec<_> =
            answer.gpus.iter().map(|gpu| (gpu.name.as_str(), gpu.memory_mib, gpu.mig)).collect();
        assert_eq!(
            told,
            [
                ("NVIDIA A100-SXM4-80GB", Some(81_920), false),
                ("NVIDIA A100-SXM4-80GB", Some(81_920), true),
                ("Tesla T4", Some(15_360), false),
                ("NVIDIA GB10", None, false),
                ("NVIDIA H100L-2-24C", Some(24_576), false),
                ("GeForce GTX 1080 Ti", Some(11_178), false),
            ]
        );
        assert_eq!(
            answer.gpus[2].to_string(),
            "Tesla T4, 15360 MiB, GPU-2a7fadae-a692-1c44-2c57-6c9fb1d1e1a5"
        );
        let whole = answer.gpus.iter().filter(|gpu| !gpu.is_virtual());
        assert_eq!(whole.count(), 5);
        assert!(answer.broken.is_empty() && answer.notes.is_empty());
        let hidden = parse("NVIDIA A100-SXM4-80GB, GPU-1, [Insufficient Permissions], [N/A]");
        assert_eq!(hidden.gpus[0].memory_mib, None);
    }

    #[test]
    fn gpus_that_do_not_work_are_told_from_notes() {
        let good = "Tesla T4, GPU-1, 15360, [N/A]";
        for broken in [
            "[GPU is lost], [GPU is lost], [GPU is lost], [GPU is lost]",
            "NVIDIA H100 80GB HBM3, GPU-2, [GPU requires reset], [GPU requires reset]",
            "NVIDIA GeForce RTX 3090, GPU-2, [Unknown Error], [N/A]",
            "ERR!, ERR!, ERR!, ERR!",
            "Tesla T4, GPU-1, 15360, [N/A]",
            "Tesla T4, GPU-2, 0, [N/A]",
            "Tesla T4, GPU-2, 0 MiB, [N/A]",
            "[Unknown Error], GPU-2, 24576, [N/A]",
            "Unable to determine the device handle for GPU 0000:0B:00.0: Unknown Error",
            "Unable to determine the device handle for GPU0000:41:00.0: GPU is lost.  Reboot the system to recover this GPU",
            "GPU 00000000:3B:00.0 has fallen off the bus",
        ] {
            let other = good.replace("GPU-1", "GPU-3");
            let answer = parse(&format!("{good}\n{broken}\n{other}\n"));
            assert_eq!((answer.gpus.len(), &answer.broken[..]), (2, &[broken.to_owned()][..]), "{broken}");
        }
        for note in [
            "WARNING: infoROM is corrupted at gpu 0000:05:00.0",
            "No devices were found",
            "Field \"mig.mode.current\" is not a valid field to query.",
            "==============NVSMI LOG==============",
            "Tesla T4, 15360",
            "name, uuid, memory.total [MiB], mig.mode.current",
        ] {
            let answer = parse(&format!("{note}\n{good}"));
            assert_eq!((answer.gpus.len(), &answer.notes[..]), (1, &[note.to_owned()][..]), "{note}");
        }
        let colours = parse(&format!("\u{1b}[31mUnable to {}", "x".repeat(1_000)));
        assert!(!colours.broken[0].contains('\u{1b}') && colours.broken[0].len() <= QUOTED);
    }
}
