//! GPUs as nvidia-smi reports them.

use std::fmt;

use serde::Serialize;

use leasehold_operate::failure::Failure;

/// The query for nvidia-smi. The mode of MIG is known since driver 450.
pub const QUERY: [&str; 2] = ["--query-gpu=name,uuid,memory.total,mig.mode.current", "--format=csv,noheader"];

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gpu {
    pub name: String,
    pub uuid: String,
    /// `None` if the driver does not report it.
    pub memory_mib: Option<u64>,
    /// True if MIG splits it.
    pub mig: bool,
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(memory) = self.memory_mib {
            write!(f, ", {memory} MiB")?;
        }
        write!(f, ", {}", self.uuid)
    }
}

/// Reads the answer to [`QUERY`].
pub fn parse(text: &str) -> Result<Vec<Gpu>, Failure> {
    let mut gpus = Vec::new();
    for line in text.lines().map(str::trim) {
        // Written among the answers, as of a damaged inforom, which is no harm here.
        if line.is_empty() || line.starts_with("WARNING:") {
            continue;
        }
        let line: String = line.chars().filter(|character| !character.is_control()).collect();
        let fields: Vec<_> = line.split(',').map(str::trim).collect();
        // nvidia-smi prints unknown values in brackets, as [N/A]; a GPU that fell off the bus has no name.
        let [name, uuid, memory, mig] = fields[..] else { return Err(unread(&line)) };
        if name.is_empty() || name.starts_with('[') {
            return Err(unread(&line));
        }
        let memory_mib = memory.strip_suffix("MiB").unwrap_or(memory).trim_end().parse().ok();
        let (name, uuid) = (name.to_owned(), uuid.to_owned());
        gpus.push(Gpu { name, uuid, memory_mib, mig: mig.eq_ignore_ascii_case("enabled") });
    }
    if gpus.is_empty() {
        return Err(Failure::Input("nvidia-smi reports no GPU: check the driver".to_owned()));
    }
    Ok(gpus)
}

fn unread(line: &str) -> Failure {
    Failure::Input(format!("nvidia-smi reports no usable GPU in {line:?}: check the driver and the GPU"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_drivers_are_read() {
        // Driver 580 on an A100; then one with MIG, a card without it, an integrated one whose memory is the
        // host's, and a damaged inforom.
        let text = "NVIDIA A100-SXM4-80GB, GPU-1f1b65b3-e559-713a-e355-9dd901bfd8e6, 81920 MiB, Disabled\n\
                    NVIDIA A100-SXM4-80GB, GPU-513536b6-7d19-9063-b049-1e69664bb298, 81920 MiB, Enabled\r\n\
                    Tesla T4, GPU-2a7fadae-a692-1c44-2c57-6c9fb1d1e1a5, 15360 MiB, [N/A]\n\
                    NVIDIA GB10, GPU-c7b57be0-94ff-d352-a59b-d0ee00aeed43, [N/A], [Not Supported]\n\
                    WARNING: infoROM is corrupted at gpu 0000:05:00.0\n\n";
        let gpus = parse(text).unwrap();
        let told: Vec<_> = gpus.iter().map(|gpu| (gpu.name.as_str(), gpu.memory_mib, gpu.mig)).collect();
        assert_eq!(
            told,
            [
                ("NVIDIA A100-SXM4-80GB", Some(81_920), false),
                ("NVIDIA A100-SXM4-80GB", Some(81_920), true),
                ("Tesla T4", Some(15_360), false),
                ("NVIDIA GB10", None, false),
            ]
        );
        assert_eq!(gpus[2].to_string(), "Tesla T4, 15360 MiB, GPU-2a7fadae-a692-1c44-2c57-6c9fb1d1e1a5");
        let hidden = "NVIDIA A100-SXM4-80GB, GPU-1, [Insufficient Permissions], [N/A]";
        assert_eq!(parse(hidden).unwrap()[0].memory_mib, None);
    }

    #[test]
    fn an_invalid_answer_is_refused() {
        for (text, expected) in [
            ("", "reports no GPU"),
            ("No devices were found\n", "in \"No devices were found\""),
            ("Field \"mig.mode.current\" is not a valid field to query.\n", "mig.mode.current"),
            ("[GPU is lost], [GPU is lost], [GPU is lost], [GPU is lost]\n", "[GPU is lost]"),
            (
                "Tesla T4, GPU-1, 15360 MiB, [N/A]\nUnable to determine the device handle for GPU 0000:02:00.0\n",
                "Unable to determine",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.code() == 2 && error.to_string().contains(expected), "{error}");
        }
        assert!(!parse("\u{1b}[31mTesla").unwrap_err().to_string().contains('\u{1b}'));
    }
}
