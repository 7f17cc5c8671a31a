//! Limits that the worker puts on itself before it reads anything: a codec that runs wild shall not take the
//! machine from the server.

use std::io;

use rustix::process::{Resource, Rlimit, setpriority_process, setrlimit};

/// Nice level (0 to 19), and memory in MiB, 0 for no limit. Writable memory is counted, not address space: the
/// libraries map far more than they use.
pub fn apply(nice: u8, memory_mb: u32) -> io::Result<()> {
    setpriority_process(None, i32::from(nice.min(19)))?;
    // A core dump of hostile input helps nobody and fills the disk.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    if memory_mb > 0 {
        let bytes = u64::from(memory_mb) << 20;
        setrlimit(Resource::Data, Rlimit { current: Some(bytes), maximum: Some(bytes) })?;
    }
    Ok(())
}
