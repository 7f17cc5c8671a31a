//! What a process costs, from `/proc/PID`.

use anyhow::{Context as _, Result};

use crate::sys;

/// CPU seconds, user and system, of all threads so far. The kernel says it in ticks of 10 ms.
///
/// # Errors
/// If there is no such process.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{path}: is it running?"))?;
    // The name, in parentheses, may hold anything; user and system time are fields 14 and 15.
    let rest = text.rsplit_once(')').context("no stat")?.1;
    let times =
        rest.split_ascii_whitespace().skip(11).take(2).filter_map(|w| w.parse::<u64>().ok());
    Ok(times.sum::<u64>() as f64 / sys::ticks_per_second() as f64)
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
        assert!(cpu_seconds(pid).unwrap() >= before + 0.03);
        assert!(cpu_seconds(u32::MAX).is_err());
    }
}
