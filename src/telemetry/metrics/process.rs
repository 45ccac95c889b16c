//! What any Prometheus process says of itself, read from `/proc` when asked; where there is none, only its start.

use std::{
    fmt, fs,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
    registry::Unit,
};

use super::gauge;

/// Clock ticks a second in `/proc/PID/stat`: `USER_HZ`, which Linux fixes at 100 for user space.
const TICKS: f64 = 100.0;

/// The running process.
#[derive(Debug)]
pub(super) struct Process {
    started: SystemTime,
}

impl Process {
    pub(super) fn new(started: SystemTime) -> Self {
        Self { started }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let seconds = Some(&Unit::Seconds);
        gauge(&mut encoder, "process_start_time", "When the process started, since 1970", seconds, started)?;
        if let Some(bytes) = resident_bytes() {
            gauge(&mut encoder, "process_resident_memory", "Resident memory", Some(&Unit::Bytes), bytes)?;
        }
        if let Some(open) = open_descriptors() {
            gauge(&mut encoder, "process_open_fds", "Open file descriptors", None, open)?;
        }
        if let Some(limit) = descriptor_limit() {
            gauge(&mut encoder, "process_max_fds", "Most file descriptors that may be open", None, limit)?;
        }
        if let Some(spent) = cpu_seconds() {
            let help = "User and system time spent";
            ConstCounter::new(spent).encode(encoder.encode_descriptor(
                "process_cpu",
                help,
                seconds,
                MetricType::Counter,
            )?)?;
        }
        Ok(())
    }
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()?;
    Some(kilobytes * 1024.0)
}

fn open_descriptors() -> Option<f64> {
    // The listing's own descriptor is among them.
    let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(open).ok().map(f64::from)
}

fn descriptor_limit() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The command's name may hold anything, so fields are counted from behind its parenthesis: proc_pid_stat(5).
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}
