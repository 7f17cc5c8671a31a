//! What a process costs: its CPU clock, and what `/proc/PID` says of its memory.

use anyhow::{Context as _, Result};

use crate::sys;

/// CPU seconds, user and system, of all threads so far, by the process's own clock.
///
/// # Errors
/// If there is no such process.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let ns =
        sys::process_cpu_ns(pid).with_context(|| format!("no process {pid}: is it running?"))?;
    Ok(ns as f64 / 1e9)
}

/// Seconds that its threads were ready to run and did not: others had the core, its own threads
/// included. Says of a measurement whether the machine was idle; 0 where the kernel does not tell.
pub fn waited_seconds(pid: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let waited = threads.filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
    });
    waited.sum::<u64>() as f64 / 1e9
}

/// Resident bytes.
///
/// # Errors
/// If there is no such process.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{path}: is it running?"))?;
    let line = text.lines().find(|l| l.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.split_ascii_whitespace().nth(1).context("no VmRSS")?.parse()?;
    Ok(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 100_000);
        let before = cpu_seconds(pid).unwrap();
        let start = sys::thread_cpu_ns();
        while sys::thread_cpu_ns() < start + 50_000_000 {}
        assert!(cpu_seconds(pid).unwrap() >= before + 0.049);
        assert!(cpu_seconds(u32::MAX).is_err());
    }
}
