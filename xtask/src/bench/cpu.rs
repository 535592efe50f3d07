//! The CPU time that a process has used, from the Linux scheduler.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// Time on a CPU, user and system together, of all the threads of `pid`.
///
/// The first number of `/proc/<pid>/task/<tid>/schedstat` counts nanoseconds;
/// `/proc/<pid>/stat` counts ticks of 10 ms, too coarse for one round. Threads
/// that have ended are not in it: Envoy ends none while it serves.
pub(crate) fn used(pid: u32) -> Result<Duration> {
    let tasks = Path::new("/proc").join(pid.to_string()).join("task");
    let entries = std::fs::read_dir(&tasks)
        .with_context(|| format!("cannot read {}: CPU time is measured on Linux only", tasks.display()))?;
    let mut total: u64 = 0;
    for task in entries {
        let file = task?.path().join("schedstat");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}: the kernel needs CONFIG_SCHED_INFO", file.display()))?;
        let on_cpu: u64 = text
            .split_whitespace()
            .next()
            .and_then(|number| number.parse().ok())
            .with_context(|| format!("{} holds no number", file.display()))?;
        total = total.saturating_add(on_cpu);
    }
    Ok(Duration::from_nanos(total))
}
