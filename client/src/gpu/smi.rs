//! Asks nvidia-smi.

use super::{Answer, FIELDS, OLD_FIELDS, parse};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// How long nvidia-smi may take. Without its daemon it first wakes every GPU, for seconds each.
const PATIENCE: Duration = Duration::from_secs(60);
/// The fields were not understood.
const INVALID: i32 = 2;
/// A damaged inforom, of which nvidia-smi warns with this exit code after it has answered.
const DAMAGED_INFOROM: i32 = 14;

/// Why nvidia-smi names no GPU.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    #[error("{} not found: install NVIDIA's driver", .0.display())]
    NotFound(PathBuf),
    #[error("{} can't be started: {source}", .program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error(
        "{} did not answer within {} s: a GPU or its driver hangs; look for NVRM in `dmesg`, and reboot",
        .0.display(),
        PATIENCE.as_secs()
    )]
    Hangs(PathBuf),
    #[error("{} names no GPU ({status}) and said {said:?}: {advice}", .program.display())]
    NoGpu { program: PathBuf, status: ExitStatus, said: String, advice: &'static str },
}

/// The GPUs of this host, by the program nvidia-smi.
///
/// # Errors
/// Any [`GpuError`]; GPUs that don't work beside others that do are no error.
pub async fn ask(program: &Path) -> Result<Answer, GpuError> {
    let mut output = query(program, FIELDS).await?;
    if output.status.code() == Some(INVALID) {
        output = query(program, OLD_FIELDS).await?;
    }
    let Output { status, stdout, stderr } = output;
    let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let mut answer = parse(&stdout);
    // It tells of some mistakes on one stream, and of some on the other.
    let more = parse(&stderr);
    answer.broken.extend(more.broken);
    answer.notes.extend(more.notes);
    if answer.gpus.is_empty() {
        let said = answer.broken.into_iter().chain(answer.notes).next().unwrap_or_default();
        let advice = advice(&said, status.code());
        return Err(GpuError::NoGpu { program: program.to_owned(), status, said, advice });
    }
    let is_warning = status.success() || status.code() == Some(DAMAGED_INFOROM);
    if !is_warning && answer.broken.is_empty() {
        answer.broken.push(format!("nvidia-smi ended with {status}"));
    }
    Ok(answer)
}

async fn query(program: &Path, fields: &str) -> Result<Output, GpuError> {
    let mut command = Command::new(program);
    command.args([format!("--query-gpu={fields}").as_str(), "--format=csv,noheader,nounits"]);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(PATIENCE, output).await.map_err(|_| GpuError::Hangs(program.to_owned()))?;
    output.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => GpuError::NotFound(program.to_owned()),
        _ => GpuError::Start { program: program.to_owned(), source },
    })
}

/// What to do about what it said, or else about its exit code.
fn advice(said: &str, code: Option<i32>) -> &'static str {
    let said = said.to_ascii_lowercase();
    let says = |part: &str| said.contains(part);
    if says("version mismatch") {
        "NVIDIA's driver was updated while the old one was loaded: reboot"
    } else if says("no devices were found") || code == Some(6) {
        "no GPU answers its driver: look for them by `lspci`, and for NVRM in `dmesg`"
    } else if says("communicate with the nvidia driver") || code == Some(9) {
        "the driver's module is not loaded: run `modprobe nvidia`, or install the driver for the kernel that runs"
    } else if says("is lost") || says("requires reset") || says("fallen off") || code == Some(15) {
        "the GPU fell off its bus: reboot, and check its power and its slot if that happens again"
    } else if says("insufficient permissions") || code == Some(4) {
        "let this user open /dev/nvidia*"
    } else if says("failed to initialize nvml: unknown error") {
        "start the container anew if this is one, as it lost access to the GPUs; else reboot"
    } else if says("libnvidia-ml") || code == Some(12) {
        "install the library of NVIDIA's driver, and pass it on if this is a container"
    } else {
        "repair NVIDIA's driver"
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// The answer of a program that writes these texts and ends with the code.
    async fn answer_of(out: &str, err: &str, code: i32) -> Result<Answer, GpuError> {
        let folder = tempfile::tempdir().unwrap();
        let (program, old) = (folder.path().join("nvidia-smi"), code == INVALID);
        fs::write(folder.path().join("out"), out).unwrap();
        fs::write(folder.path().join("err"), err).unwrap();
        let (path, first) = (folder.path().display(), if old { "" } else { "#" });
        let script = format!(
            "#!/bin/sh\n{first}case $1 in *mig*) echo 'Field \"mig.mode.current\" is not a valid field to query.'; exit 2;; esac\n\
             cat {path}/out; cat {path}/err >&2\nexit {}\n",
            if old { 0 } else { code }
        );
        // Written by another process, so that no child of a test beside this one has it open for writing.
        let write = format!("cat > {0} && chmod 755 {0}", program.display());
        let mut shell =
            std::process::Command::new("sh").args(["-c", &write]).stdin(Stdio::piped()).spawn().unwrap();
        io::Write::write_all(&mut shell.stdin.take().unwrap(), script.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
        assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
        ask(&program).await
    }

    const GOOD: &str = "NVIDIA GeForce RTX 3090, GPU-1, 24576, [N/A]\n";

    #[tokio::test]
    async fn gpus_are_read_whatever_the_exit_code() {
        for (code, broken) in [(0, 0), (DAMAGED_INFOROM, 0), (15, 1), (INVALID, 0)] {
            let note = "WARNING: infoROM is corrupted at gpu 0000:05:00.0\n";
            let answer = answer_of(GOOD, note, code).await.unwrap();
            assert_eq!(
                (answer.gpus.len(), answer.broken.len(), answer.notes.len()),
                (1, broken, 1),
                "{code}"
            );
        }
        let lost = "Unable to determine the device handle for GPU 0000:02:00.0: GPU is lost.\n";
        assert_eq!(answer_of(GOOD, lost, 15).await.unwrap().broken, [lost.trim()]);
    }

    #[tokio::test]
    async fn every_way_to_fail_has_its_advice() {
        let mismatch =
            "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.161\n";
        let silent = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the \
             latest NVIDIA driver is installed and running.\n";
        for (out, err, code, said, advice) in [
            (mismatch, "", 18, "version mismatch", "reboot"),
            ("No devices were found\n", "", 6, "No devices were found", "lspci"),
            (silent, "", 9, "couldn't communicate", "modprobe nvidia"),
            ("", "Failed to initialize NVML: Unknown Error\n", 255, "Unknown Error", "container"),
            ("Failed to initialize NVML: Insufficient Permissions\n", "", 4, "Insufficient", "/dev/nvidia"),
            (
                "[GPU is lost], [GPU is lost], [GPU is lost], [GPU is lost]\n",
                "",
                15,
                "[GPU is lost]",
                "its power",
            ),
            ("", "", 0, "\"\"", "repair"),
            ("", "", 127, "status: 127", "repair"),
        ] {
            let error = answer_of(out, err, code).await.unwrap_err().to_string();
            assert!(error.contains(said) && error.contains(advice), "{error}");
        }
        let absent = ask(Path::new("/does/not/exist")).await.unwrap_err().to_string();
        assert!(absent.contains("not found: install NVIDIA's driver"), "{absent}");
        assert!(matches!(ask(Path::new("/dev/null")).await, Err(GpuError::Start { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_hangs_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("nvidia-smi");
        let write =
            format!("printf '#!/bin/sh\\nexec sleep 600\\n' > {0} && chmod 755 {0}", program.display());
        assert!(std::process::Command::new("sh").args(["-c", &write]).status().unwrap().success());
        let error = ask(&program).await.unwrap_err().to_string();
        assert!(error.contains("did not answer within 60 s"), "{error}");
    }
}
