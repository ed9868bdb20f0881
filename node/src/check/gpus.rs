//! This host's GPUs against those that are listed.

use super::Report;
use super::board::Listed;
use super::report::some_of;
use leasehold_client::gpu::{self, Gpu, GpuError, candidates, made_with};
use std::path::Path;

/// Asks nvidia-smi.
pub(super) async fn check(nvidia_smi: &Path, listed: &Listed, report: &mut Report) {
    let answer = match gpu::ask(nvidia_smi).await {
        Ok(answer) => answer,
        Err(error @ GpuError::NotFound(_)) => {
            return report.warning(
                "gpus",
                error.to_string(),
                "nothing, if the GPUs are in another host than the node; else install NVIDIA's driver",
            );
        }
        Err(error) => return report.error("gpus", error.to_string(), "repair the driver, and check again"),
    };
    let found: Vec<_> = answer.gpus.iter().map(ToString::to_string).collect();
    report.ok("gpus", format!("{} GPUs work: {}", found.len(), some_of(&found)));
    if !answer.broken.is_empty() {
        report.error(
            "gpus",
            format!("GPUs that don't work: {}", some_of(&answer.broken)),
            "repair them (a reboot may help), or list the machine with fewer GPUs",
        );
    }
    let odd: Vec<_> = answer.gpus.iter().filter_map(oddity).collect();
    if !odd.is_empty() {
        report.warning("gpus", some_of(&odd), "list whole GPUs, of the class that buyers expect by its name");
    }
    if !listed.gpus.is_empty() {
        compare(&answer.gpus, listed, report);
    }
}

fn oddity(gpu: &Gpu) -> Option<String> {
    if gpu.mig {
        return Some(format!("{gpu} is split by MIG"));
    }
    if gpu.is_virtual() {
        return Some(format!("{gpu} is a part of a GPU"));
    }
    made_with(gpu).map(|made| format!("{gpu} is a modified card: its model is made with {made} GB"))
}

fn compare(gpus: &[Gpu], listed: &Listed, report: &mut Report) {
    let sold: usize = listed.gpus.iter().map(|(count, _)| usize::from(*count)).sum();
    if sold > gpus.len() {
        report.warning(
            "gpus",
            format!("{sold} GPUs are listed, and {} work here", gpus.len()),
            "nothing, if the others are in other hosts; else list the machines with fewer GPUs",
        );
    }
    let of_class = |class: &String| {
        let names = std::slice::from_ref(class);
        gpus.iter().any(|gpu| !candidates(gpu, names).is_empty())
    };
    let mut missing: Vec<_> =
        listed.gpus.iter().map(|(_, class)| class).filter(|class| !of_class(class)).cloned().collect();
    missing.sort_unstable();
    missing.dedup();
    if !missing.is_empty() {
        report.warning(
            "gpus",
            format!("no GPU here has the name of the listed class: {}", some_of(&missing)),
            "nothing, if those are in other hosts; else list the machine in its own class",
        );
    }
}
