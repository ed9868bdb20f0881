//! Finds a GPU's class by its name.

use std::collections::BTreeMap;

use leasehold_client::gpu::{Gpu, made_with};
use leasehold_operate::{
    failure::Failure,
    market::{MarketView, name},
};

/// The GPUs that make a machine, and their class: `wanted`, by the market's name or number, or else the one
/// class that they all are.
pub fn choose(gpus: &[Gpu], market: &MarketView, wanted: Option<&str>) -> Result<(u16, Vec<Gpu>), Failure> {
    let (class, chosen) = match wanted {
        Some(wanted) => (market.class(wanted)?, of_class(gpus, market, wanted)?),
        None => {
            let mut classes = BTreeMap::new();
            for gpu in gpus {
                *classes.entry(best(gpu, market)?).or_insert(0) += 1;
            }
            let mut found = classes.iter();
            let (Some((class, _)), None) = (found.next(), found.next()) else {
                let found =
                    classes.iter().map(|(class, count)| format!("{count} x {}", market.class_name(*class)));
                let found = found.collect::<Vec<_>>().join(", ");
                return Err(Failure::Input(format!(
                    "the GPUs are of different classes ({found}), and a machine is of one: make each class a \
                     machine with a key of its own, with --class"
                )));
            };
            (*class, gpus.to_vec())
        }
    };
    chosen.iter().try_for_each(check_whole)?;
    if wanted.is_none() {
        chosen.iter().try_for_each(|gpu| check_memory(gpu, &market.class_name(class)))?;
    }
    Ok((class, chosen))
}

fn check_whole(gpu: &Gpu) -> Result<(), Failure> {
    if gpu.mig {
        return Err(Failure::Input(format!(
            "{} ({}) is split by MIG, and whole GPUs are leased: end that by `nvidia-smi -mig 0 -i {1}`",
            gpu.name, gpu.uuid
        )));
    }
    if gpu.is_virtual() {
        return Err(Failure::Input(format!(
            "{} ({}) is a part of a GPU, passed on by a hypervisor, and whole GPUs are leased: run this on the \
             hypervisor's host, or pass the whole GPU on",
            gpu.name, gpu.uuid
        )));
    }
    Ok(())
}

/// Refuses a modified card, unless the class says how much memory it has: buyers expect the model as it is sold.
fn check_memory(gpu: &Gpu, class: &str) -> Result<(), Failure> {
    let Some((mib, made)) = gpu.memory_mib.zip(made_with(gpu)) else { return Ok(()) };
    if class.to_ascii_lowercase().contains("gb") {
        return Ok(());
    }
    Err(Failure::Input(format!(
        "{} ({}) reports {mib} MiB, and this model is made with {made} GB: it is a modified card; if buyers of class \
         {class} may get it, pass --class \"{class}\"",
        gpu.name, gpu.uuid
    )))
}

/// The GPUs of a class. If no GPU here has the name of a class of the market, and all are alike, the supplier's choice
/// counts.
fn of_class(gpus: &[Gpu], market: &MarketView, wanted: &str) -> Result<Vec<Gpu>, Failure> {
    let class = market.class(wanted)?;
    let fitting = |gpu: &&Gpu| candidates(gpu, market).iter().any(|(found, _)| *found == class);
    let chosen: Vec<_> = gpus.iter().filter(fitting).cloned().collect();
    if !chosen.is_empty() {
        return Ok(chosen);
    }
    let alike = gpus.iter().all(|gpu| Some(&gpu.name) == gpus.first().map(|first| &first.name));
    if alike && gpus.iter().all(|gpu| candidates(gpu, market).is_empty()) {
        return Ok(gpus.to_vec());
    }
    let mut names = BTreeMap::new();
    for gpu in gpus {
        *names.entry(&gpu.name).or_insert(0) += 1;
    }
    let names: Vec<_> = names.iter().map(|(name, count)| format!("{count} x {name}")).collect();
    let class = market.class_name(class);
    Err(Failure::Input(format!("no GPU of class {class} here: found {}", names.join(", "))))
}

/// The class of a GPU: of those that fit, the one that says most of it.
fn best(gpu: &Gpu, market: &MarketView) -> Result<u16, Failure> {
    let found = candidates(gpu, market);
    let most = found.iter().map(|(_, said)| *said).max();
    let best: Vec<_> =
        found.iter().filter(|(_, said)| Some(*said) == most).map(|(class, _)| *class).collect();
    let names = |classes: &[u16]| {
        let names: Vec<_> = classes.iter().map(|class| market.class_name(*class)).collect();
        names.join(", ")
    };
    match best[..] {
        [class] => Ok(class),
        [] => {
            let all: Vec<_> = (0..).zip(&market.account.params.classes).map(|(class, _)| class).collect();
            Err(Failure::Input(format!(
                "no class of the market has the name of {}: pass --class if it is one of {}",
                gpu.name,
                names(&all)
            )))
        }
        _ => Err(Failure::Input(format!(
            "{} has the name of {} classes of the market, {}: pass --class",
            gpu.name,
            best.len(),
            names(&best)
        ))),
    }
}

/// Classes that a GPU fits, with how much each says besides the model.
fn candidates(gpu: &Gpu, market: &MarketView) -> Vec<(u16, usize)> {
    let names: Vec<_> = market.account.params.classes.iter().map(name).collect();
    leasehold_client::gpu::candidates(gpu, &names)
}

#[cfg(test)]
pub mod tests {
    use leasehold::state::HardwareClass;

    use super::*;
    use leasehold_operate::sample::view;

    /// The sample's market with these classes.
    pub fn market(classes: &[&str]) -> MarketView {
        let mut market = view();
        let class = |text: &&str| {
            let mut name = [0; 16];
            name[..text.len()].copy_from_slice(text.as_bytes());
            HardwareClass { name, weight_bps: 10_000 }
        };
        market.account.params.classes = classes.iter().map(class).collect();
        market
    }

    fn gpu(name: &str, memory_mib: u64) -> Gpu {
        let memory_mib = (memory_mib > 0).then_some(memory_mib);
        Gpu { name: name.to_owned(), uuid: "GPU-1".to_owned(), memory_mib, mig: false }
    }

    #[test]
    fn gpus_have_the_class_of_their_model() {
        let market = market(&[
            "RTX 4090",
            "RTX4070 Ti",
            "RTX 4070",
            "A100 40GB",
            "A100 80GB",
            "A100",
            "H100 PCIe",
            "H100 80GB",
            "L40S",
            "T4 16GB",
            "RTX 6000 Ada",
            "V100 SXM",
            "GH200 96GB",
            "B200 192GB",
            "RTX PRO 6000",
        ]);
        for (name, memory, expected) in [
            ("NVIDIA GeForce RTX 4090", 24_564, "RTX 4090"),
            ("GeForce RTX 4090", 0, "RTX 4090"),
            ("NVIDIA GeForce RTX 4070", 12_282, "RTX 4070"),
            ("NVIDIA GeForce RTX 4070 Ti", 12_282, "RTX4070 Ti"),
            ("NVIDIA A100-SXM4-80GB", 81_920, "A100 80GB"),
            ("NVIDIA A100 80GB PCIe", 81_920, "A100 80GB"),
            ("NVIDIA A100-SXM4-40GB", 40_960, "A100 40GB"),
            ("NVIDIA A100-PCIE-40GB", 40_536, "A100 40GB"),
            ("A100-SXM-80GB", 0, "A100 80GB"),
            ("NVIDIA A100X", 81_920, ""),
            ("NVIDIA H100 80GB HBM3", 81_559, "H100 80GB"),
            ("NVIDIA L40S", 46_068, "L40S"),
            ("NVIDIA L40", 46_068, ""),
            ("Tesla T4", 15_360, "T4 16GB"),
            ("NVIDIA RTX 6000 Ada Generation", 49_140, "RTX 6000 Ada"),
            ("Quadro RTX 6000", 24_576, ""),
            ("Tesla V100-SXM2-16GB", 16_384, "V100 SXM"),
            ("Tesla V100-PCIE-16GB", 16_384, ""),
            ("NVIDIA GH200 480GB", 97_871, "GH200 96GB"),
            ("NVIDIA B200", 183_359, "B200 192GB"),
            ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 97_887, "RTX PRO 6000"),
            ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 97_887, "RTX PRO 6000"),
            ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", 97_887, ""),
            ("NVIDIA GeForce RTX 4090 D", 24_564, ""),
            ("NVIDIA GeForce RTX 4090 Laptop GPU", 16_376, ""),
            ("NVIDIA GeForce RTX 4070 Ti SUPER", 16_376, ""),
            ("NVIDIA Graphics Device", 24_564, ""),
        ] {
            match best(&gpu(name, memory), &market) {
                Ok(class) => assert_eq!(market.class_name(class), expected, "{name}"),
                Err(error) => {
                    assert!(expected.is_empty(), "{name}: {error}");
                    assert!(error.to_string().contains("pass --class if it is one of RTX 4090, "), "{error}");
                }
            }
        }
        let both = best(&gpu("NVIDIA H100 PCIe", 81_559), &market).unwrap_err().to_string();
        assert!(both.contains("2 classes of the market, H100 PCIe, H100 80GB: pass --class"), "{both}");
    }

    #[test]
    fn a_machine_has_gpus_of_one_class() {
        let market = market(&["RTX 4090", "RTX 3090"]);
        let [new, old] = [gpu("NVIDIA GeForce RTX 4090", 24_564), gpu("NVIDIA GeForce RTX 3090", 24_576)];
        let alike = [new.clone(), new.clone()];
        assert_eq!(choose(&alike, &market, None).unwrap(), (0, alike.to_vec()));
        let mixed = [new.clone(), old.clone(), new.clone()];
        let refused = choose(&mixed, &market, None).unwrap_err().to_string();
        assert!(refused.contains("(2 x RTX 4090, 1 x RTX 3090)") && refused.contains("--class"), "{refused}");
        assert_eq!(choose(&mixed, &market, Some("rtx 3090")).unwrap(), (1, vec![old]));
        let none = choose(&alike, &market, Some("RTX 3090")).unwrap_err().to_string();
        assert_eq!(none, "no GPU of class RTX 3090 here: found 2 x NVIDIA GeForce RTX 4090");
        assert!(choose(&alike, &market, Some("H100")).unwrap_err().to_string().contains("unknown class"));
        // The market calls them something else, which only the supplier can know.
        let unnamed = [gpu("NVIDIA Graphics Device", 24_564)];
        assert_eq!(choose(&unnamed, &market, Some("1")).unwrap().0, 1);
        let unlike = [unnamed[0].clone(), new];
        assert!(choose(&unlike, &market, Some("1")).is_err());
    }

    #[test]
    fn a_gpu_that_is_split_is_refused() {
        let market = market(&["A100"]);
        let split = Gpu { mig: true, ..gpu("NVIDIA A100-SXM4-80GB", 81_920) };
        let error = choose(&[split], &market, None).unwrap_err().to_string();
        assert!(error.contains("split by MIG") && error.ends_with("`nvidia-smi -mig 0 -i GPU-1`"), "{error}");
    }

    #[test]
    fn a_part_of_a_gpu_is_refused() {
        let market = market(&["A40"]);
        let error = choose(&[gpu("NVIDIA A40-48Q", 49_152)], &market, Some("A40")).unwrap_err().to_string();
        assert!(error.contains("is a part of a GPU"), "{error}");
    }

    #[test]
    fn a_modified_card_is_refused_unless_the_supplier_insists_or_the_class_says_its_memory() {
        // A 4090 with 48 GB, as it reports itself.
        let modified = [gpu("NVIDIA GeForce RTX 4090", 49_140)];
        let plain = market(&["RTX 4090"]);
        let error = choose(&modified, &plain, None).unwrap_err().to_string();
        assert!(error.contains("49140 MiB, and this model is made with 24 GB"), "{error}");
        assert_eq!(choose(&modified, &plain, Some("RTX 4090")).unwrap().0, 0);
        let sized = market(&["RTX 4090 24GB", "RTX 4090 48GB"]);
        assert_eq!(choose(&modified, &sized, None).unwrap().0, 1);
        assert!(choose(&modified, &sized, Some("RTX 4090 24GB")).is_err(), "48 GB are not 24");
        assert_eq!(choose(&[gpu("NVIDIA GeForce RTX 4090", 24_564)], &sized, None).unwrap().0, 0);
    }
}
