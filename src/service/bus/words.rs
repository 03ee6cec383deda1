//! What systemd's words for the end of a job mean.

/// How a job ended that did not do what it was for; `result` is what the service says of itself, where it is one that says anything.
pub fn of_job(end: &str, result: Option<&str>) -> String {
    let why = match end {
        "failed" => return result.filter(|word| *word != "success").map_or_else(|| "it failed".to_owned(), of_service),
        "canceled" => "the job was taken back for another one",
        "timeout" => "the job took longer than systemd allows (JobTimeoutSec)",
        "dependency" => "a unit that it needs failed",
        "assert" => "an assertion of the unit does not hold here (Assert…)",
        "unsupported" => "systemd cannot do that with a unit of this type here",
        "invalid" => "the unit cannot do that in its state",
        "collected" => "systemd dropped the job",
        "once" => "the unit is started once in a boot only",
        "frozen" => "the unit is frozen",
        "concurrency" => "its slice is full",
        other => return format!("the job ended as `{other}`"),
    };
    format!("{why} ({end})")
}

/// Why a service is not well, by its `Result`.
fn of_service(result: &str) -> String {
    let why = match result {
        "exit-code" => "a process of it ended with an error",
        "signal" => "a process of it was killed by a signal",
        "core-dump" => "a process of it crashed",
        "timeout" => "it was not ready in the time that its unit allows",
        "protocol" => "it did not do what its unit's type asks of it",
        "resources" => "systemd lacks something for it (a file, memory, a user)",
        "watchdog" => "its watchdog was not fed",
        "start-limit-hit" => "it was started too often in a short time: `systemctl reset-failed` once it is mended",
        "oom-kill" => "the machine ran out of memory, and it was killed",
        "exec-condition" => "a condition of it said no",
        other => return format!("it failed (`{other}`)"),
    };
    format!("{why} ({result})")
}
